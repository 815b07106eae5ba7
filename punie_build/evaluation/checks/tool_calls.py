"""Checks of tool calls: the expected calls, no call, or the recall of tool names."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.assignment import optimal_assignment, ordered_alignment
from punie_build.evaluation.checks.check import Check, Reference
from punie_build.evaluation.checks.matchers import MISSING, ExactValue, ListValue, OneOf, TableValue, to_matcher
from punie_build.evaluation.checks.response import PASS, Answer, CheckResult
from punie_build.evaluation.checks.text import EMPTY
from punie_build.schema.spec import Spec


class ExpectedCall(Spec, frozen=True, kw_only=True):
    """A tool call that an answer should contain.

    An argument is a value, a list of allowed values, a table of such, or a matcher (`{ match = ... }`).
    Other arguments are wrong unless
    `more` allows them.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    more: bool = False

    def __post_init__(self) -> None:
        force_setattr(self, "arguments", {name: to_matcher(value) for name, value in self.arguments.items()})

    def match_score(self, call: ToolCall, loose: bool = False) -> float:
        """Return how well a call matches, in [0, 1]: half for the name, half for the arguments."""
        if call.name != self.name:
            return 0.0
        required = {name for name, matcher in self.arguments.items() if not matcher.matches(MISSING, loose)}
        names = required | (call.arguments.keys() & self.arguments.keys() if self.more else call.arguments.keys())
        correct = sum(
            name in self.arguments and self.arguments[name].matches(call.arguments.get(name, MISSING), loose)
            for name in names
        )
        return 0.5 + 0.5 * (correct / len(names) if names else 1.0)

    def reference(self) -> ToolCall:
        """Return a call that matches."""
        examples = {name: matcher.example() for name, matcher in self.arguments.items()}
        return ToolCall(self.name, {name: value for name, value in examples.items() if value is not MISSING})

    def describe(self) -> str:
        """Return the call as one line of text: examples of values, or the tags of matchers in angle brackets."""
        values = {
            name: matcher.example()
            if isinstance(matcher, ExactValue | OneOf | TableValue | ListValue)
            else f"<{matcher.__struct_config__.tag}>"
            for name, matcher in self.arguments.items()
        }
        return f"{self.name}({json.dumps(values, ensure_ascii=False)})"


