"""The file `untrained.txt` of a data folder: it is there if rows have messages of weight 0, which are not trained.

Tokens read it. Those that were made before the weight was honored become stale, and no others: an absent file is in no
digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from punie_build.data.example import decode_example

FILE = "untrained.txt"
TEXT = "rows here have messages of weight 0, which are not trained\n"
WEIGHT = re.compile(rb'"weight"\s*:\s*(?:-?0|false)')  # also in a key of a tool: the row itself decides


def has_untrained(lines: Iterable[bytes]) -> bool:
    """Whether a message of a row is marked as not to be trained."""
    marked = (line for line in lines if WEIGHT.search(line))
    return any(not message.is_trained for line in marked for message in decode_example(line).messages)


def may_have_untrained(folder: Path) -> bool:
    """Whether rows of a folder can have messages of weight 0: a data folder that we wrote says so by its files."""
    return (folder / FILE).exists() or not (folder / "stats.json").exists()


def write(folder: Path) -> None:
    """Write the file."""
    (folder / FILE).write_text(TEXT, encoding="ascii")
