"""Readers: a file of data, record by record, in constant memory, whatever its format.

A record is the bytes of its line where the format has lines, exactly as they stand in the file: what is read is what is
written on. Tables (Parquet, CSV, TSV) give a dict. A str in a record's place says what is wrong with it; whoever reads puts
file and number before it and tells all problems at once. What cannot be read on from is a DataError.

To add a format: a function from a path and the file's pieces to numbered records, its name in `FORMATS`, a row in the table
of `test_readers.py`, and the name in `sources.Format`.
"""

from __future__ import annotations

import codecs
import csv
import importlib
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from punie_build.errors import DataError
from punie_build.jsonl import LFS, LONGEST_LINE

Record = bytes | dict[str, Any] | str
Numbered = Iterator[tuple[int, Record]]
BLOCK = 2**20  # bytes read at once
STEP = 2**11  # packed bytes unpacked at once: zstd makes 33,000 of one, so a step is 64 MiB at the very worst
TOO_LONG = f"longer than {LONGEST_LINE // 2**20} MiB - is this file one record a line?"
BATCH = 256  # rows of a Parquet file that are in memory at once
CELLS = ("messages", "tools")  # columns that hold lists, in some tables as JSON text
SIDES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}
BREAK = re.compile(r"[\r\n]\s*")  # in JSON only between values: those in texts are escaped
SHARD = re.compile(
    r"[-_.]\d+(-of-\d+)?(-[0-9a-f]{8,})?$"
)  # train-00000-of-00003, train_07, train-00000-of-00001-<hash>


class DamagedError(ValueError):
    """Packed bytes that end too early, or are not what their name says."""


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
    if FORMATS[form] is not _lines:
        raise DataError(f"{shown(path)}: {form} has no lines - it is read record by record")
    with _told(path):
        yield from split(pieces(path, form))


