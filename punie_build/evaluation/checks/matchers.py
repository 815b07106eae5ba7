"""Matchers of argument values.

    path = "a.py"                                          equal to this value and of its type
    path = ["a.py", "./a.py"]                              equal to one of these values
    tags = []                                              an empty list
    path = { match = "regex", pattern = ".*\\.py" }         the pattern matches the complete text
    limit = { match = "number", value = 10, within = 1 }   a number with a tolerance
    cwd = { match = "optional", value = "." }              equal to this value, or omitted
    line = { match = "any" }                               any value;  "ignore": any value or none;  "absent": omitted
    tags = { match = "value", value = ["a", "b"] }         equal to this list or table
    where = { age = [40, 50] }                             a table with these keys; its values are expected likewise
    people = { match = "list", items = [{ age = 40 }] }    a list of these items in this order, expected likewise
    most = { match = "null" }                              JSON null

To add a matcher, write a class with `matches` and `example`, and add it to `AnyMatcher` and `MATCHER_TAGS`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from punie_build.schema.spec import TaggedSpec

REGEX_SECONDS = 1.0
_LOOSE = re.compile(r"[ ,./\-_*^]")


class Missing(Struct, frozen=True):
    """The type of `MISSING`, which stands for the value of an omitted argument."""


MISSING = Missing()


class Matcher(TaggedSpec, frozen=True, kw_only=True, tag_field="match"):
    """A rule that accepts or rejects the value of an argument. `value` is `MISSING` if the argument is omitted."""

    NOUN: ClassVar = "matcher"

    def matches(self, value: Any, loose: bool) -> bool:
        raise NotImplementedError

    def example(self) -> Any:
        """Return a value that matches, for the reference answer of a case."""
        raise NotImplementedError


class ExactValue(Matcher, frozen=True, kw_only=True, tag="value"):
    """Match this value only."""

    value: Any

    def matches(self, value: Any, loose: bool) -> bool:
        return equal(self.value, value, loose)

    def example(self) -> Any:
        return self.value


class OneOf(Matcher, frozen=True, kw_only=True, tag="one-of"):
    """Match one of these values. Tables among them may have lists and matchers inside, like those of arguments."""

    values: Annotated[tuple[Any, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        force_setattr(self, "values", tuple(map(_item, self.values)))

    def matches(self, value: Any, loose: bool) -> bool:
        return any(_matches(option, value, loose) for option in self.values)

    def example(self) -> Any:
        return _example(self.values[0])


class TableValue(Matcher, frozen=True, kw_only=True, tag="table"):
    """Match a table with these keys and no others. Each value is a value, a list of allowed values, or a matcher."""

    values: dict[str, Any]

    def __post_init__(self) -> None:
        force_setattr(self, "values", {key: to_matcher(value) for key, value in self.values.items()})

    def matches(self, value: Any, loose: bool) -> bool:
        return (
            isinstance(value, dict)
            and value.keys() <= self.values.keys()
            and all(matcher.matches(value.get(key, MISSING), loose) for key, matcher in self.values.items())
        )

    def example(self) -> Any:
        examples = {key: matcher.example() for key, matcher in self.values.items()}
        return {key: value for key, value in examples.items() if value is not MISSING}


class ListValue(Matcher, frozen=True, kw_only=True, tag="list"):
    """Match a list of these items, in this order. An item is a value, a table, a list of items, or a matcher."""

    items: tuple[Any, ...]

    def __post_init__(self) -> None:
        force_setattr(self, "items", tuple(map(_item, self.items)))

    def matches(self, value: Any, loose: bool) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) == len(self.items)
            and all(_matches(*pair, loose) for pair in zip(self.items, value, strict=True))
        )

    def example(self) -> Any:
        return [_example(item) for item in self.items]


class NullValue(Matcher, frozen=True, kw_only=True, tag="null"):
    """Match JSON null, which TOML cannot write."""

    def matches(self, value: Any, loose: bool) -> bool:
        return value is None

    def example(self) -> Any:
        return None


class RegexValue(Matcher, frozen=True, kw_only=True, tag="regex"):
    """Match a text if the pattern matches all of it. `like` is such a text, for the reference answer of the case."""

    pattern: str
    like: str | None = None

    def __post_init__(self) -> None:
        compile_pattern(self.pattern)

    def matches(self, value: Any, loose: bool) -> bool:
        return isinstance(value, str) and occurs(self.pattern, value, whole=True)

    def example(self) -> Any:
        return self.like


class AnyValue(Matcher, frozen=True, kw_only=True, tag="any"):
    """Match any value, but not an omitted argument."""

    def matches(self, value: Any, loose: bool) -> bool:
        return value is not MISSING

    def example(self) -> Any:
        return "x"


class AbsentValue(Matcher, frozen=True, kw_only=True, tag="absent"):
    """Match an omitted argument."""

    def matches(self, value: Any, loose: bool) -> bool:
        return value is MISSING

    def example(self) -> Any:
        return MISSING


class IgnoredValue(Matcher, frozen=True, kw_only=True, tag="ignore"):
    """Match any value and an omitted argument."""

    def matches(self, value: Any, loose: bool) -> bool:
        return True

    def example(self) -> Any:
        return MISSING


class NumberValue(Matcher, frozen=True, kw_only=True, tag="number"):
    """Match an integer or float that differs from `value` by at most `within`."""

    value: float
    within: Annotated[float, Meta(ge=0)] = 0.0

    def matches(self, value: Any, loose: bool) -> bool:
        try:
            return (
                isinstance(value, int | float)
                and not isinstance(value, bool)
                and abs(value - self.value) <= self.within
            )
        except OverflowError:  # an integer beyond all floats
            return False

    def example(self) -> Any:
        return int(self.value) if self.value.is_integer() else self.value


class OptionalValue(Matcher, frozen=True, kw_only=True, tag="optional"):
    """Match an omitted argument and this value, usually the default of the tool. A list means one of its values."""

    value: Any

    def __post_init__(self) -> None:
        force_setattr(self, "value", to_matcher(self.value))

    def matches(self, value: Any, loose: bool) -> bool:
        return value is MISSING or bool(self.value.matches(value, loose))

    def example(self) -> Any:
        return MISSING


AnyMatcher = (
    ExactValue
    | OneOf
    | RegexValue
    | AnyValue
    | AbsentValue
    | IgnoredValue
    | NumberValue
    | OptionalValue
    | TableValue
    | ListValue
    | NullValue
)
MATCHER_TAGS = "value, one-of, regex, any, absent, ignore, number, optional, table, list, null"


def to_matcher(expected: Any) -> Matcher:
    """Return the matcher of an expected value as a recipe writes it. Raise ValueError for an invalid matcher."""
    if isinstance(expected, Matcher):
        return expected
    if isinstance(expected, list | tuple):
        return OneOf(values=tuple(expected)) if expected else ExactValue(value=[])
    if isinstance(expected, dict) and "match" in expected:
        try:
            matcher: Matcher = msgspec.convert(expected, AnyMatcher)
        except msgspec.ValidationError as error:
            raise ValueError(f"matcher: {str(error).partition(' - at ')[0].lower()} - use {MATCHER_TAGS}") from None
        return matcher
    if isinstance(expected, dict) and expected:
        return TableValue(values=expected)
    return NullValue() if expected is None else ExactValue(value=expected)


def _item(expected: Any) -> Any:
    """Return an item of a list: a matcher of null, of a table or of a list with such inside; others as they are."""
    if isinstance(expected, list | tuple):
        return ListValue(items=tuple(expected)) if _has_table(expected) else expected
    return to_matcher(expected) if expected is None or isinstance(expected, dict) else expected


def _has_table(items: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether a list has a table, a matcher or null at any depth."""
    pending = list(items)
    while pending:
        item = pending.pop()
        if item is None or isinstance(item, dict | Matcher):
            return True
        if isinstance(item, list | tuple):
            pending += item
    return False


