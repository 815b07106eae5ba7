"""By hand: `punie-build dataset ...`, the steps of recipes on any folder or file, without a recipe.

    punie-build dataset download SOURCE --output DIR     sample, hand-authored, a file or folder, org/name@commit, https://...
    punie-build dataset validate PLACE                   can every row be read?
    punie-build dataset stats PLACE                      rows, messages, calls, categories; with --base, tokens
    punie-build dataset filter PLACE --output DIR        --language en --min-python 3.10 --min-messages 2 --filter '{...}'
    punie-build dataset merge PLACE PLACE --output DIR   twins dropped, split anew
    punie-build dataset audit PLACE                      leaks, duplicates, odd rows
    punie-build dataset head PLACE                       the first conversations, to read

A PLACE is a file or folder in any format and dialect that datasets read; rows come out as chat.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from punie_build.cli.dataset_audit import audit, audit_options
from punie_build.cli.options import Command, Options, base_folder, dialect_option, layout_of, place_option
from punie_build.data import jsonl, pipeline
from punie_build.data import merge as merge_rows
from punie_build.data.chat_template import token_counter
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.example import SPLITS, Row, decode_example
from punie_build.data.filters.union import (
    AnyFilter,
    FilterContext,
)
from punie_build.data.ingest import ingest, require_readable
from punie_build.data.mix import MixComponent
from punie_build.data.sources import AnySource, HandAuthored, Http, Hub, Local, Sample
from punie_build.data.spec import Dataset, Mix, Stage
from punie_build.data.split import Split
from punie_build.data.stats import Stats
from punie_build.data.unreadable import UnreadableRow, UnreadableRows
from punie_build.data.writer import DroppedRow, decode_dropped
from punie_build.errors import UseError
from punie_build.runtime import parallel
from punie_build.storage import atomic, paths


def download(root: Path, options: Options) -> int:
    """Fetch a source and write it as chat JSONL in train, valid and test."""
    source = _source(options)
    with output(root, options.output) as out:
        spec = Dataset(
            source=source,
            dialect=options.dialect,
            **msgspec.structs.asdict(layout_of(options)),
            unreadable=options.unreadable,
            split=Split(valid=options.valid, test=options.test),
        )
        stats = pipeline.build_dataset(
            Path(options.output).name, spec, root, out, root / paths.STATE / "logs" / "by-hand"
        )
    print(_counts(stats))
    if stats.unknown_keys:
        print(describe_unknown(stats.unknown_keys))
    return after(f"punie-build dataset audit {options.output}", f"punie-build dataset filter {options.output} ...")


def validate(root: Path, options: Options) -> int:
    """Read every row, and tell each that cannot be read. Writes nothing."""
    count, unasked, found, unknown = 0, 0, Counter[str](), Counter[str]()
    for _, row in _rows(root, options):
        count += 1
        found[row.example.messages[-1].role] += 1
        unknown.update(row.unknown_keys)
        unasked += options.form == "chat" and not row.example.has_question()
    if not count:
        print(f"{options.place}: no rows")
        return 1
    print(f"{count} rows, all of them can be read" if options.unreadable == "error" else f"{count} rows can be read")
    if found["assistant"] < count:
        print(f"{count - found['assistant']} of them do not end with the assistant: `dataset filter` can drop them")
    if unasked:
        print(f"{unasked} of them have no question: for raw text, add --form text")
    if unknown:
        print(describe_unknown(unknown))
    return 0


def stats(root: Path, options: Options) -> int:
    """Count rows, messages, calls, characters, tokens of a base, and categories, split by split."""
    table: dict[str, Counter[str]] = {}
    categories: Counter[str] = Counter()
    count = token_counter(base_folder(root, options.base)) if options.base else None
    for side, row in _rows(root, options):
        counts = table.setdefault(side or "(no side)", Counter())
        counts["rows"] += 1
        counts["messages"] += len(row.example.messages)
        counts["calls"] += sum(1 for _ in row.example.calls())
        counts["characters"] += len(row.example.text())
        if count:
            counts["tokens"] += (tokens := count(row.example))
            counts["at most in a row"] = max(tokens, counts["at most in a row"])
        categories[row.example.category or "(none)"] += 1
    for side, counts in table.items():
        facts = ", ".join(f"{counts[name]:,} {name}" for name in counts)
        print(f"{side:<10} {facts}")
    if set(categories) - {"(none)"}:
        print("categories " + ", ".join(f"{name} {count}" for name, count in categories.most_common()))
    return 0


def filter_(root: Path, options: Options) -> int:
    """Drop rows, with a reason for each; the dropped ones are kept beside, in dropped.jsonl."""
    chosen = _filters(options)
    with output(root, options.output) as out, _chat(root, options.place, options) as source:
        spec = Stage(from_="x", filters=tuple(chosen))
        found = pipeline.build_stage(
            Path(options.output).name,
            spec,
            source,
            out,
            FilterContext(root=root),
            parallel.cpu_count(),
            allow_empty=True,
        )
    for split, counts in found.splits.items():
        if counts.seen:
            print(f"{split:<6} {counts.kept} of {counts.seen} kept ({counts.retention:.0%})")
    for reason in found.reasons:
        print(f"       {found.total.dropped.get(reason, 0)} dropped by {reason}")
    return after(
        f"punie-build dataset head {options.output} --dropped",
        f"punie-build dataset merge {options.output} ... --output DIR",
    )


def merge(root: Path, options: Options) -> int:
    """Merge places into one: twins are dropped, the rest is split so that nothing leaks, and shuffled."""
    parts = [f"part-{number}" for number in range(len(options.places))]
    with output(root, options.output) as out, tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folders: list[Path] = []
        unsplit: list[str] = []
        for name, place in zip(parts, options.places, strict=True):
            folder = Path(scratch, name)
            folder.mkdir()
            if not _write_chat(root, place, options, folder):
                unsplit.append(name)
            folders.append(folder)
        spec = Mix(
            from_=tuple(MixComponent(name=name) for name in parts),
            split=Split(valid=options.valid, test=options.test),
            seed=options.seed,
        )
        found = merge_rows.build_mix(Path(options.output).name, spec, folders, out, allow_empty=True, unsplit=unsplit)
    for name, place in zip(parts, options.places, strict=True):
        print(f"{found.sources.get(name, 0):>8} rows from {place}")
    print(_counts(found))
    _print_notes(found)
    return after(f"punie-build dataset audit {options.output}")


def head(root: Path, options: Options) -> int:
    """Print the first conversations as people read them."""
    place = Path(options.place)
    if options.dropped:
        path = root / place / "dropped.jsonl"
        if not path.exists():
            raise UseError(f"{options.place}: it has no dropped.jsonl - only what was filtered has one")
        for line in islice((line for lines in jsonl.read_blocks(path) for line in lines), options.n):
            _show_dropped(decode_dropped(line))
        return 0
    for number, (side, row) in enumerate(_rows(root, options)):
        if number == options.n:
            break
        _show(row.example, side or "")
    return 0


def _show_dropped(row: DroppedRow) -> None:
    if row.line is None:
        _show(decode_example(row.example), f"{row.split}, dropped by {row.reason}")
    else:
        print(f"--- {row.split}, {row.reason}: {row.why}\n{row.line if row.line.isprintable() else ascii(row.line)}")


def _show(example: Any, title: str) -> None:
    print(f"--- {title}")
    for message in example.messages:
        for call in message.tool_calls or ():
            print(f"{message.role:>9} calls {call.function.name} {call.function.arguments}")
        if message.content:
            said = message.content if len(message.content) < 1000 else f"{message.content[:1000]} ..."
            print(
                f"{message.role:>9} {said!r}"
                if "\x1b" in said
                else f"{message.role:>9} " + said.replace("\n", "\n" + " " * 10)
            )


def _source(options: Options) -> AnySource:
    """What a person means by a source's name."""
    text, most = options.source, options.max
    if text == "sample":
        return Sample(max_examples=most or 100)
    if text == "hand-authored":
        return HandAuthored()
    if text.startswith(("http://", "https://")):
        if not options.sha256:
            raise UseError(f"{text}: --sha256 is needed - a file of the web is known by its digest")
        return Http(url=text, sha256=options.sha256, limit=most)
    if match := re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", text):
        return Hub(repo=match[1], revision=match[2], files=tuple(options.files or ()), limit=most)
    if not Path(text).exists():
        raise UseError(
            f"{text}: no such file or folder, and no org/name@commit - `sample` and `hand-authored` are built in"
        )
    return Local(path=text, limit=most)


