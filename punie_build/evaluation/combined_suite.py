"""Several suites as one: their cases side by side, and the weight of each suite in the pass rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, field, structs

from punie_build.data.example import Message
from punie_build.evaluation.suite import Case, Suite, UserTurn
from punie_build.evaluation.tool_state import StateClass


class CombinedSuite(Suite, frozen=True, kw_only=True):
    """The cases of several suites, with ids such as `PART/id`.

    `weights`: the weight of a case in pass rates, by part: so that the pass rate is the weighted mean of those of the
    parts. `systems`, `states`: the system prompt and the class of the stateful tools of each part.
    """

    weights: dict[str, float]
    systems: dict[str, str]
    states: dict[str, StateClass] = field(default_factory=dict)

    def system_of(self, case: Case) -> str:
        return self.systems[part_of(case)] if case.system is None else case.system

    def with_system(self, prompt: str) -> Suite:
        return structs.replace(self, systems=dict.fromkeys(self.systems, prompt))

    def state_of(self, case: Case) -> StateClass | None:
        return self.states.get(part_of(case))

    def share_weight(self, case: Case) -> float:
        return self.weights[part_of(case)]


def part_of(case: Case) -> str:
    """Return the name of the part that a case of a combined suite is from."""
    return case.id.partition("/")[0]


def combine(parts: Sequence[tuple[str, float, Suite]]) -> CombinedSuite:
    """Combine suites, each with its name and its weight in the pass rate. Cases keep their prompts, tools and splits,
    so that answers to a suite alone are answers to it here."""
    total, count = sum(weight for _, weight, _ in parts), sum(len(suite.cases) for *_, suite in parts)
    return CombinedSuite(
        cases=tuple(_renamed(name, suite, case) for name, _, suite in parts for case in suite.cases),
        weights={name: weight / total * count / len(suite.cases) for name, weight, suite in parts},
        systems={name: suite.system for name, _, suite in parts},
        states={name: suite.state for name, _, suite in parts if suite.state},
    )


def _renamed(part: str, suite: Suite, case: Case) -> Case:
    return structs.replace(
        case,
        id=f"{part}/{case.id}",
        category=part if case.category == "all" else f"{part}.{case.category}",
        group=f"{part}/{case.group}" if case.group else None,
        split=suite.split_of(case),
        tools=suite.tools if case.tools is None else _declared(suite, case),
        user_turns=tuple(_turn(text, tools) for text, tools in suite.later_turns(case)) or UNSET,
        **_with_examples(suite, case),
    )


def _declared(suite: Suite, case: Case) -> Any:
    """Return the tools of a case with the declarations of those that it names."""
    return "editor" if case.tools == "editor" else tuple(suite.tool_declarations(case))


def _turn(text: str, tools: tuple[dict[str, Any], ...]) -> str | UserTurn:
    return UserTurn(content=text, tools=tools) if tools else text


def _with_examples(suite: Suite, case: Case) -> dict[str, Any]:
    """Return the messages of a case behind the examples of its suite."""
    if not suite.few_shot:
        return {}
    own = (Message(role="user", content=case.prompt),) if case.prompt is not None else case.messages or ()
    return {"prompt": None, "messages": (*suite.few_shot, *own)}
