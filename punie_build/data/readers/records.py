"""Readers: a file of data, record by record, in constant memory, whatever its format.

A record is the bytes of its line where the format has lines, exactly as they stand in the file: what is read is what is
written on. Tables (Parquet, CSV, TSV) give a dict. A str in a record's place says what is wrong with it; whoever reads puts
file and number before it and tells all problems at once. What cannot be read on from is a DataError.

To add a format: a function from a path and the file's pieces to numbered records, its name in `FORMATS`, a row in the table
of `tests/unit/data/test_readers.py`, and the name in `sources.Format`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from punie_build.data.readers.compression import DamagedError, pieces, unpacked
from punie_build.data.readers.discovery import (
    SIDES,
    files,
    kind,
    side,
    sided,
    stem,
)
from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.lines import lines_of, split
from punie_build.data.readers.record import TOO_LONG, Numbered, Record, needed, shown
from punie_build.errors import DataError

__all__ = [
    "FORMATS",
    "SIDES",
    "TOO_LONG",
    "DamagedError",
    "Record",
    "blocks",
    "files",
    "kind",
    "needed",
    "records",
    "shown",
    "side",
    "sided",
    "split",
    "stem",
    "unpacked",
]


def records(path: Path, form: str | None = None) -> Numbered:
    """Number and content of each record: the line, where there are lines, else the record's own; both from 1.

    `form` is a name in FORMATS, for a file whose own name does not end in one. Raises DataError for a file that is not
    there, is damaged, or is of a format nobody here reads.
    """
    form = _form(path, form)
    with _told(path):
        yield from FORMATS[form](path, pieces(path, form))


def blocks(path: Path, form: str | None = None) -> Iterator[list[bytes]]:
    """The lines of a file that has lines, a MiB or so at a time, without their ends: `records` for whoever is in a hurry.

    A line above LONGEST_LINE is cut to LONGEST_LINE + 1 bytes, which is never the JSON it was, and never held whole.
    """
    form = _form(path, form)
    if FORMATS[form] is not lines_of:
        raise DataError(f"{shown(path)}: {form} has no lines - it is read record by record")
    with _told(path):
        yield from split(pieces(path, form))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What keeps a file from being read, as a DataError."""
    try:
        yield
    except DamagedError as error:
        raise DataError(f"{shown(path)}: damaged or cut short ({error}) - copy or download it again") from None
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror or error}) - correct the path") from None


def _form(path: Path, form: str | None) -> str:
    if form := form or kind(path.name):
        return form
    raise DataError(f"{shown(path)}: a format nobody here reads - known: {', '.join(FORMATS)}")