def _filters(options: Options) -> list[AnyFilter]:
    tables: list[tuple[str, dict[str, object]]] = []
    if options.language:
        languages = " ".join(options.language)
        tables.append((f"--language {languages}", {"type": "language", "languages": options.language}))
    if options.min_python:
        tables.append((f"--min-python {options.min_python}", {"type": "python-version", "min": options.min_python}))
    if options.min_messages:
        tables.append(("--min-messages", {"type": "min-messages", "messages": options.min_messages}))
    for text in options.filter or ():
        try:
            tables.append((f"--filter {text}", msgspec.json.decode(text)))
        except msgspec.DecodeError as error:
            raise UseError(f"--filter {text}: {error} - write it as in a recipe, but as JSON") from None
    if options.max:
        tables.append(("--max", {"type": "sample", "most": options.max}))
    if not tables:
        raise UseError("no filter named - add --language, --min-python, --min-messages, --max or --filter")
    return [_filter(option, table) for option, table in tables]


def _filter(option: str, table: object) -> AnyFilter:
    """Return the filter of a table. Raises UseError that names the option for a table that a recipe could not have."""
    try:
        chosen: AnyFilter = msgspec.convert(table, AnyFilter)
    except msgspec.ValidationError as error:
        raise UseError(f"{option}: {error} - docs/recipes.md lists the filters and their parameters") from None
    return chosen


