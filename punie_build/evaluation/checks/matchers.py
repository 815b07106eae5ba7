"""Matching: when a value is the one that was expected, and which calls answer which.

    path = "a.py"                                          this value, of this type
    path = ["a.py", "./a.py"]                              one of these
    path = { match = "regex", pattern = ".*\\.py" }         the whole text fits
    limit = { match = "number", value = 10, within = 1 }   give or take
    cwd = { match = "optional", value = "." }              this, or not given
    line = { match = "any" }                               given, whatever it is;  "ignore": given or not;  "absent": not given
    tags = { match = "value", value = ["a", "b"] }         a list or a table itself

To add a matcher: a class with `fits` and its name in `AnyMatcher`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from punie_build.schema.spec import Kind

_SOFT = re.compile(r"[ ,./\-_*^]")


class Nothing(Struct, frozen=True):
    """In place of a value: it was not given."""


NOTHING = Nothing()


class Matcher(Kind, frozen=True, kw_only=True, tag_field="match"):
    """Says whether a value fits; `NOTHING` where none was given. `example` is one that does."""

    def fits(self, got: Any, loose: bool) -> bool:
        raise NotImplementedError

    def example(self) -> Any:
        raise NotImplementedError


class Value(Matcher, frozen=True, kw_only=True, tag="value"):
    """This value and no other."""

    value: Any

    def fits(self, got: Any, loose: bool) -> bool:
        return same(self.value, got, loose)

    def example(self) -> Any:
        return self.value


class OneOf(Matcher, frozen=True, kw_only=True, tag="one-of"):
    """One of these values."""

    values: Annotated[tuple[Any, ...], Meta(min_length=1)]

    def fits(self, got: Any, loose: bool) -> bool:
        return any(same(value, got, loose) for value in self.values)

    def example(self) -> Any:
        return self.values[0]


class Regex(Matcher, frozen=True, kw_only=True, tag="regex"):
    """A text that the pattern describes from end to end. `like` is one, for the self-test of the suite."""

    pattern: str
    like: str | None = None

    def __post_init__(self) -> None:
        compiled(self.pattern)

    def fits(self, got: Any, loose: bool) -> bool:
        return isinstance(got, str) and compiled(self.pattern).fullmatch(got) is not None

    def example(self) -> Any:
        return self.like


class Given(Matcher, frozen=True, kw_only=True, tag="any"):
    """Any value, but one."""

    def fits(self, got: Any, loose: bool) -> bool:
        return got is not NOTHING

    def example(self) -> Any:
        return "x"


class Absent(Matcher, frozen=True, kw_only=True, tag="absent"):
    """Not given."""

    def fits(self, got: Any, loose: bool) -> bool:
        return got is NOTHING

    def example(self) -> Any:
        return NOTHING


class Ignore(Matcher, frozen=True, kw_only=True, tag="ignore"):
    """Given or not, whatever it is."""

    def fits(self, got: Any, loose: bool) -> bool:
        return True

    def example(self) -> Any:
        return NOTHING


class Number(Matcher, frozen=True, kw_only=True, tag="number"):
    """A number at most `within` away, whole or not."""

    value: float
    within: Annotated[float, Meta(ge=0)] = 0.0

    def fits(self, got: Any, loose: bool) -> bool:
        return isinstance(got, int | float) and not isinstance(got, bool) and abs(got - self.value) <= self.within

    def example(self) -> Any:
        return int(self.value) if self.value.is_integer() else self.value


class Optional(Matcher, frozen=True, kw_only=True, tag="optional"):
    """What it is by default, said or not. A list means one of these."""

    value: Any

    def __post_init__(self) -> None:
        force_setattr(self, "value", matcher(self.value))

    def fits(self, got: Any, loose: bool) -> bool:
        return got is NOTHING or bool(self.value.fits(got, loose))

    def example(self) -> Any:
        return NOTHING


AnyMatcher = Value | OneOf | Regex | Given | Absent | Ignore | Number | Optional


def matcher(expected: Any) -> Matcher:
    """What a recipe says of a value. Raises ValueError for a matcher with mistakes."""
    if isinstance(expected, Matcher):
        return expected
    if isinstance(expected, list | tuple):
        return OneOf(values=tuple(expected))
    if isinstance(expected, dict) and "match" in expected:
        try:
            found: Matcher = msgspec.convert(expected, AnyMatcher)
        except msgspec.ValidationError as error:
            raise ValueError(f"matcher: {str(error).partition(' - at ')[0].lower()} - one of {KNOWN}") from None
        return found
    return Value(value=expected)


KNOWN = "value, one-of, regex, any, absent, ignore, number, optional"


def same(expected: Any, got: Any, loose: bool = False) -> bool:
    """Equal and of the same type, at any depth: true is not 1. Loose texts are equal without case, spaces and , . / - _ * ^, as the
    Berkeley leaderboard has it, and loose whole numbers are numbers."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(value, got[key], loose) for key, value in expected.items())
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(same(*pair, loose) for pair in zip(expected, got, strict=True))
    if loose and isinstance(expected, str) and isinstance(got, str):
        return soft(expected) == soft(got)
    if loose and {type(expected), type(got)} == {int, float}:
        return bool(expected == got)
    return type(expected) is type(got) and bool(expected == got)