class Calls(Check, frozen=True, kw_only=True, tag="calls"):
    """Pass answers that contain these calls. `mode` sets the order and whether other calls are allowed.

    `exact`: these calls in this order and no others. `ordered`: in this order; `unordered`: in any order; both allow
    other calls of the tools in `allow` ("*": any tool). `superset`: in any order, with any other calls. `any`: at least
    one of them, others as in `allow`. Calls without a fixed order are paired so that the score is greatest. `compare =
    "loose"`: ignore case, spaces and punctuation of texts; a float does not match an integer.
    """

    calls: Annotated[tuple[ExpectedCall, ...], Meta(min_length=1)]
    mode: Literal["exact", "ordered", "unordered", "superset", "any"] = "exact"
    allow: tuple[str, ...] = ()
    compare: Literal["exact", "loose"] = "exact"

    def __post_init__(self) -> None:
        if self.allow and self.mode == "exact":
            raise ValueError("mode 'exact' allows no other calls - use 'ordered' or 'unordered', or remove `allow`")

    def score(self, answer: Answer) -> CheckResult:
        pairs = self._pairs(answer.calls)
        paired = {j for _, j in pairs}
        unmatched = [call.name for j, call in enumerate(answer.calls) if j not in paired]
        extra = [name for name in unmatched if not self._allows(name)]
        scores = [self._match_score(i, answer.calls[j]) for i, j in pairs]
        if self.mode == "any":
            score = sum(scores) / (len(scores) or 1) / (1 + len(extra))
        else:
            unpaired = len(self.calls) - len(pairs)
            score = sum(scores) / (len(self.calls) + max(0, len(extra) - unpaired))
        return PASS if score == 1.0 else CheckResult(score, *self._failure(answer.calls, extra))

    def _match_score(self, index: int, call: ToolCall) -> float:
        return self.calls[index].match_score(call, self.compare == "loose")

    def _pairs(self, calls: tuple[ToolCall, ...]) -> list[tuple[int, int]]:
        """Return pairs (index of the expected call, index of the actual call)."""

        def pair_score(i: int, j: int) -> float:
            return self._match_score(i, calls[j])

        if self.mode == "exact":
            return [(i, i) for i in range(min(len(self.calls), len(calls)))]
        if self.mode == "ordered":
            return ordered_alignment(len(self.calls), len(calls), pair_score)
        if self.mode == "any":  # each call is one of the expected, or an extra call
            best = [max(range(len(self.calls)), key=lambda i: pair_score(i, j)) for j in range(len(calls))]
            return [(i, j) for j, i in enumerate(best) if pair_score(i, j)]
        return optimal_assignment(len(self.calls), len(calls), pair_score)

    def _allows(self, name: str) -> bool:
        return self.mode == "superset" or name in self.allow or "*" in self.allow

    def _failure(self, calls: tuple[ToolCall, ...], extra: list[str]) -> tuple[str, str]:
        """Return the class of the failure and its reason."""
        expected, actual = [call.name for call in self.calls], [call.name for call in calls]
        described = (" or " if self.mode == "any" else ", ").join(call.describe() for call in self.calls)
        if not actual:
            return "no call", f"expected {described}"
        missing = Counter(expected) - Counter(actual) if self.mode != "any" else Counter[str]()
        in_order = self.mode not in ("exact", "ordered") or _is_subsequence(expected, actual)
        if missing or not in_order or (self.mode == "any" and not set(expected) & set(actual)):
            return "wrong tool", f"called {', '.join(actual)}, expected {', '.join(expected)}"
        surplus = Counter(actual) - Counter(expected) if self.mode != "any" else Counter(extra)
        if forbidden := [name for name in surplus.elements() if not self._allows(name)]:
            return "extra call", f"also called {', '.join(forbidden)}"
        return "wrong arguments", f"expected {described}"

    def reference(self) -> Reference:
        expected = self.calls[:1] if self.mode == "any" else self.calls
        return Reference(calls=tuple(call.reference() for call in expected))


def _is_subsequence(expected: list[str], actual: list[str]) -> bool:
    remaining = iter(actual)
    return all(name in remaining for name in expected)


class NoCall(Check, frozen=True, kw_only=True, tag="no-call"):
    """Pass answers that have text and no tool call."""

    def score(self, answer: Answer) -> CheckResult:
        if answer.calls or answer.malformed:
            called = ", ".join(call.name for call in answer.calls) or "a tool, with markup that cannot be parsed"
            return CheckResult(0.0, "called on irrelevant", f"called {called}")
        return PASS if answer.content.strip() else EMPTY


class Recall(Check, frozen=True, kw_only=True, tag="recall"):
    """Compute the score of an older evaluator, to compare with its numbers.

    The score is the mean of two fractions: of `tools` that were called, and of `words` that occur, ignoring case.
    Arguments, order and extra calls do not matter: for a strict check use `calls`.
    """

    tools: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def score(self, answer: Answer) -> CheckResult:
        called, text = {call.name for call in answer.calls}, answer.content.lower()
        uncalled = sorted(set(self.tools) - called)
        missing = [word for word in self.words if word.lower() not in text]
        fractions = [1 - len(uncalled) / len(set(self.tools))] if self.tools else []
        fractions += [1 - len(missing) / len(self.words)] if self.words else []
        score = sum(fractions) / len(fractions) if fractions else 1.0
        if uncalled:
            return CheckResult(score, "wrong tool" if called else "no call", f"did not call {', '.join(uncalled)}")
        return CheckResult(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def reference(self) -> Reference:
        return Reference(words=self.words, calls=tuple(ToolCall(name, {}) for name in self.tools))
