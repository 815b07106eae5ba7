"""The records of a data file, one at a time, in constant memory, whatever its format.

A record is the bytes of its line where the format has lines, exactly as they are in the file, so that they are
written on unchanged. Tables (Parquet, CSV, TSV) give a dict. A str instead of either is the reason why this record
cannot be read; the caller adds file and number and reports all such records together. An error that ends the file is
a DataError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, zip_longest
from pathlib import Path

from punie_build.data.readers.compression import DamagedError, PackedError, read_chunks
from punie_build.data.readers.discovery import format_of
from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.message_trees import join_trees
from punie_build.data.readers.record import NumberedRecords, display_path
from punie_build.data.readers.sessions import event_number, event_of_file, join_sessions
from punie_build.errors import DataError


def read_records(path: Path, form: str | None = None) -> NumberedRecords:
    """Yield number and content of each record, counted from 1: lines, or records in a format without lines.

    `form` is a name in FORMATS, for a file whose own name does not end in one. Raises DataError for a file that does
    not exist, is damaged, or has an unsupported format.
    """
    form = form or format_of(path.name)
    if form is None:
        raise DataError(f"{display_path(path)}: unsupported format - use one of {', '.join(FORMATS)}")
    try:
        yield from joined(FORMATS[form](path, read_chunks(path, form)))
    except PackedError as error:
        raise DataError(
            f"{display_path(path)}: {error}, as in a decompression bomb - unpack it yourself if you trust it"
        ) from None
    except DamagedError as error:
        raise DataError(f"{display_path(path)}: damaged or truncated ({error}) - copy or download it again") from None
    except OSError as error:
        raise DataError(
            f"{display_path(path)}: cannot be read ({error.strerror or error}) - correct the path"
        ) from None


def read_files(
    files: Iterable[tuple[str | None, Path]], form: str | None = None
) -> Iterator[tuple[str | None, Path, NumberedRecords]]:
    """Yield each file with its split and its records; files of one folder that hold an event each are one session."""
    for (split, folder), group in groupby(files, lambda file: (file[0], file[1].parent)):
        paths = [path for _, path in group]
        events = list(map(event_of_file, paths)) if len(paths) > 1 and event_of_file(paths[0]) else []
        session = sorted((event_number(path), event) for path, event in zip(paths, events, strict=False) if event)
        if session:
            yield split, folder, join_sessions(enumerate((event for _, event in session), 1))
        for path, event in zip_longest(paths, events):
            if not event:
                yield split, path, read_records(path, form)


def joined(records: NumberedRecords) -> NumberedRecords:
    """Yield the conversations of records that are parts of them: events of a session, messages of a tree."""
    return join_trees(join_sessions(records))
