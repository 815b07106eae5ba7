"""The rows that the commands `dataset ...` read: those of any file or folder, as chat."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from punie_build.cli.options import Options, layout_of
from punie_build.data.example import SPLITS, Row
from punie_build.data.ingest import ingest, require_readable
from punie_build.data.readers.discovery import list_folder
from punie_build.data.sources import Local
from punie_build.data.unreadable import UnreadableRow, UnreadableRows


def print_skipped(root: Path, path: str) -> None:
    """Name the files of a folder that are not read."""
    for note in list_folder(root / path).notes() if (root / path).exists() else ():
        print(f"{path}: {note}", file=sys.stderr)


def readable_rows(root: Path, path: str, options: Options, scratch: Path) -> Iterator[tuple[str | None, Row]]:
    """Yield the rows of a file or folder; name the files that are skipped.

    With `--unreadable drop`, the number of unreadable rows is printed, by reason.
    """
    print_skipped(root, path)
    rows = ingest(root, Local(path=path), options.dialect, scratch, layout_of(options))
    if options.unreadable == "error":
        yield from require_readable(rows)
        return
    unreadable = UnreadableRows()
    for split, row in rows:
        if isinstance(row, UnreadableRow):
            unreadable.add(row)
        else:
            yield split, row
    for line in unreadable.lines():
        print(f"dropped: {line}", file=sys.stderr)


@contextmanager
def chat_folder(root: Path, options: Options) -> Iterator[Path]:
    """Yield a temporary folder with the rows of a file or folder as chat JSONL."""
    with tempfile.TemporaryDirectory() as scratch:
        write_chat(root, options.path, options, Path(scratch))
        yield Path(scratch)


def write_chat(root: Path, path: str, options: Options, folder: Path) -> bool:
    """Write the rows of a file or folder as chat, those without a split to train. Return whether they have splits."""
    has_splits = False
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for split, row in readable_rows(root, path, options, folder):
            has_splits = has_splits or split is not None
            files[split or "train"].write(row.line + b"\n")
    return has_splits
