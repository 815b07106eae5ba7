"""Token files: the rows of a split as token ids with their marks, in one safetensors file. Read without a tokenizer, and
without a copy of what is not asked for."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from msgspec import Struct

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
