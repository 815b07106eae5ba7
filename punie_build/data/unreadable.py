"""Rows that cannot be read, and messages about them in which equal reasons are one line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

MAX_REASONS = 20  # that a message lists; the rest are counted
MAX_PLACES = 3  # rows of one reason that a message names
_VARIABLE = re.compile(r"\d+|'[^']*'")  # what differs between the rows of one reason


class UnreadableRow(Struct, frozen=True):
    """A record that is not chat in any dialect: its file and number, the reason, and its bytes if it has a line."""

    where: str
    reason: str
    line: bytes = b""


class UnreadableRows:
    """The unreadable rows of a source: for each reason their number and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[str, list[UnreadableRow]] = {}
        self.counts: dict[str, int] = {}

    def add(self, row: UnreadableRow) -> None:
        """Count a row. Reasons are equal if they differ only in numbers and quoted names."""
        key = _VARIABLE.sub("#", row.reason)
        self.count += 1
        self.counts[key] = self.counts.get(key, 0) + 1
        rows = self.first.setdefault(key, [])
        if len(rows) < MAX_PLACES:
            rows.append(row)

    def lines(self) -> Iterator[str]:
        """Yield `file:row: reason` for each reason, with the number of rows and the next of them."""
        for key, rows in list(self.first.items())[:MAX_REASONS]:
            count, others = self.counts[key], ", ".join(row.where for row in rows[1:])
            further = f" and {count - len(rows)} more" if count > len(rows) else ""
            number = f" ({count} rows: also {others}{further})" if count > 1 else ""
            yield f"{rows[0].where}: {rows[0].reason}{number}"
        if (remaining := len(self.first) - MAX_REASONS) > 0:
            rows_of_rest = sum(list(self.counts.values())[MAX_REASONS:])
            yield f"... and {remaining} more reasons, {rows_of_rest} rows"
