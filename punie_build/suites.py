"""Suites: what an arm is asked, and how its answers are judged. A suite is a TOML file of cases."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from punie_build.checks import Answer, AnyCheck, Asked, Calls, Expected, Keywords
from punie_build.editor_tools import SYSTEM, TOOLS
from punie_build.examples import Message
from punie_build.spec import Spec

Side = Literal["select", "confirm"]
CONFIRM = 0.6  # the share of groups that `side` puts on confirm: a choice is cheap, a claim is not
TURNS = 6  # how often an arm may call on before its conversation is over


class Oracle(Spec, frozen=True, kw_only=True):
    """A right answer, for a case whose checks do not say one themselves: what the self-test of the suite gives."""

    content: str = ""
    calls: tuple[Expected, ...] = ()


class Case(Spec, frozen=True, kw_only=True):
    """One question. `prompt` is short for a single user message; `messages` is a whole conversation up to the answer.

    `results` are canned tool results by the tool's name: as long as the arm calls tools that have one, it gets it and goes on, at most
    `TURNS` turns; of a list the first call gets the first, and the last one stays. Without them the first turn is the answer.
    `group` names what belongs together, such as wordings of one question: it is counted as one, and stays on one side. `split` is the
    side; by default a hash of the group, or of the id, decides. `system` and `tools` are instead of the suite's. `weight` is for the
    graded score. `oracle` is a right answer, where the checks do not say one.
    """

    id: str
    category: str
    checks: Annotated[tuple[AnyCheck, ...], Meta(min_length=1)]
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    system: str | None = None
    tools: Literal["editor"] | tuple[dict[str, Any], ...] | None = None
    results: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    group: str | None = None
    split: Side | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0)] = 1.0
    tags: tuple[str, ...] = ()
    oracle: Oracle | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a case has either `prompt` or `messages` - give one of them")

    @property
    def side(self) -> Side:
        """`select` to choose by, `confirm` to report. The same for all of a group, whatever else the suite has."""
        if self.split is not None:
            return self.split
        number = int(hashlib.sha256((self.group or self.id).encode()).hexdigest()[:8], 16)
        return "confirm" if number < CONFIRM * 2**32 else "select"

    @property
    def asks(self) -> str:
        """The last thing the user says."""
        if self.prompt is not None:
            return self.prompt
        return next((m.content for m in reversed(self.messages or ()) if m.role == "user" and m.content), "")

    def result(self, tool: str, before: int) -> str | None:
        """What the tool gives back when it was called `before` times already; None: there is no result, the answer ends here."""
        texts = self.results.get(tool)
        return texts if texts is None or isinstance(texts, str) else texts[min(before, len(texts) - 1)]


class Suite(Spec, frozen=True, kw_only=True):
    """Cases under one system prompt and one set of tools: `tools = "editor"`, or OpenAI declarations."""

    case: Annotated[tuple[Case, ...], Meta(min_length=1)]
    system: str = SYSTEM
    tools: Literal["editor"] | tuple[dict[str, Any], ...] = ()
    description: str = ""

    def declarations(self, case: Case | None = None) -> list[dict[str, Any]]:
        """The tools that a case offers; those of the suite, if it has none of its own."""
        tools = self.tools if case is None or case.tools is None else case.tools
        return list(TOOLS.values()) if tools == "editor" else list(tools)

    def prompts(self) -> tuple[str, ...]:
        """What the cases ask: the last thing the user says in each."""
        return tuple(text for case in self.case if (text := case.asks))

    def conversation(self, case: Case) -> list[dict[str, Any]]:
        """The messages to send: the system prompt, then the case's own."""
        prompt = self.system if case.system is None else case.system
        system = [{"role": "system", "content": prompt}] if prompt else []
        if case.prompt is not None:
            return [*system, {"role": "user", "content": case.prompt}]
        return system + [_sent(message) for message in case.messages or ()]

    def question(self, case: Case) -> dict[str, Any]:
        """All of a case that reaches an arm. What it is not in - checks, names, weights - changes no answer."""
        return {
            "messages": self.conversation(case),
            "tools": self.declarations(case),
            "results": case.results,
            "max_tokens": case.max_tokens,
        }


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
