"""Checks of tool calls: these ones, none, or, as an older evaluator had it, some of these names."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from punie_build.evaluation.checks.check import Check, Right
from punie_build.evaluation.checks.matchers import NOTHING, Matcher, assigned, in_order, matcher
from punie_build.evaluation.checks.response import PASS, Answer, Asked, Verdict
from punie_build.schema.spec import Spec


class Expected(Spec, frozen=True, kw_only=True):
    """A call that should be made. An argument's value is meant as it stands; a list means one of these; `match` says more (`matching`).
    Arguments that are not named must not be given, unless `more` says that they may."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    more: bool = False

    def __post_init__(self) -> None:
        force_setattr(self, "arguments", {name: matcher(value) for name, value in self.arguments.items()})

    def share(self, asked: Asked, loose: bool = False) -> float:
        """How much of this call was made: half for the name, half for the arguments, extra arguments counting as wrong."""
        if asked.name != self.name:
            return 0.0
        needed = {name for name, each in self.arguments.items() if not each.fits(NOTHING, loose)}
        names = needed | (asked.arguments.keys() & self.arguments.keys() if self.more else asked.arguments.keys())
        right = sum(
            name in self.arguments and self.arguments[name].fits(asked.arguments.get(name, NOTHING), loose)
            for name in names
        )
        return 0.5 + 0.5 * (right / len(names) if names else 1.0)

    def right(self) -> Asked:
        """A call that is this one."""
        examples = {name: each.example() for name, each in self.arguments.items()}
        return Asked(self.name, {name: value for name, value in examples.items() if value is not NOTHING})

    def shown(self) -> str:
        values = {
            name: value.example() if type(value).__name__ in ("Value", "OneOf") else f"<{kind(value)}>"
            for name, value in self.arguments.items()
        }
        return f"{self.name}({json.dumps(values, ensure_ascii=False)})"


def kind(value: Matcher) -> str:
    return str(value.__struct_config__.tag)


class Calls(Check, frozen=True, kw_only=True, tag="calls"):
    """Pass answers that make these calls: `mode` says how exactly.

    `exact`: these, in this order, and nothing else. `ordered`: in this order; `unordered`: in any; others only of the tools in `allow`
    ("*": of all). `superset`: in any order, others besides. `any`: at least one of them, others only as allowed. Calls that are not in
    order are paired so that the score is greatest. `compare = "loose"`: texts without case, spaces and punctuation.
    """

    calls: Annotated[tuple[Expected, ...], Meta(min_length=1)]
    mode: Literal["exact", "ordered", "unordered", "superset", "any"] = "exact"
    allow: tuple[str, ...] = ()
    compare: Literal["exact", "loose"] = "exact"

    def __post_init__(self) -> None:
        if self.allow and self.mode == "exact":
            raise ValueError("mode 'exact' allows no other calls - use 'ordered' or 'unordered', or remove `allow`")

    def judge(self, answer: Answer) -> Verdict:
        made = answer.calls
        pairs = self._pairs(made)
        taken = {j for _, j in pairs}
        other = [call.name for j, call in enumerate(made) if j not in taken]
        extra = [name for name in other if not self._may(name)]
        worths = [self.calls[i].share(made[j], self.compare == "loose") for i, j in pairs]
        if self.mode == "any":
            score = sum(worths) / (len(worths) or 1) / (1 + len(extra))
        else:
            unpaired = len(self.calls) - len(pairs)
            score = sum(worths) / (len(self.calls) + max(0, len(extra) - unpaired))
        return PASS if score == 1.0 else Verdict(score, *self._why(made, extra))

    def _pairs(self, made: tuple[Asked, ...]) -> list[tuple[int, int]]:
        loose = self.compare == "loose"

        def worth(i: int, j: int) -> float:
            return self.calls[i].share(made[j], loose)

        if self.mode == "exact":
            return [(i, i) for i in range(min(len(self.calls), len(made)))]
        if self.mode == "ordered":
            return in_order(len(self.calls), len(made), worth)
        if self.mode == "any":  # each call is one of them, or an extra
            best = [max(range(len(self.calls)), key=lambda i: worth(i, j)) for j in range(len(made))]
            return [(i, j) for j, i in enumerate(best) if worth(i, j)]
        return assigned(len(self.calls), len(made), worth)

    def _may(self, name: str) -> bool:
        return self.mode == "superset" or name in self.allow or "*" in self.allow

    def _why(self, made: tuple[Asked, ...], extra: list[str]) -> tuple[str, str]:
        wanted, got = [call.name for call in self.calls], [call.name for call in made]
        expected = (" or " if self.mode == "any" else ", ").join(call.shown() for call in self.calls)
        if not got:
            return "no call", f"expected {expected}"
        missing = Counter(wanted) - Counter(got) if self.mode != "any" else Counter[str]()
        in_place = self.mode not in ("exact", "ordered") or _within(wanted, got)
        if missing or not in_place or (self.mode == "any" and not set(wanted) & set(got)):
            return "wrong tool", f"called {', '.join(got)}, expected {', '.join(wanted)}"
        if more := Counter(got) - Counter(wanted) if self.mode != "any" else Counter(extra):
            also = [name for name in more.elements() if not self._may(name)]
            if also:
                return "extra call", f"also called {', '.join(also)}"
        return "wrong arguments", f"expected {expected}"

    def right(self) -> Right:
        wanted = self.calls[:1] if self.mode == "any" else self.calls
        return Right(calls=tuple(call.right() for call in wanted))


def _within(wanted: list[str], got: list[str]) -> bool:
    """Whether the names wanted occur in this order, others between."""
    rest = iter(got)
    return all(name in rest for name in wanted)


class NoCall(Check, frozen=True, kw_only=True, tag="no-call"):
    """Pass answers that call nothing: the question needs words."""

    def judge(self, answer: Answer) -> Verdict:
        if answer.calls or answer.malformed:
            called = ", ".join(call.name for call in answer.calls) or "something unreadable"
            return Verdict(0.0, "called on irrelevant", f"called {called}")
        return PASS if answer.content.strip() else Verdict(0.0, "empty", "said nothing")


class Recall(Check, frozen=True, kw_only=True, tag="recall"):
    """The score of an older evaluator, to compare with its numbers: the share of `tools` whose names were called, whatever else was, and
    the share of `words` that occur somewhere, whatever the case; the mean of both where there are both. It sees neither arguments nor
    order nor extra calls: for anything else use `calls`."""

    tools: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def judge(self, answer: Answer) -> Verdict:
        made, said = {call.name for call in answer.calls}, answer.content.lower()
        uncalled = sorted(set(self.tools) - made)
        missing = [word for word in self.words if word.lower() not in said]
        shares = [1 - len(uncalled) / len(set(self.tools))] if self.tools else []
        shares += [1 - len(missing) / len(self.words)] if self.words else []
        score = sum(shares) / len(shares) if shares else 1.0
        if uncalled:
            return Verdict(score, "wrong tool" if made else "no call", f"did not call {', '.join(uncalled)}")
        return Verdict(score, "keyword missing", f"no {', '.join(missing)}") if missing else PASS

    def right(self) -> Right:
        return Right(words=self.words, calls=tuple(Asked(name, {}) for name in self.tools))
