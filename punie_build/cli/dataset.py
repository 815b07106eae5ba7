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

import tempfile
from pathlib import Path

import msgspec

from punie_build.cli import dataset_options, dataset_view
from punie_build.cli.dataset_audit import audit, audit_options
from punie_build.cli.dataset_rows import chat_folder, write_chat
from punie_build.cli.options import LOGS, Command, Options, layout_of, output_folder, path_argument, print_next
from punie_build.data import merge as merge_rows
from punie_build.data import pipeline
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.mix import MixComponent
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split
from punie_build.data.stats import Stats
from punie_build.runtime import parallel


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
    _print_notes(stats)
    return print_next(f"punie-build dataset audit {options.output}", f"punie-build dataset filter {options.output} ...")


def filter_(root: Path, options: Options) -> int:
    """Drop rows that a filter rejects, and write them to dropped.jsonl with the reason."""
    spec = Stage(from_="x", filters=tuple(dataset_options.filters(options)))
    with output_folder(root, options.output) as out, chat_folder(root, options) as source:
        context, name = dataset_options.filter_context(root, spec.filters), Path(options.output).name
        result = pipeline.build_stage(name, spec, source, out, context, parallel.cpu_count(), allow_empty=True)
    for split, counts in result.splits.items():
        if counts.seen:
            print(f"{split:<6} {counts.kept} of {counts.seen} kept ({counts.retention:.0%})")
    for reason in result.reasons:
        print(f"       {result.total.dropped.get(reason, 0)} dropped by {reason}")
    _print_notes(result)
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
            if not write_chat(root, path, options, folder):
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
    _print_notes(result)
    return print_next(f"punie-build dataset audit {options.output}")


def _print_notes(stats: Stats) -> None:
    for note in (*stats.notes, describe_unknown(stats.unknown_keys or {})):
        if note:
            print(f"note: {note}")


def _row_counts(stats: Stats) -> str:
    splits = ", ".join(f"{counts.rows} {split}" for split, counts in stats.splits.items() if counts.rows)
    duplicates = stats.total.dropped.get("twin", 0)
    dropped = f"; {duplicates} duplicate{'s' if duplicates > 1 else ''} dropped" if duplicates else ""
    return f"{stats.total.kept} rows: {splits}{dropped}"


COMMANDS: dict[str, Command] = {
    "dataset download": (download, dataset_options.download_options),
    "dataset validate": (dataset_view.validate, path_argument),
    "dataset stats": (dataset_view.stats, dataset_options.stats_options),
    "dataset filter": (filter_, dataset_options.filter_options),
    "dataset merge": (merge, dataset_options.merge_options),
    "dataset audit": (audit, audit_options),
    "dataset head": (dataset_view.head, dataset_options.head_options),
}
