"""Filters on a whole row: on any of its keys, such as a category or a score, and by a function of the user's own."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from punie_build.data.example import Example
from punie_build.data.filters.filter import EMPTY_CONTEXT, FilterContext, LineFilter, LinePredicate
from punie_build.data.user_function import UserFunction, require_function
from punie_build.errors import DataError

Scalar = str | int | float | bool
_MISSING = object()
_decode_exactly = msgspec.json.Decoder().decode


def _decode(line: bytes) -> Any:
    """Return the value of a line. A number beyond the range of a float, which msgspec refuses, is infinite."""
    try:
        return _decode_exactly(line)
    except msgspec.ValidationError:
        return json.loads(line)


class Where(LineFilter, frozen=True, kw_only=True, tag="where"):
    """Keep rows by the value under `key`: one of `values`, none of `not_values`, or a number from `least` to `most`.

    Dots in `key` lead into objects and lists: `metadata.score`, `messages.-1.content`. With `measure = "length"` the
    length of the text or list is compared: characters, or items. Rows without the key, or with another type than a
    number for `least` and `most`, are dropped, or kept with `missing = "keep"`.
    """

    key: Annotated[str, Meta(min_length=1)]
    values: tuple[Scalar, ...] = ()
    not_values: tuple[Scalar, ...] = ()
    least: float | None = None
    most: float | None = None
    measure: Literal["value", "length"] = "value"
    missing: Literal["drop", "keep"] = "drop"

    def __post_init__(self) -> None:
        if not (self.values or self.not_values) and self.least is None and self.most is None:
            raise ValueError("a filter `where` has no condition - give `values`, `not_values`, `least` or `most`")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least {self.least} is more than most {self.most} - exchange them")

    @property
    def is_bounded(self) -> bool:
        """Whether numbers are compared."""
        return self.least is not None or self.most is not None

    def applies_to(self, line: bytes) -> bool:
        """Whether a row has a value that the condition can be tested with."""
        value = value_at(_decode(line), self.key.split("."))
        if self.measure == "length":
            return isinstance(value, str | list | dict)
        return value is not _MISSING and value is not None and not (self.is_bounded and as_number(value) is None)

    def line_predicate(self, context: FilterContext = EMPTY_CONTEXT) -> LinePredicate:
        parts = self.key.split(".")
        values, not_values = ({_typed(value) for value in items} for items in (self.values, self.not_values))
        bounded = self.is_bounded
        least, most = (self.least, self.most)

        def keep(line: bytes, _: Example) -> bool:
            value = value_at(_decode(line), parts)
            if self.measure == "length" and value is not _MISSING:
                value = len(value) if isinstance(value, str | list | dict) else _MISSING
            number = as_number(value) if bounded else None
            if value is _MISSING or value is None or (bounded and number is None):
                return self.missing == "keep"
            if (
                bounded
                and number is not None
                and not ((least is None or number >= least) and (most is None or number <= most))
            ):
                return False
            items = [_typed(item) for item in value] if isinstance(value, list) else [_typed(value)]
            return (not values or not values.isdisjoint(items)) and not_values.isdisjoint(items)

        return keep


class PythonFilter(LineFilter, frozen=True, kw_only=True, tag="python"):
    """Keep rows for which a Python function of the project returns true: `function = "filters.mine:keep"`.

    It gets the row as a dictionary, in a limited process (see `user_function`). An error, a result that is not a bool,
    and more than `seconds` for a row stop the build.
    """

    function: str
    seconds: Annotated[float, Meta(gt=0)] = 10.0

    def __post_init__(self) -> None:
        require_function(self.function)

    def line_predicate(self, context: FilterContext = EMPTY_CONTEXT) -> LinePredicate:
        function = UserFunction(context.root, self.function, self.seconds)

        def keep(line: bytes, _: Example) -> bool:
            result = function(msgspec.Raw(line.strip()))
            if not isinstance(result, bool):
                raise DataError(f"function {self.function}: returned {result!r} - return True or False")
            return result

        return keep


def value_at(value: Any, parts: list[str]) -> Any:
    """Return the value under a path of keys and indices, or a marker for a path that leads nowhere."""
    for part in parts:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.removeprefix("-").isdecimal() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return _MISSING
    return value


def as_number(value: Any) -> float | None:
    """Return a number, also one that is written as text, None for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _typed(value: Any) -> Any:
    """Return a value that equals only values of its JSON type: 1 is 1.0, and neither is true."""
    return (value,) if isinstance(value, bool) else value if isinstance(value, str | int | float) else repr(value)
