"""The base class of transforms, which rewrite rows; `transforms` has most of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import msgspec

from punie_build.data.filters.union import FilterContext
from punie_build.schema.spec import TaggedSpec

_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_messages = msgspec.json.Decoder(list[dict[str, Any]], float_hook=lambda text: msgspec.Raw(text.encode())).decode


class RowRewriter(Protocol):
    """A function that rewrites rows: a transform, or a transform with the process of its function."""

    @property
    def counts(self) -> Counter[str]:
        """Return the remarks of the pass, with the number of rows or turns of each."""

    def applies(self, line: bytes) -> bool:
        """Return False if `rewrite` cannot change the row."""

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record in place. Return whether anything changed."""


class Transform(TaggedSpec, frozen=True, kw_only=True):
    """A rewrite of a row's `messages`. All other keys of the row keep their bytes."""

    NOUN: ClassVar = "map"

    PACKAGES: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[Counter[str]] = Counter()  # of a transform without remarks

    def applies(self, line: bytes) -> bool:
        """Return False if `rewrite` cannot change the row: a cheap test of the undecoded line."""
        return True

    def rewrite(self, record: dict[str, Any]) -> bool:
        """Change the record's messages, or its tools, in place. Return whether anything changed."""
        raise NotImplementedError

    def bind(self, context: FilterContext) -> RowRewriter:
        """Return the rewriter of the rows of one pass."""
        return self


def transform_line(line: bytes, transforms: Iterable[RowRewriter]) -> bytes:
    """Return the line after the transforms: the same object if they do not change it.

    Raises ValueError for messages that cannot be decoded, such as integers with more digits than Python accepts.
    """
    for transform in transforms:
        if transform.applies(line):
            record: dict[str, Any] = _decode_keys(line)
            try:
                record["messages"] = _decode_messages(record["messages"])
            except (msgspec.ValidationError, RecursionError) as error:
                raise ValueError(str(error)) from None
            if transform.rewrite(record):
                line = msgspec.json.encode(record) + b"\n"
    return line
