"""The commands `dataset ...`: the steps of data recipes on any file or folder, without a recipe.

    punie-build dataset download SOURCE --output DIR   write a source as chat JSONL
    punie-build dataset validate PATH                  check that every row can be read
    punie-build dataset stats PATH                     count rows, messages, calls, categories; with --base, tokens
    punie-build dataset filter PATH --output DIR       --language en --min-python 3.10 --filter '{...}'
    punie-build dataset merge PATH PATH --output DIR   drop duplicates, and split again
    punie-build dataset audit PATH                     report leaks, duplicates and malformed rows
    punie-build dataset head PATH                      print the first conversations

A PATH is a file or folder in any format and dialect that datasets read. Rows are written as chat.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from punie_build.cli import dataset_options
from punie_build.cli.dataset_audit import audit, audit_options
from punie_build.cli.options import (
    LOGS,
    Command,
    Options,
    base_folder,
    layout_of,
    output_folder,
    path_argument,
    print_next,
)
from punie_build.data import jsonl, pipeline
from punie_build.data import merge as merge_rows
from punie_build.data.chat_template import token_counter
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.example import SPLITS, Example, Row, decode_example
from punie_build.data.filters.union import FilterContext
from punie_build.data.ingest import ingest, require_readable
from punie_build.data.mix import MixComponent
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split
from punie_build.data.stats import Stats
from punie_build.data.unreadable import UnreadableRow, UnreadableRows
from punie_build.data.writer import DroppedRow, decode_dropped
from punie_build.errors import UseError
from punie_build.runtime import parallel
from punie_build.storage import paths

MAX_TEXT = 1000  # characters of a message that `head` prints


def download(root: Path, options: Options) -> int:
    """Download a source and write it as chat JSONL in train, valid and test."""
    source = dataset_options.source(options)
    with output_folder(root, options.output) as out:
        spec = Dataset(
            source=source,
            dialect=options.dialect,
            **msgspec.structs.asdict(layout_of(options)),
            unreadable=options.unreadable,
            split=Split(valid=options.valid, test=options.test),
        )
        stats = pipeline.build_dataset(Path(options.output).name, spec, root, out, root / LOGS)
    print(_row_counts(stats))
    if stats.unknown_keys:
        print(describe_unknown(stats.unknown_keys))
    return print_next(f"punie-build dataset audit {options.output}", f"punie-build dataset filter {options.output} ...")


def validate(root: Path, options: Options) -> int:
    """Read every row, and report each that cannot be read. Write no file."""
    count, without_question, last_roles, unknown_keys = 0, 0, Counter[str](), Counter[str]()
    for _, row in _rows(root, options):
        count += 1
        last_roles[row.example.messages[-1].role] += 1
        unknown_keys.update(row.unknown_keys)
        without_question += options.form == "chat" and not row.example.has_question()
    if not count:
        print(f"{options.path}: no rows")
        return 1
    print(f"{count} rows, all of them readable" if options.unreadable == "error" else f"{count} readable rows")
    if last_roles["assistant"] < count:
        others = count - last_roles["assistant"]
        print(f"{others} of them do not end with the assistant: `dataset filter` can drop them")
    if without_question:
        print(f"{without_question} of them have no question: for raw text, add --form text")
    if unknown_keys:
        print(describe_unknown(unknown_keys))
    return 0


def stats(root: Path, options: Options) -> int:
    """Count rows, messages, calls, characters, tokens of a base, and categories, split by split."""
    table: dict[str, Counter[str]] = {}
    categories: Counter[str] = Counter()
    count_tokens = token_counter(base_folder(root, options.base)) if options.base else None
    for split, row in _rows(root, options):
        counts = table.setdefault(split or "(no split)", Counter())
        counts["rows"] += 1
        counts["messages"] += len(row.example.messages)
        counts["calls"] += sum(1 for _ in row.example.calls())
        counts["characters"] += len(row.example.text())
        if count_tokens:
            counts["tokens"] += (length := count_tokens(row.example))
            counts["in the longest row"] = max(length, counts["in the longest row"])
        categories[row.example.category or "(none)"] += 1
    for split, counts in table.items():
        print(f"{split:<10} " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if set(categories) - {"(none)"}:
        print("categories " + ", ".join(f"{name} {count}" for name, count in categories.most_common()))
    return 0


def filter_(root: Path, options: Options) -> int:
    """Drop rows that a filter rejects, and write them to dropped.jsonl with the reason."""
    spec = Stage(from_="x", filters=tuple(dataset_options.filters(options)))
    with output_folder(root, options.output) as out, _chat_folder(root, options) as source:
        context, name = FilterContext(root=root), Path(options.output).name
        result = pipeline.build_stage(name, spec, source, out, context, parallel.cpu_count(), allow_empty=True)
    for split, counts in result.splits.items():
        if counts.seen:
            print(f"{split:<6} {counts.kept} of {counts.seen} kept ({counts.retention:.0%})")
    for reason in result.reasons:
        print(f"       {result.total.dropped.get(reason, 0)} dropped by {reason}")
    return print_next(
        f"punie-build dataset head {options.output} --dropped",
        f"punie-build dataset merge {options.output} ... --output DIR",
    )


def merge(root: Path, options: Options) -> int:
    """Merge files and folders: drop duplicates, split the rest without leakage, and shuffle it."""
    names = [f"part-{number}" for number in range(len(options.paths))]
    with output_folder(root, options.output) as out, tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folders = [Path(scratch, name) for name in names]
        unsplit = []
        for name, folder, path in zip(names, folders, options.paths, strict=True):
            folder.mkdir()
            if not _write_chat(root, path, options, folder):
                unsplit.append(name)
        spec = Mix(
            from_=tuple(MixComponent(name=name) for name in names),
            split=Split(valid=options.valid, test=options.test),
            seed=options.seed,
        )
        name = Path(options.output).name
        result = merge_rows.build_mix(name, spec, folders, out, allow_empty=True, unsplit=unsplit)
    for name, path in zip(names, options.paths, strict=True):
        print(f"{result.sources.get(name, 0):>8} rows from {path}")
    print(_row_counts(result))
    for note in result.notes:
        print(f"note: {note}")
    return print_next(f"punie-build dataset audit {options.output}")


def head(root: Path, options: Options) -> int:
    """Print the first conversations as text."""
    if options.dropped:
        path = root / options.path / "dropped.jsonl"
        if not path.exists():
            raise UseError(f"{options.path}: no dropped.jsonl - name a folder that `dataset filter` or a stage wrote")
        for line in islice((line for lines in jsonl.read_blocks(path) for line in lines), options.n):
            _print_dropped(decode_dropped(line))
    else:
        for split, row in islice(_rows(root, options), options.n):
            _print_example(row.example, split or "")
    return 0


def _print_dropped(row: DroppedRow) -> None:
    if row.line is None:
        _print_example(decode_example(row.example), f"{row.split}, dropped by {row.reason}")
    else:
        print(f"--- {row.split}, {row.reason}: {row.why}\n{row.line if row.line.isprintable() else ascii(row.line)}")


def _print_example(example: Example, title: str) -> None:
    print(f"--- {title}")
    for message in example.messages:
        for call in message.tool_calls or ():
            print(f"{message.role:>9} calls {call.function.name} {call.function.arguments}")
        if message.content:
            text = message.content if len(message.content) < MAX_TEXT else f"{message.content[:MAX_TEXT]} ..."
            print(f"{message.role:>9} " + (repr(text) if "\x1b" in text else text.replace("\n", "\n" + " " * 10)))


def _rows(root: Path, options: Options) -> Iterator[tuple[str | None, Row]]:
    return readable_rows(root, options.path, options, root / paths.STATE)


def readable_rows(root: Path, path: str, options: Options, scratch: Path) -> Iterator[tuple[str | None, Row]]:
    """Yield the rows of a file or folder; with `--unreadable drop`, print the number of the others, by reason."""
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
def _chat_folder(root: Path, options: Options) -> Iterator[Path]:
    """Yield a temporary folder with the rows of a file or folder as chat JSONL."""
    with tempfile.TemporaryDirectory() as scratch:
        _write_chat(root, options.path, options, Path(scratch))
        yield Path(scratch)


def _write_chat(root: Path, path: str, options: Options, folder: Path) -> bool:
    """Write the rows of a file or folder as chat, those without a split to train. Return whether they have splits."""
    has_splits = False
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for split, row in readable_rows(root, path, options, folder):
            has_splits = has_splits or split is not None
            files[split or "train"].write(row.line + b"\n")
    return has_splits


def _row_counts(stats: Stats) -> str:
    splits = ", ".join(f"{counts.rows} {split}" for split, counts in stats.splits.items() if counts.rows)
    duplicates = stats.total.dropped.get("twin", 0)
    dropped = f"; {duplicates} duplicate{'s' if duplicates > 1 else ''} dropped" if duplicates else ""
    return f"{stats.total.kept} rows: {splits}{dropped}"


COMMANDS: dict[str, Command] = {
    "dataset download": (download, dataset_options.download_options),
    "dataset validate": (validate, path_argument),
    "dataset stats": (stats, dataset_options.stats_options),
    "dataset filter": (filter_, dataset_options.filter_options),
    "dataset merge": (merge, dataset_options.merge_options),
    "dataset audit": (audit, audit_options),
    "dataset head": (head, dataset_options.head_options),
}
