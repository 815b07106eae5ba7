"""Suites of test cases. A suite is a TOML or JSONL file of cases, or is built in Python:

Suite(cases=(Case(id="sum-1", category="sums", prompt="What is 2 + 3?", checks=(NoCall(), Contains(words=("5",)))),))
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from punie_build.data.example import Message
from punie_build.data.synthetic.editor_tools import TOOLS
from punie_build.evaluation.checks.json_text import schema_validator
from punie_build.evaluation.checks.matchers import MISSING
from punie_build.evaluation.checks.schemas import unfit
from punie_build.evaluation.checks.union import (
    Answer,
    AnyCheck,
    Calls,
    EndState,
    ExpectedCall,
    Finish,
    Json,
    Latency,
    Not,
    Weighted,
    expects_no_call,
)
from punie_build.evaluation.tool_state import StateClass
from punie_build.schema.spec import Spec, structs

SuiteSplit = Literal["select", "confirm"]
CONFIRM_FRACTION = 0.6  # of groups that a hash assigns to confirm: a reported result needs more cases than a selection
MAX_TURNS = 6  # turns of the model in one conversation


Tools = tuple[dict[str, Any] | str, ...]  # declarations, or names of tools that the suite declares


class ReferenceAnswer(Spec, frozen=True, kw_only=True):
    """A correct answer to a case whose checks do not define one. The validation of the suite uses it.

    `turns` instead of `calls`: the calls after each message of the user.
    """

    content: str = ""
    calls: tuple[ExpectedCall, ...] = ()
    turns: tuple[tuple[ExpectedCall, ...], ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.calls and self.turns:
            raise ValueError("an oracle has either `calls` or `turns` - write one of them")

    def call_turns(self) -> tuple[tuple[ExpectedCall, ...], ...]:
        """Return the calls after each message of the user."""
        return self.turns or (self.calls,)


class UserTurn(Spec, frozen=True, kw_only=True):
    """A further message of the user, with tools that the model has from then on."""

    content: str
    tools: Tools = ()


class Case(Spec, frozen=True, kw_only=True):
    """A test case: the input of the model and the checks of its answer.

    `prompt` is short for a single user message; `messages` is a conversation up to the answer.
    `results`: canned tool results by tool name. While every tool that the model calls has one, the model gets the
    results and continues, for at most `MAX_TURNS` turns. A list gives one result for each call of the tool; its last
    item is repeated. Without results the first turn is the answer.
    `group`: the name of a set of related cases, such as paraphrases. A group counts as one case and belongs to one
    split.
    `split`: the split of the case; the default is a hash of the group or the id. `system` and `tools` override those of
    the suite.
    `user_turns`: further messages of the user, each sent after an answer to the one before, and tools that come with
    them. `initial`: the arguments of the class of stateful tools.
    `weight`: the weight in the graded score. `oracle`: a correct answer, if the checks do not define one.
    """

    id: str
    category: str = "all"
    checks: Annotated[tuple[AnyCheck, ...], Meta(min_length=1)]
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    system: str | None = None
    tools: Literal["editor"] | Tools | None = None
    results: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    group: str | None = None
    split: SuiteSplit | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    weight: Annotated[float, Meta(gt=0)] = 1.0
    tags: tuple[str, ...] = ()
    oracle: ReferenceAnswer | None = None
    user_turns: tuple[str | UserTurn, ...] | UnsetType = UNSET
    initial: dict[str, Any] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a case has either `prompt` or `messages` - write one of them")

    @property
    def hashed_split(self) -> SuiteSplit:
        """The split by the hash of the group or the id, which is independent of all other cases."""
        number = int(hashlib.sha256((self.group or self.id).encode()).hexdigest()[:8], 16)
        return "confirm" if number < CONFIRM_FRACTION * 2**32 else "select"

    @property
    def last_user_message(self) -> str:
        """The text of the last user message; empty if there is none."""
        return next(iter(self.user_messages()[-1:]), "")

    def user_messages(self) -> tuple[str, ...]:
        """Return the texts of all user messages, in order."""
        later = [turn if isinstance(turn, str) else turn.content for turn in self.user_turns or ()]
        if self.prompt is not None:
            return (self.prompt, *later)
        return (*(m.content for m in self.messages or () if m.role == "user" and m.content), *later)

    def canned_result(self, tool: str, n_previous: int) -> str | None:
        """Return the result of a tool after `n_previous` earlier calls of it.

        None: there is no result, the conversation ends.
        """
        texts = self.results.get(tool)
        return texts if texts is None or isinstance(texts, str) else texts[min(n_previous, len(texts) - 1)]


class Suite(Spec, frozen=True, kw_only=True):
    """A set of cases with a system prompt and tools: `tools = "editor"`, or OpenAI declarations.

    `split`: the split of cases without their own; the default is a hash of each group. `few_shot`: messages of
    examples, between the system prompt and each case. `state`: the class whose methods are the tools.
    """

    cases: Annotated[tuple[Case, ...], Meta(min_length=1)] = field(name="case")
    system: str = ""
    tools: Literal["editor"] | tuple[dict[str, Any], ...] = ()
    split: SuiteSplit | None = None
    description: str = ""
    few_shot: tuple[Message, ...] | UnsetType = UNSET
    state: StateClass | UnsetType = UNSET

    def split_of(self, case: Case) -> SuiteSplit:
        """Return the split of a case: `select` for choosing a model, `confirm` for the reported result."""
        return case.split or self.split or case.hashed_split

    def tool_declarations(self, case: Case | None = None) -> list[dict[str, Any]]:
        """Return the tools of a case; the tools of the suite, if the case has none of its own."""
        own = list(TOOLS.values()) if self.tools == "editor" else list(self.tools)
        if case is None or case.tools is None:
            return own
        return list(TOOLS.values()) if case.tools == "editor" else list(self.declared(case.tools))

    def declared(self, tools: Tools) -> tuple[dict[str, Any], ...]:
        """Return the declarations of tools, some of which are named only; without names that the suite does not
        declare."""
        known = {name: tool for tool in self.tool_declarations() if (name := tool_name(tool))}
        tables = [known.get(tool) if isinstance(tool, str) else tool for tool in tools]
        return tuple(table for table in tables if table is not None)

    def later_turns(self, case: Case) -> list[tuple[str, tuple[dict[str, Any], ...]]]:
        """Return the further messages of the user, each with the declarations of the tools that come with it."""
        turns = [UserTurn(content=turn) if isinstance(turn, str) else turn for turn in case.user_turns or ()]
        return [(turn.content, self.declared(turn.tools)) for turn in turns]

    def system_of(self, case: Case) -> str:
        """Return the system prompt of a case: that of the suite, unless it has its own."""
        return self.system if case.system is None else case.system

    def with_system(self, prompt: str) -> Suite:
        """Return the suite with another system prompt. Cases with a prompt of their own keep it."""
        return msgspec.structs.replace(self, system=prompt)

    def share_weight(self, _case: Case) -> float:
        """Return the weight of a case in pass rates."""
        return 1.0

    def prompts(self) -> tuple[str, ...]:
        """Return the last user message of each case, without empty ones."""
        return tuple(text for case in self.cases if (text := case.last_user_message))

    def messages(self, case: Case) -> list[dict[str, Any]]:
        """Return the messages of a request: the system prompt, then the messages of the case."""
        prompt = self.system_of(case)
        system = [{"role": "system", "content": prompt}] if prompt else []
        system += [_without_nulls(message) for message in self.few_shot or ()]
        if case.prompt is not None:
            return [*system, {"role": "user", "content": case.prompt}]
        return system + [_without_nulls(message) for message in case.messages or ()]

    def model_input(self, case: Case) -> dict[str, Any]:
        """Return all parts of a case that reach the model.

        Other parts, such as checks and weights, change no answer.
        """
        state = self.state_of(case)
        turns = [{"content": text, "tools": tools} if tools else text for text, tools in self.later_turns(case)]
        return {
            "messages": self.messages(case),
            "tools": self.tool_declarations(case),
            "results": case.results,
            "max_tokens": case.max_tokens,
            **({"user_turns": turns} if turns else {}),
            **({"state": state, "initial": case.initial or {}} if state else {}),
        }

    def state_of(self, _case: Case) -> StateClass | None:
        """Return the class of the stateful tools of a case."""
        return self.state or None


def _without_nulls(message: Message) -> dict[str, Any]:
    """Return a message as a server accepts it: without keys whose value is null, such as `tool_calls`."""
    return {key: value for key, value in msgspec.to_builtins(message).items() if value is not None}


def measures_latency(suite: Suite) -> bool:
    """Return whether a check needs durations. Answers hold them only then, because durations differ in each run."""
    return any(isinstance(value, Latency) for value in structs(suite))


def problems(suite: Suite) -> list[str]:
    """Return all mistakes that types do not catch.

    These are duplicate ids, undeclared tools and parameters, groups on both splits, and conversations without a final
    user or tool message.
    """
    lines = []
    ids: set[str] = set()
    splits: dict[str, SuiteSplit] = {}
    for case in suite.cases:
        where = f"case '{case.id}'"
        if case.id in ids:
            lines.append(f"{where} occurs twice - use unique ids")
        ids.add(case.id)
        if case.group and splits.setdefault(case.group, suite.split_of(case)) != suite.split_of(case):
            lines.append(f"{where}: the group '{case.group}' is on both splits - set the same `split` in all its cases")
        lines += [f"{where} {problem}" for problem in _case_problems(suite, case)]
    return lines


def _case_problems(suite: Suite, case: Case) -> Iterator[str]:
    declarations = [*suite.tool_declarations(case), *(tool for _, added in suite.later_turns(case) for tool in added)]
    yield from _name_problems(suite, case)
    yield from (
        f"has a tool that is no declaration: {problem}" for problem in filter(None, map(_misshapen, declarations))
    )
    tools = {_function(item)["name"]: _function(item) for item in declarations if not _misshapen(item)}
    if case.messages is not None and (not case.messages or case.messages[-1].role not in ("user", "tool")):
        yield "does not end with a message of the user or a tool - add one"
    elif not case.last_user_message.strip():
        yield "has an empty prompt - write one"
    yield from _state_problems(suite, case)
    for name in case.results:
        if name not in tools:
            yield f"has a result of the tool '{name}', which the suite does not declare"
    checks = [check for check in positive_checks(case.checks) if isinstance(check, Calls)]
    expected = [call for check in checks for call in check.calls]
    loose = any(check.compare == "loose" for check in checks)
    yield from _schema_problems(case)
    if expected and expects_no_call(case.checks):
        yield "expects calls and no call - remove one of these checks"
    oracle = [call for turn in case.oracle.call_turns() for call in turn] if case.oracle else []
    for call in [*expected, *oracle]:
        if call.name in tools:
            yield from _call_problems(call, tools[call.name].get("parameters") or {}, loose)
        elif not any(map(_misshapen, declarations)):
            yield f"expects the tool '{call.name}', which the suite does not declare"


def _name_problems(suite: Suite, case: Case) -> Iterator[str]:
    known = {tool_name(tool) for tool in suite.tool_declarations()}
    own = () if case.tools in (None, "editor") else case.tools or ()
    later = [tool for turn in case.user_turns or () if not isinstance(turn, str) for tool in turn.tools]
    for name in [tool for tool in (*own, *later) if isinstance(tool, str) and tool not in known]:
        yield f"names the tool '{name}', which the suite does not declare"


def _schema_problems(case: Case) -> Iterator[str]:
    for value in structs(case.checks):
        if isinstance(value, Json) and value.schema is not UNSET:
            try:
                schema_validator(json.dumps(value.schema, sort_keys=True))
            except ValueError as error:
                yield f"has a `schema` that is {error} - correct it"


def tool_name(declaration: dict[str, Any]) -> str | None:
    """Return the name of a declared tool; None if it has none."""
    function = _function(declaration)
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _function(declaration: dict[str, Any]) -> Any:
    return declaration.get("function", declaration)


def _misshapen(declaration: dict[str, Any]) -> str:
    """Return the part of a declaration that has a type of its own; empty if all parts have those of a declaration."""
    function = _function(declaration)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return f"{str(declaration)[:60]} has no name"
    parameters = function.get("parameters") or {}
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties") or {}, dict):
        return f"`parameters` of {function['name']} are no schema of an object"
    required = parameters.get("required") or []
    if not isinstance(required, list | tuple) or not all(isinstance(name, str) for name in required):
        return f"`required` of {function['name']} is no list of names"
    return ""


def _state_problems(suite: Suite, case: Case) -> Iterator[str]:
    if suite.state_of(case):
        if case.results:
            yield "has `results`, and its tools have a state - remove one of them"
    else:
        if case.initial:
            yield "has `initial`, and the suite has no `state` - remove one of them"
        if any(isinstance(check, EndState) for check in positive_checks(case.checks)):
            yield "checks the state of tools, and the suite has no `state` - write state = { class = ... }"
    if any(not text.strip() for text, _ in suite.later_turns(case)):
        yield "has an empty text in `user_turns` - write it"


def _call_problems(call: ExpectedCall, parameters: dict[str, Any], loose: bool) -> Iterator[str]:
    properties = parameters.get("properties") or {}
    for name, matcher in call.arguments.items():
        for problem in () if loose else unfit(matcher, properties.get(name), name):  # a variable may have any type
            yield f"expects {call.name} with {problem}; such a call is wrong by the declaration of the tool"
    undeclared = [name for name in call.arguments if name not in properties]
    unknown = [name for name in undeclared if not (loose and call.arguments[name].matches(MISSING, loose))]
    if unknown and parameters.get("additionalProperties", False) is False:
        yield f"expects {call.name} with {', '.join(unknown)}, which the tool does not declare"
    missing = [name for name in parameters.get("required") or () if name not in call.arguments]
    if missing and not call.more:
        yield f"expects {call.name} without {', '.join(missing)}, which the tool requires"


def positive_checks(checks: Iterable[AnyCheck]) -> Iterator[AnyCheck]:
    """Yield the checks that are not negated, also those that others weigh."""
    for check in checks:
        if isinstance(check, Weighted):
            yield from positive_checks(member.check for member in check.checks)
        elif not isinstance(check, Not):
            yield check


def reference_answer(case: Case) -> Answer | None:
    """Return a correct answer: the `oracle` of the case, or one built from its checks. None if neither defines one."""
    references = [check.reference() for check in case.checks]
    if case.oracle is not None:
        calls = tuple(call.reference() for turn in case.oracle.call_turns() for call in turn)
        content = case.oracle.content or ("" if calls else "Fine.")
    elif None in references:
        return None
    else:
        parts = [reference for reference in references if reference is not None]
        calls = tuple(call for part in parts for call in part.calls)
        texts = [part.text for part in parts if part.text is not None]
        content = texts[0] if texts else " ".join(["Fine.", *(word for part in parts for word in part.words)])
    finish = next((check.reason for check in case.checks if isinstance(check, Finish)), "stop")
    return Answer(case=case.id, raw="oracle", content=content, calls=calls, finish=finish, seconds=0.0)