def _matches(expected: Any, value: Any, loose: bool) -> bool:
    return expected.matches(value, loose) if isinstance(expected, Matcher) else equal(expected, value, loose)


def _example(expected: Any) -> Any:
    return expected.example() if isinstance(expected, Matcher) else expected


def equal(expected: Any, value: Any, loose: bool = False) -> bool:
    """Return whether two values are equal at every depth, as in JSON: 5.0 is 5, but true is not 1.

    With `loose` they are compared as the Berkeley leaderboard does: texts without case, spaces and , . / - _ * ^; an
    integer matches the same float, but a float does not match an integer.
    """
    if isinstance(expected, dict) and isinstance(value, dict):
        return expected.keys() == value.keys() and all(equal(item, value[key], loose) for key, item in expected.items())
    if isinstance(expected, list | tuple) and isinstance(value, list | tuple):
        return len(expected) == len(value) and all(equal(*pair, loose) for pair in zip(expected, value, strict=True))
    if loose and isinstance(expected, str) and isinstance(value, str):
        return loose_form(expected) == loose_form(value)
    if {type(expected), type(value)} == {int, float}:
        return bool(expected == value) and not (loose and isinstance(value, float))
    return type(expected) is type(value) and bool(expected == value)


def loose_form(text: str) -> str:
    """Return the text without case, spaces and punctuation, and with double quotes only."""
    return _LOOSE.sub("", text).lower().replace("'", '"')


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression. Raise ValueError with its mistake."""
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r}: {error} - correct the expression") from None


def occurs(pattern: str, text: str, whole: bool = False) -> bool:
    """Return whether a pattern occurs in a text; with `whole`, whether it matches all of it. A dot matches every
    character. Raise TimeoutError after `REGEX_SECONDS`: nested repeats may need longer than the universe has."""
    import regex  # reads expressions as `re` does, and has a time limit

    compiled = regex.compile(compile_pattern(pattern).pattern, regex.DOTALL | regex.VERSION0)
    search = compiled.fullmatch if whole else compiled.search
    try:
        return search(text, timeout=REGEX_SECONDS) is not None
    except TimeoutError:
        raise TimeoutError(
            f"pattern {pattern!r} took more than {REGEX_SECONDS:g} seconds - write it without nested repeats"
        ) from None
