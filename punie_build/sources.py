"""Sources: where raw examples come from.

To add one: a class with `rows`, its name in `AnySource` at the end of the file, a test. A source gives rows by split; rows without a split
(None) are split by the dataset. Reading files is left to the caller, who passes `read`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from punie_build.examples import SPLITS, Row, parse
from punie_build.spec import Kind

Read = Callable[[Iterable[Path]], Iterator[tuple[Path, Row]]]  # jsonl.read_all


class Source(Kind, frozen=True, kw_only=True):
    def rows(self, root: Path, read: Read) -> Iterator[tuple[str | None, Row]]:
        """Every example with the split it belongs to, or None; `root` is the project's folder."""
        raise NotImplementedError

    def inputs(self) -> tuple[str, ...]:
        """Paths in the project that this source reads."""
        return ()


class Sample(Source, frozen=True, kw_only=True):
    """Synthetic editor conversations: `max_examples` of them, one in six meant to be sifted out."""

    max_examples: Annotated[int, Meta(ge=1)] = 100
    seed: int = 0

    def rows(self, root: Path, read: Read) -> Iterator[tuple[str | None, Row]]:
        from punie_build.samples import sample

        return ((None, parse(msgspec.json.encode(sample(self.seed, index)))) for index in range(self.max_examples))


class HandAuthored(Source, frozen=True, kw_only=True):
    """The conversations shipped with punie-build: seven editor tools, written one by one."""

    def rows(self, root: Path, read: Read) -> Iterator[tuple[str | None, Row]]:
        from punie_build.authored import conversations

        return ((None, parse(msgspec.json.encode(conversation))) for conversation in conversations())


class Local(Source, frozen=True, kw_only=True):
    """Chat JSONL in the project: a file, or a folder. A folder's train, valid and test files keep their sides."""

    path: str

    def inputs(self) -> tuple[str, ...]:
        return (self.path,)

    def rows(self, root: Path, read: Read) -> Iterator[tuple[str | None, Row]]:
        place = root / self.path
        files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
        sides = {file: (file.stem if file.stem in SPLITS else None) for file in files}
        if any(sides.values()):  # a folder in mlx-lm's layout: other files beside the splits are not part of it
            files = [file for file in files if sides[file]]
        return ((sides[file], row) for file, row in read(files))


AnySource = Sample | HandAuthored | Local
