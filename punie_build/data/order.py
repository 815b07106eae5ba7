"""The order of the training rows of a mix, for curricula. A training keeps it with `batching = "file"`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from punie_build.data.example import SPLITS
from punie_build.schema.spec import Spec

if TYPE_CHECKING:
    from punie_build.data.row_files import RowFiles, RowLocation

_decode_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
SortKey = tuple[int, float, str]  # numbers, then texts, then rows without a value
NO_VALUE: SortKey = (2, 0.0, "")


class Order(Spec, frozen=True, kw_only=True):
    """Training rows sorted by `length` (characters), by the value of a `key` of the row, or part by part.

    Rows of equal rank are shuffled. With `descending` the largest comes first, or the last part; rows without a value
    under `key` always come last.
    """

    by: Literal["length", "key", "parts"]
    key: str = ""
    descending: bool = False

    def __post_init__(self) -> None:
        if (self.by == "key") != bool(self.key):
            raise ValueError('`key` names the key of the rows to sort by - give it with by = "key", and only with it')

    def sort(self, rows: list[RowLocation], files: RowFiles) -> tuple[list[RowLocation], str]:
        """Return the rows in this order, and a note on rows without a value; the sort is stable."""
        ranks = {row: self._rank(row, files) for row in set(rows)}
        unranked = [row for row in rows if ranks[row] == NO_VALUE]
        ranked = [row for row in rows if ranks[row] != NO_VALUE]
        ranked.sort(key=ranks.__getitem__, reverse=self.descending)
        note = f"{len(unranked)} training rows have no '{self.key}' and come last" if unranked else ""
        return ranked + unranked, note

    def _rank(self, row: RowLocation, files: RowFiles) -> SortKey:
        if self.by == "parts":
            return 0, row.file // len(SPLITS), ""
        line = files.row(row)
        if self.by == "length":
            return 0, len(line.example.text()), ""
        value = msgspec.json.decode(_decode_keys(line.line).get(self.key, msgspec.Raw(b"null")))
        if isinstance(value, bool | int | float):
            return 0, float(value), ""
        return (1, 0.0, value) if isinstance(value, str) else NO_VALUE