def soft(text: str) -> str:
    return _SOFT.sub("", text).lower().replace("'", '"')


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """Raises ValueError, with what is wrong with it."""
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r}: {error} - correct the expression") from None


Worth = Callable[[int, int], float]  # (which expected, which got) -> how much of it was made, in [0, 1]


def in_order(expected: int, got: int, worth: Worth) -> list[tuple[int, int]]:
    """Pairs (expected, got), both rising, of the greatest sum of worths."""
    best: list[list[tuple[float, list[tuple[int, int]]]]] = [[(0.0, [])] * (got + 1) for _ in range(expected + 1)]
    for i in range(expected):
        for j in range(got):
            value = worth(i, j)
            with_both = best[i][j][0] + value
            without = max(best[i][j + 1], best[i + 1][j], key=lambda each: each[0])
            best[i + 1][j + 1] = (with_both, [*best[i][j][1], (i, j)]) if value and with_both > without[0] else without
    return best[expected][got][1]


def assigned(expected: int, got: int, worth: Worth) -> list[tuple[int, int]]:
    """Pairs (expected, got) of the greatest sum of worths, whatever their order (the Hungarian method, Kuhn 1955, by shortest paths).

    Taking the best pair first instead would make the sum depend on how calls are listed.
    """
    turned = expected > got
    rows, columns = min(expected, got), max(expected, got)
    cost = [[-(worth(j, i) if turned else worth(i, j)) for j in range(columns)] for i in range(rows)]
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of, before = [0] * (columns + 1), [0] * (columns + 1)  # of each column, from 1; 0 is none
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        least, used = [float("inf")] * (columns + 1), [False] * (columns + 1)
        while row_of[column]:
            used[column] = True
            here = row_of[column]
            for j in (j for j in range(1, columns + 1) if not used[j]):
                step = cost[here - 1][j - 1] - row_price[here] - column_price[j]
                if step < least[j]:
                    least[j], before[j] = step, column
            nearest = min((j for j in range(1, columns + 1) if not used[j]), key=least.__getitem__)
            delta = least[nearest]
            for j in range(columns + 1):
                if used[j]:
                    row_price[row_of[j]] += delta
                    column_price[j] -= delta
                else:
                    least[j] -= delta
            column = nearest
        while column:
            row_of[column], column = row_of[before[column]], before[column]
    pairs = [(row_of[j] - 1, j - 1) for j in range(1, columns + 1) if row_of[j]]
    chosen = [(j, i) if turned else (i, j) for i, j in pairs]
    return sorted(pair for pair in chosen if worth(*pair))