def _rows(root: Path, options: Options) -> Iterator[tuple[str | None, Row]]:
    return readable_rows(root, options.place, options, root / paths.STATE)


def readable_rows(root: Path, place: str, options: Options, scratch: Path) -> Iterator[tuple[str | None, Row]]:
    """Yield the rows of a place; with `--unreadable drop`, print how many of the others were left out, and why."""
    rows = ingest(root, Local(path=place), options.dialect, scratch, layout_of(options))
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
def output(root: Path, name: str, mark: str = "stats.json") -> Iterator[Path]:
    """A folder to write into; it takes its place when all of it is there. Only what has the file `mark` is replaced."""
    target = root / name
    if target.exists() and not (target / mark).exists() and any(target.iterdir()):
        raise UseError(f"{name}: there is something else - name another folder for --output")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield made
        made.chmod(0o755)
        atomic.replace_folder(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _chat(root: Path, place: str, options: Options) -> Iterator[Path]:
    """A place as a folder of chat JSONL, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        _write_chat(root, place, options, Path(scratch))
        yield Path(scratch)


def _write_chat(root: Path, place: str, options: Options, folder: Path) -> bool:
    """Write the rows of a place as chat, those without a split to train; return whether they have splits."""
    has_splits = False
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for split, row in readable_rows(root, place, options, folder):
            has_splits = has_splits or split is not None
            files[split or "train"].write(row.line + b"\n")
    return has_splits


def _print_notes(stats: Stats) -> None:
    for note in stats.notes:
        print(f"note: {note}")


def _counts(found: Stats) -> str:
    sides = ", ".join(f"{counts.rows} {split}" for split, counts in found.splits.items() if counts.rows)
    twins = found.total.dropped.get("twin", 0)
    return f"{found.total.kept} rows: {sides}" + (f"; {twins} twins dropped" if twins else "")


def after(*commands: str) -> int:
    """Say what comes next; 0."""
    print("next: " + "\n      ".join(commands), file=sys.stderr)
    return 0


def _stats_options(command: argparse.ArgumentParser) -> None:
    place_option(command)
    command.add_argument("--base", help="also count tokens, by the chat template of this base")


def _output_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", "-o", required=True, help="the folder to write")


def _shares(command: argparse.ArgumentParser) -> None:
    command.add_argument("--valid", type=float, default=0.1, help="share of rows for validation (0.1)")
    command.add_argument("--test", type=float, default=0.0, help="share of rows for the test (0)")


def _download_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="sample, hand-authored, a file or folder, org/name@commit, or a web address")
    command.add_argument("--max", type=int, help="at most so many rows")
    command.add_argument("--sha256", help="the digest of a file of the web")
    command.add_argument("--files", nargs="*", help="files of a Hub dataset, patterns allowed")
    dialect_option(command)
    _output_option(command)
    _shares(command)


def _filter_options(command: argparse.ArgumentParser) -> None:
    place_option(command)
    _output_option(command)
    command.add_argument("--language", action="append", metavar="en", help="keep this language (may be given again)")
    command.add_argument("--min-python", metavar="3.10", help="drop code that only Python 2 runs")
    command.add_argument("--min-messages", type=int, metavar="N", help="keep rows of at least so many messages")
    command.add_argument("--max", type=int, metavar="N", help="keep at most so many rows, chosen by hash")
    command.add_argument("--filter", action="append", metavar="JSON", help="any filter of recipes, as JSON")


def _merge_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("places", nargs="+", help="files or folders")
    dialect_option(command)
    _output_option(command)
    _shares(command)
    command.add_argument("--seed", type=int, default=0)


def _head_options(command: argparse.ArgumentParser) -> None:
    place_option(command)
    command.add_argument("-n", type=int, default=3, help="how many (3)")
    command.add_argument("--dropped", action="store_true", help="those that were dropped, with the reason")


COMMANDS: dict[str, Command] = {
    "dataset download": (download, _download_options),
    "dataset validate": (validate, place_option),
    "dataset stats": (stats, _stats_options),
    "dataset filter": (filter_, _filter_options),
    "dataset merge": (merge, _merge_options),
    "dataset audit": (audit, audit_options),
    "dataset head": (head, _head_options),
}
