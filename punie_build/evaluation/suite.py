"""Suites: what an arm is asked, and how its answers are judged. A suite is a file of cases, in TOML or JSONL, or made in Python:

Suite(case=(Case(id="sum-1", category="sums", prompt="What is 2 + 3?", checks=(NoCall(), Contains(words=("5",)))),))
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from punie_build.data.example import Message
from punie_build.data.synthetic.editor_tools import SYSTEM, TOOLS
from punie_build.evaluation.checks.union import (
    Answer,
    AnyCheck,
    Calls,
    ExpectedCall,
    Finish,
    Not,
    expects_no_call,
)
from punie_build.schema.spec import Spec

SuiteSplit = Literal["select", "confirm"]
CONFIRM_FRACTION = 0.6  # the share of groups that are drawn for confirm: a choice is cheap, a claim is not
MAX_TURNS = 6  # how often an arm may call on before its conversation is over


class ReferenceAnswer(Spec, frozen=True, kw_only=True):
    """A right answer, for a case whose checks do not say one themselves: what the self-test of the suite gives."""

    content: str = ""
    calls: tuple[ExpectedCall, ...] = ()


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
    split: SuiteSplit | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0)] = 1.0
    tags: tuple[str, ...] = ()
    oracle: ReferenceAnswer | None = None

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a case has either `prompt` or `messages` - give one of them")

    @property
    def drawn(self) -> SuiteSplit:
        """The side by the hash of the group, or of the id: the same whatever else the suite has."""
        number = int(hashlib.sha256((self.group or self.id).encode()).hexdigest()[:8], 16)
        return "confirm" if number < CONFIRM_FRACTION * 2**32 else "select"

    @property
    def asks(self) -> str:
        """The last thing the user says."""
        return next(iter(self.users()[-1:]), "")

    def users(self) -> tuple[str, ...]:
        """All that users say in the case, in order."""
        if self.prompt is not None:
            return (self.prompt,)
        return tuple(m.content for m in self.messages or () if m.role == "user" and m.content)

    def result(self, tool: str, before: int) -> str | None:
        """What the tool gives back when it was called `before` times already; None: there is no result, the answer ends here."""
        texts = self.results.get(tool)
        return texts if texts is None or isinstance(texts, str) else texts[min(before, len(texts) - 1)]


class Suite(Spec, frozen=True, kw_only=True):
    """Cases under one system prompt and one set of tools: `tools = "editor"`, or OpenAI declarations. `split` is the side of cases that
    say none; without it each is drawn."""

    case: Annotated[tuple[Case, ...], Meta(min_length=1)]
    system: str = SYSTEM
    tools: Literal["editor"] | tuple[dict[str, Any], ...] = ()
    split: SuiteSplit | None = None
    description: str = ""

    def side(self, case: Case) -> SuiteSplit:
        """`select` to choose by, `confirm` to report: what the case says, or the suite; else it is drawn."""
        return case.split or self.split or case.drawn

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
    """What is wrong beyond types, all at once: ids that occur twice, tools and parameters that nobody declares, groups torn apart,
    conversations that wait for nobody."""
    found = []
    seen: set[str] = set()
    sides: dict[str, SuiteSplit] = {}
    for case in suite.case:
        where = f"case '{case.id}'"
        if case.id in seen:
            found.append(f"{where} occurs twice - ids are unique")
        seen.add(case.id)
        if case.group and sides.setdefault(case.group, suite.side(case)) != suite.side(case):
            found.append(f"{where}: the group '{case.group}' is on both sides - give all of it the same `split`")
        found += [f"{where} {problem}" for problem in _wrong(suite, case)]
    return found


def _wrong(suite: Suite, case: Case) -> Iterator[str]:
    tools = {tool.get("name"): tool for each in suite.declarations(case) if (tool := each.get("function", each))}
    if case.messages is not None and (not case.messages or case.messages[-1].role not in ("user", "tool")):
        yield "does not end with the user or a tool - nobody waits for an answer"
    elif not case.asks.strip():
        yield "asks nothing - give it a prompt"
    for name in case.results:
        if name not in tools:
            yield f"has a result of the tool '{name}', which the suite does not declare"
    expects = [call for check in positive_checks(case.checks) if isinstance(check, Calls) for call in check.calls]
    if expects and expects_no_call(case.checks):
        yield "expects calls and no call - keep one of them"
    for call in [*expects, *(case.oracle.calls if case.oracle else ())]:
        if call.name not in tools:
            yield f"expects the tool '{call.name}', which the suite does not declare"
            continue
        told = tools[call.name].get("parameters", {})
        odd = [name for name in call.arguments if name not in told.get("properties", {})]
        if odd and told.get("additionalProperties", False) is False:
            yield f"expects {call.name} with {', '.join(odd)}, which the tool does not take"
        lacks = [name for name in told.get("required", ()) if name not in call.arguments]
        if lacks and not call.more:
            yield f"expects {call.name} without {', '.join(lacks)}, which the tool needs"


def positive_checks(checks: Iterable[AnyCheck]) -> Iterator[AnyCheck]:
    """The checks that say what should be: those inside a `not` say what should not."""
    return (check for check in checks if not isinstance(check, Not))


def reference_answer(case: Case) -> Answer | None:
    """A right answer: the case's own, or what its checks ask for. None where neither says one."""
    rights = [check.reference() for check in case.checks]
    if case.oracle is not None:
        calls = tuple(call.reference() for call in case.oracle.calls)
        content = case.oracle.content or ("" if calls else "Fine.")
    elif None in rights:
        return None
    else:
        told = [right for right in rights if right is not None]
        calls = tuple(call for right in told for call in right.calls)
        texts = [right.text for right in told if right.text is not None]
        content = texts[0] if texts else " ".join(["Fine.", *(word for right in told for word in right.words)])
    finish = next((check.reason for check in case.checks if isinstance(check, Finish)), "stop")
    return Answer(case=case.id, raw="oracle", content=content, calls=calls, finish=finish, seconds=0.0)
