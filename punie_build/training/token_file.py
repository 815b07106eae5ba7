"""Token files: the rows of a split as token ids with their loss mask, in one safetensors file.

Reading one needs no tokenizer. stats.json beside the files counts their rows and tokens.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field, to_builtins

from punie_build.training.tokenization import TokenizedRow

NumpyArray = Any
TENSORS = {"ids": "int32", "learnt": "uint8", "ends": "int64", "lines": "int32"}  # name in the file -> dtype
REJECTED = "rejected"  # int32, in files of pairs only


class TokenRows(Struct, frozen=True):
    """The rows of a split.

    `ids` (tokens,) and `loss_mask` (tokens,) hold all rows concatenated. Row `i` ends at `ends[i]` (rows,) and comes
    from line `lines[i]` (rows,) of its JSONL file, counted from 1.

    Of pairs, `rejected[i]` (rows,) is the index within row `i` at which the text with the rejected answer begins, and
    `reference` (rows, 2) the log-probabilities in nats of both answers by the model that the training starts from.
    """

    ids: NumpyArray
    loss_mask: NumpyArray
    ends: NumpyArray
    lines: NumpyArray
    rejected: NumpyArray | None = None
    reference: NumpyArray | None = None

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> list[int]:
        """The length of each row in tokens."""
        import numpy as np

        lengths: list[int] = np.diff(self.ends, prepend=0).tolist()
        return lengths

    @property
    def input_lengths(self) -> list[int]:
        """The number of inputs of each row: the last token of a text is a target only."""
        return [length - (1 if self.rejected is None else 2) for length in self.lengths]

    @property
    def text_lengths(self) -> list[int] | None:
        """The number of inputs of the longer text of each pair; None if the rows are no pairs."""
        if self.rejected is None:
            return None
        pairs = zip(self.rejected.tolist(), self.lengths, strict=True)
        return [max(start, length - start) - 1 for start, length in pairs]

    def row(self, index: int) -> tuple[NumpyArray, NumpyArray]:
        """Return the ids and the loss mask of a row, as views."""
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        return self.ids[start:end], self.loss_mask[start:end]

    def sample(self, count: int) -> TokenRows:
        """Return `count` of the rows, spread over the file; all of them if there are fewer."""
        if len(self) <= count:
            return self
        return self.chosen([index * len(self) // count for index in range(count)])

    def chosen(self, rows: Sequence[int]) -> TokenRows:
        """Return some of the rows, in this order; of pairs without their second texts' places."""
        writer = TokenWriter()
        for row in rows:
            ids, mask = self.row(row)
            writer.add(int(self.lines[row]), TokenizedRow(ids.tolist(), mask.tolist()))
        return writer.rows()

    def wanted(self) -> TokenRows:
        """Return rows of the wanted answers alone; the same rows if they are no pairs."""
        if self.rejected is None:
            return self
        writer = TokenWriter()
        for index, line in enumerate(self.lines):
            ids, mask = self.texts(index)[0]
            writer.add(int(line), TokenizedRow(ids.tolist(), mask.tolist()))
        return writer.rows()

    def texts(self, index: int) -> list[tuple[NumpyArray, NumpyArray]]:
        """Return the ids and the loss mask of each text of a row, as views: two of a pair, else one."""
        ids, mask = self.row(index)
        if self.rejected is None:
            return [(ids, mask)]
        start = int(self.rejected[index])
        return [(ids[:start], mask[:start]), (ids[start:], mask[start:])]


class TokenCounts(Struct, kw_only=True):
    """Counts of one split in tokens.

    `rows` and `tokens` are those of the token file, `trained_tokens` those of them under the loss mask. Rows longer
    than `max_seq_length` are `truncated` or `dropped`; `fully_masked` rows, without a trained token, are dropped too,
    as are pairs with a text without one, or that are equal where they are truncated.
    `longest` is the length of the longest row before that, in tokens. `notes` counts `models.rendered_row.NOTES` by
    name, `dropped_parts` the parts of rows that the chat template drops.
    """

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = field(name="learnt", default=0)
    truncated: int = field(name="cut", default=0)
    dropped: int = 0
    fully_masked: int = field(name="mute", default=0)
    longest: int = 0
    notes: dict[str, int] = {}
    dropped_parts: dict[str, int] = {}

    def add(self, notes: Mapping[str, int], dropped_parts: Mapping[str, int]) -> None:
        """Count what the chat template left to us in one conversation, and what it drops."""
        for counts, more in ((self.notes, notes), (self.dropped_parts, dropped_parts)):
            for name, count in more.items():
                counts[name] = counts.get(name, 0) + count


class TokenStats(Struct, kw_only=True):
    """stats.json of a folder of tokens: the counts of each split."""

    train: TokenCounts = field(default_factory=TokenCounts)
    valid: TokenCounts = field(default_factory=TokenCounts)
    test: TokenCounts = field(default_factory=TokenCounts)

    @property
    def splits(self) -> tuple[TokenCounts, ...]:
        """The counts of all splits."""
        return self.train, self.valid, self.test

    def write(self, folder: Path) -> None:
        """Write stats.json into a folder."""
        splits = to_builtins(self)
        for counts in splits.values():
            for name in ("notes", "dropped_parts"):
                if not counts[name]:  # most templates render every part
                    del counts[name]
        (folder / "stats.json").write_text(json.dumps(splits, indent=1) + "\n")


def read_stats(folder: Path) -> TokenStats:
    """Read the stats.json of a folder of tokens."""
    return msgspec.json.decode((folder / "stats.json").read_bytes(), type=TokenStats)


class TokenWriter:
    """A collector of the rows of a split, which are written at once: 5 bytes per token."""

    def __init__(self) -> None:
        self.ids, self.loss_mask, self.ends, self.lines = array("i"), array("B"), array("q"), array("i")
        self.rejected = array("i")

    def add(self, line: int, row: TokenizedRow) -> None:
        """Add the row of a line, counted from 1."""
        self.ids.extend(row.ids)
        self.loss_mask.extend(row.loss_mask)
        self.ends.append(len(self.ids))
        self.lines.append(line)
        self.rejected.append(row.rejected)

    def save(self, path: Path) -> None:
        """Write the token file."""
        from safetensors.numpy import save_file

        save_file(self._tensors(), path)

    def rows(self) -> TokenRows:
        """Return the rows so far."""
        return _token_rows(self._tensors())

    def _tensors(self) -> dict[str, NumpyArray]:
        import numpy as np

        columns = (self.ids, self.loss_mask, self.ends, self.lines)
        tensors = {name: np.array(column, TENSORS[name]) for name, column in zip(TENSORS, columns, strict=True)}
        return tensors | ({REJECTED: np.array(self.rejected, "int32")} if any(self.rejected) else {})


def load(path: Path) -> TokenRows:
    """Read a token file. Raises OSError or SafetensorError."""
    from safetensors.numpy import load_file

    return _token_rows(load_file(path))


def _token_rows(tensors: dict[str, NumpyArray]) -> TokenRows:
    ids, loss_mask, ends, lines = (tensors[name] for name in TENSORS)
    return TokenRows(ids, loss_mask, ends, lines, tensors.get(REJECTED))
