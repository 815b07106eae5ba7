"""Suites: what an arm is asked, and how its answers are judged. A suite is a TOML file of cases."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from punie_build.checks import Answer, AnyCheck, Asked, Calls, Keywords
from punie_build.editor_tools import SYSTEM, TOOLS
from punie_build.examples import Message
from punie_build.spec import Spec


class Case(Spec, frozen=True, kw_only=True):
    """One question. `prompt` is short for a single user message; `messages` is a whole conversation up to the answer."""

    id: str
    category: str
    checks: Annotated[tuple[AnyCheck, ...], Meta(min_length=1)]
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a case has either `prompt` or `messages` - give one of them")


class Suite(Spec, frozen=True, kw_only=True):
    """Cases under one system prompt and one set of tools: `tools = "editor"`, or OpenAI declarations."""

    case: Annotated[tuple[Case, ...], Meta(min_length=1)]
    system: str = SYSTEM
    tools: Literal["editor"] | tuple[dict[str, Any], ...] = ()
    description: str = ""

    def declarations(self) -> list[dict[str, Any]]:
        return list(TOOLS.values()) if self.tools == "editor" else list(self.tools)

    def prompts(self) -> tuple[str, ...]:
        """What the cases ask: the last thing the user says in each."""
        asked = (case.prompt or [m.content for m in case.messages or () if m.role == "user"][-1:] for case in self.case)
        return tuple(text for some in asked for text in ([some] if isinstance(some, str) else some) if text)

    def conversation(self, case: Case) -> list[dict[str, Any]]:
        """The messages to send: the system prompt, then the case's own."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        if case.prompt is not None:
            return [*system, {"role": "user", "content": case.prompt}]
        return system + [_sent(message) for message in case.messages or ()]


def _sent(message: Message) -> dict[str, Any]:
    """A message as a server takes it: no `tool_calls` where there are none."""
    return {key: value for key, value in msgspec.to_builtins(message).items() if value is not None}


def problems(suite: Suite) -> list[str]:
    """What is wrong beyond types: ids that occur twice, expected tools that nobody declares."""
    found = []
    declared = {tool.get("function", tool).get("name") for tool in suite.declarations()}
    seen: set[str] = set()
    for case in suite.case:
        if case.id in seen:
            found.append(f"case '{case.id}' occurs twice - ids are unique")
        seen.add(case.id)
        for check in case.checks:
            unknown = {call.name for call in check.calls} - declared if isinstance(check, Calls) else ()
            found += [
                f"case '{case.id}' expects the tool '{name}', which the suite does not declare" for name in unknown
            ]
    return found


def oracle(case: Case) -> Answer:
    """The answer every check of the case asks for: a suite whose oracle fails is itself wrong."""
    calls: list[Asked] = []
    words = ["Fine."]
    for check in case.checks:
        if isinstance(check, Calls):
            calls += [
                Asked(
                    call.name,
                    {key: value[0] if isinstance(value, list) else value for key, value in call.arguments.items()},
                )
                for call in check.calls
            ]
        elif isinstance(check, Keywords):
            words += check.words
    return Answer(case=case.id, raw="oracle", content=" ".join(words), calls=tuple(calls))