def files(place: Path) -> list[tuple[str | None, Path]]:
    """The data files of a folder, by name, each with its side, or the one file that `place` is, which has none.

    Shards (`train-00000-of-00003.parquet`) have the side of what they are shards of. Where files have sides, those that have
    none are no part of the data: notes, `dropped.jsonl`. Hidden files are skipped, folders inside are not looked into.
    """
    if not place.exists():
        raise DataError(f"{shown(place)}: not there - put the data there, or correct the path")
    if not place.is_dir():
        return [(None, place)]
    names = [path.name for path in place.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = sided(name for name in sorted(names) if kind(name))
    if not found:
        inside = [path.name for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        hint = f"name a folder in it: {', '.join(inside[:5])}" if inside else f"known formats: {', '.join(FORMATS)}"
        raise DataError(f"{shown(place)}: no data file in this folder - {hint}")
    return [(side, place / name) for side, name in found]


def sided(names: Iterable[str]) -> list[tuple[str | None, str]]:
    """Each name with its side, those without one left out where others have one."""
    found = [(side(name), name) for name in names]
    return [pair for pair in found if pair[0]] or found


def side(name: str) -> str | None:
    """train, valid or test, for a file called so, or in a folder called so; `name` is relative to where the data begins."""
    *folders, _ = PurePosixPath(name.lower()).parts
    return next((SIDES[word] for word in (stem(name).lower(), *reversed(folders)) if word in SIDES), None)


def stem(name: str) -> str:
    """`train` of `data/train-00000-of-00003.parquet`: a file's name without its format and its number."""
    bare = PurePosixPath(name).name
    return SHARD.sub("", bare[: -len(form) - 1] if (form := kind(bare)) else bare)


def kind(name: str) -> str | None:
    """The format that a file's name ends in, such as `jsonl.gz`, or None if nobody here reads it."""
    return next((form for form in FORMATS if name.lower().endswith(f".{form}")), None)


def shown(path: Path) -> Path:
    """A path as messages say it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def pieces(path: Path, form: str) -> Iterator[bytes]:
    """The content, unpacked, in pieces. Raises OSError, DamagedError, and DataError for a Git LFS pointer."""
    with path.open("rb") as file:
        first = file.read(BLOCK)
        if first.startswith(LFS):
            raise DataError(f"{shown(path)}: a Git LFS pointer, not the data - run `git lfs pull`")
        yield from unpacked(chain([first], iter(partial(file.read, BLOCK), b"")), form)


def unpacked(packed: Iterable[bytes], form: str) -> Iterator[bytes]:
    """Unpack what comes in, by the end of the format's name; several gzip members or zstd frames are one content.

    Raises DamagedError. (zstandard's own readers take a file that was cut short for one that ends there.)
    """
    pack = form.rpartition(".")[2]
    if pack not in ("gz", "zst"):
        yield from packed
        return
    new, broken = _engine(pack)
    engine: Any = None  # unpacks the member that is not yet over
    whole, held, size = 0, [], 0
    try:
        for rest in _steps(packed):
            while rest:
                if engine is None and whole and pack == "gz" and not (rest := rest.lstrip(b"\0")):
                    break  # what gzip allows behind the last member
                engine = engine or new()
                held.append(engine.decompress(rest))
                size += len(held[-1])
                rest = b""  # noqa: PLW2901 - what follows the end of a member
                if engine.eof:
                    rest, engine, whole = engine.unused_data, None, whole + 1  # noqa: PLW2901
            if size >= BLOCK:
                yield b"".join(held)
                held, size = [], 0
    except broken as error:
        raise DamagedError(str(error)) from None
    yield b"".join(held)
    if engine is not None or not whole:
        raise DamagedError("it ends too early")


def split(content: Iterable[bytes], returns: bool = False) -> Iterator[list[bytes]]:
    """The lines of each piece, without their ends; with `returns`, carriage returns stay. The longest are cut, see `blocks`."""
    rest = b""
    for piece in content:
        if len(rest) > LONGEST_LINE and b"\n" not in piece:
            continue
        lines = piece.split(b"\n")
        lines[0] = rest + lines[0]
        if len(rest) + len(piece) > LONGEST_LINE:
            lines = [line[: LONGEST_LINE + 1] for line in lines]
        rest = lines.pop()
        if not returns and (b"\r" in piece or (lines and lines[0].endswith(b"\r"))):
            lines = [line.rstrip(b"\r") for line in lines]
        if lines:
            yield lines
    if rest:
        yield [rest if returns else rest.rstrip(b"\r")]


def needed(package: str, where: object, what: str) -> Any:
    """Import an optional package, or say how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise DataError(
            f"{where}: {what} are read by {package.partition('.')[0]}, which is not installed - pip install 'punie-build[tables]'"
        ) from None


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


def _steps(packed: Iterable[bytes]) -> Iterator[bytes]:
    for piece in packed:
        for start in range(0, len(piece), STEP):
            yield piece[start : start + STEP]


def _engine(pack: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What unpacks one member, and what it raises."""
    if pack == "gz":
        return partial(zlib.decompressobj, wbits=31), zlib.error
    if sys.version_info >= (3, 14):
        zstd = importlib.import_module("compression.zstd")
        return zstd.ZstdDecompressor, zstd.ZstdError
    zstandard = needed("zstandard", ".zst", "files of this kind")
    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError


def _lines(path: Path, content: Iterator[bytes]) -> Numbered:
    for number, line in enumerate(chain.from_iterable(split(content)), 1):
        yield number, line if len(line) <= LONGEST_LINE else TOO_LONG


def _json(path: Path, content: Iterator[bytes]) -> Numbered:
    """One array of records, or records one after another: each as the bytes it has in the file, on one line."""
    cursor, number = _Cursor(codecs.iterdecode(content, "utf-8-sig")), 0
    try:
        array = cursor.next() == "["
        if array:
            cursor.at += 1
        while cursor.next() not in ("", "]" if array else ""):
            number += 1
            text = cursor.value()
            yield number, (BREAK.sub(" ", text) if "\n" in text or "\r" in text else text).encode()
            if array and cursor.next() == ",":
                cursor.at += 1
            elif array and cursor.next() != "]":
                raise ValueError("',' or the array's end is missing")
        if array:
            cursor.end()
    except UnicodeDecodeError:
        raise DataError(f"{shown(path)}: not UTF-8 after record {number} - save the file as UTF-8") from None
    except ValueError as error:
        if isinstance(error, DamagedError):
            raise
        raise DataError(
            f"{shown(path)}: record {number}: not JSON: {error} - a .json file is one array of records"
        ) from None


class _Cursor:
    """A place in JSON text of which only what is being read is in memory."""

    scan = staticmethod(json.JSONDecoder(parse_int=str, parse_float=str).raw_decode)

    def __init__(self, texts: Iterator[str]) -> None:
        self.texts, self.text, self.at, self.over = texts, "", 0, False

    def grow(self) -> None:
        more = next(self.texts, None)
        self.text, self.at, self.over = self.text[self.at :] + (more or ""), 0, more is None

    def next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or self.over:
                return self.text[self.at : self.at + 1]
            self.grow()

    def value(self) -> str:
        """The text of the value that begins here. Raises ValueError."""
        while True:
            problem = "its end is not in sight"
            try:
                _, end = self.scan(self.text, self.at)
                if self.over or (end < len(self.text) and self.text[end] not in ".eE"):  # a number may go on
                    text, self.at = self.text[self.at : end], end
                    return text
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except json.JSONDecodeError as error:
                problem = error.msg
            if self.over or len(self.text) - self.at > LONGEST_LINE:
                raise ValueError(problem)
            self.grow()

    def end(self) -> None:
        """Pass the `]` of the array; nothing may follow it."""
        if self.next() != "]":
            raise ValueError("the array does not end")
        self.at += 1
        if self.next():
            raise ValueError("something follows the array")


def _table(path: Path, content: Iterator[bytes], delimiter: str) -> Numbered:
    """CSV or TSV with a row of names. Numbers are those of the line a row begins on."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # 128 KiB is too little for a conversation
    reader = csv.reader(_rows(path, content), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        if len(set(names)) < len(names) or "" in names:
            raise DataError(f"{shown(path)}:1: names of columns are empty or double - the first row names the columns")
        at = reader.line_num + 1
        for cells in reader:
            if cells:  # csv gives an empty line as no cells
                yield at, _row(names, cells)
            at = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{shown(path)}:{reader.line_num}: not {'TSV' if delimiter != ',' else 'CSV'}: {error} - quote the cells, and double the quotes in them"
        ) from None


def _rows(path: Path, content: Iterator[bytes]) -> Iterator[str]:
    """The lines as text, with their ends; bytes that are not UTF-8 come through as surrogates."""
    for number, line in enumerate(chain.from_iterable(split(content, returns=True)), 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{shown(path)}:{number}: {TOO_LONG}")
        yield line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8", "surrogateescape") + "\n"


def _row(names: list[str], cells: list[str]) -> Record:
    if len(cells) != len(names):
        return f"{len(cells)} cells in {len(names)} columns - quote the cells, and double the quotes in them"
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return "not UTF-8 - save the file as UTF-8"
    return _decoded(dict(zip(names, cells, strict=True)))


def _decoded(record: dict[str, Any]) -> Record:
    """Lists that a table holds as JSON text, as lists; or what is wrong with the text. An empty cell is no list."""
    for name in CELLS:
        if isinstance(text := record.get(name), str):
            try:
                record[name] = msgspec.json.decode(text) if text.strip() else None
            except (msgspec.DecodeError, RecursionError) as error:
                return f"{name}: not JSON: {error} - write the list as JSON text"
            if record[name] is None:
                del record[name]
    return record


def _parquet(path: Path, content: Iterator[bytes]) -> Numbered:
    """Rows as plain Python, without the keys that are null.

    A column of structs has one type for all rows, so it fills what a row lacks with nulls: every parameter of every tool of
    the file, in each tool. They cannot be told from nulls that were meant, and go, at any depth of the structs. What is null
    inside a list stays.
    """
    next(content, None)  # says that the file is not there, or in Git LFS
    content = iter(())
    tables = needed("pyarrow.parquet", shown(path), "Parquet files")
    number = 0
    try:
        with tables.ParquetFile(path, buffer_size=BLOCK) as file:
            rows = chain.from_iterable(batch.to_pylist(maps_as_pydicts="strict") for batch in file.iter_batches(BATCH))
            for number, row in enumerate(rows, 1):
                yield number, _decoded(_bare(row))
    except (importlib.import_module("pyarrow").ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{shown(path)}: not Parquet, or cut short, after row {number} ({reason}) - copy or download it again"
        ) from None


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value


_UNPACKED: dict[str, Callable[[Path, Iterator[bytes]], Numbered]] = {
    "jsonl": _lines,
    "ndjson": _lines,
    "json": _json,
    "csv": partial(_table, delimiter=","),
    "tsv": partial(_table, delimiter="\t"),
}
FORMATS = {f"{form}{pack}": read for form, read in _UNPACKED.items() for pack in ("", ".gz", ".zst")} | {
    "parquet": _parquet
}
