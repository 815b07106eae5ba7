"""Token files: the rows of a split as token ids with their marks, in one safetensors file. Read without a tokenizer, and
without a copy of what is not asked for."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field, to_builtins

from punie_build.training.tokenization import Tokens

Ids = Any  # a numpy array of int32


class Rows(Struct, frozen=True):
    """The rows of a split. `ids` (tokens,) and `learnt` (tokens,) of all of them behind one another; row `i` ends at `ends[i]`
    (rows,) and came from line `lines[i]` (rows,), counted from 1."""

    ids: Any
    learnt: Any
    ends: Any
    lines: Any

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> list[int]:
        """Of each row, in tokens."""
        import numpy as np

        found: list[int] = np.diff(self.ends, prepend=0).tolist()
        return found

    def row(self, index: int) -> tuple[Ids, Any]:
        """(ids, marks) of a row, as views."""
        start, end = int(self.ends[index - 1]) if index else 0, int(self.ends[index])
        return self.ids[start:end], self.learnt[start:end]


class TokenCounts(Struct, kw_only=True):
    """Counts of one split in tokens.

    `rows` and `tokens` are those of the token file, `trained_tokens` those of them under the loss mask. Rows longer than
    `max_seq_length` are `truncated` or `dropped`; `fully_masked` rows, without a trained token, are dropped too. `longest`
    is the length of the longest row before that, in tokens.
    """

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = field(name="learnt", default=0)
    truncated: int = field(name="cut", default=0)
    dropped: int = 0
    fully_masked: int = field(name="mute", default=0)
    longest: int = 0


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
        (folder / "stats.json").write_text(json.dumps(to_builtins(self), indent=1) + "\n")


def stats(folder: Path) -> TokenStats:
    """Read the stats.json of a folder of tokens."""
    return msgspec.json.decode((folder / "stats.json").read_bytes(), type=TokenStats)


class Writer:
    """The rows of a split, to be saved when all are there: 5 bytes a token."""

    def __init__(self) -> None:
        self.ids, self.learnt, self.ends, self.lines = array("i"), array("B"), array("q"), array("i")

    def add(self, line: int, row: Tokens) -> None:
        """Add the row of a line, counted from 1."""
        self.ids.extend(row.ids)
        self.learnt.extend(row.learnt)
        self.ends.append(len(self.ids))
        self.lines.append(line)

    def save(self, path: Path) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        parts = {"ids": np.int32, "learnt": np.uint8, "ends": np.int64, "lines": np.int32}
        save_file({name: np.array(getattr(self, name), dtype=kind) for name, kind in parts.items()}, path)


def load(path: Path) -> Rows:
    """The rows of a token file. Raises OSError or safetensors' error where it is none."""
    from safetensors.numpy import load_file

    return Rows(**load_file(path))
