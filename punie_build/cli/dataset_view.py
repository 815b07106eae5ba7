"""The commands `dataset validate`, `dataset stats` and `dataset head`: they print, and write no file."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from punie_build.cli.dataset_rows import readable_rows
from punie_build.cli.options import Options, base_folder, print_json
from punie_build.cli.rendered_view import RenderedView
from punie_build.data import jsonl
from punie_build.data.chat_template import token_counter
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.example import Example, decode_example
from punie_build.data.row_remarks import RowRemarks
from punie_build.data.writer import DroppedRow, decode_dropped
from punie_build.errors import UseError
from punie_build.storage import paths

MAX_TEXT = 1000  # characters of a message that `head` prints


def validate(root: Path, options: Options) -> int:
    """Read every row, and report each that cannot be read."""
    count, remarks, unknown_keys = 0, RowRemarks(), Counter[str]()
    for _, row in readable_rows(root, options.path, options, root / paths.STATE):
        count += 1
        remarks.add(row.example)
        unknown_keys.update(row.unknown_keys)
    if not count:
        print(f"{options.path}: no rows")
        return 1
    rows = "1 row" if count == 1 else f"{count} rows"
    print(f"{rows}, all of them readable" if options.unreadable == "error" else f"{rows} readable")
    for note in (*remarks.notes(), describe_unknown(unknown_keys)):
        if note:
            print(note)
    return 0


def stats(root: Path, options: Options) -> int:
    """Count rows, messages, calls, characters, tokens of a base, and categories, split by split."""
    table: dict[str, Counter[str]] = {}
    categories: Counter[str] = Counter()
    count_tokens = token_counter(base_folder(root, options.base)) if options.base else None
    for split, row in readable_rows(root, options.path, options, root / paths.STATE):
        counts = table.setdefault(split or "(no split)", Counter())
        calls, characters = sum(1 for _ in row.example.calls()), len(row.example.text())
        counts.update(rows=1, messages=len(row.example.messages), calls=calls, characters=characters)
        if count_tokens:
            counts.update(tokens=(length := count_tokens(row.example)))
            counts["in the longest row"] = max(length, counts["in the longest row"])
        categories[row.example.category or "(none)"] += 1
    if options.json:
        print_json({"splits": table, "categories": categories})
        return 0
    for split, counts in table.items():
        print(f"{split:<10} " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if set(categories) - {"(none)"}:
        print("categories " + ", ".join(f"{name} {count}" for name, count in categories.most_common()))
    return 0


def head(root: Path, options: Options) -> int:
    """Print the first conversations as text; with --base, as the base reads them."""
    if options.dropped:
        path = root / options.path / "dropped.jsonl"
        if not path.exists():
            raise UseError(f"{options.path}: no dropped.jsonl - name a folder that `dataset filter` or a stage wrote")
        for line in islice((line for lines in jsonl.read_blocks(path) for line in lines), options.n):
            _print_dropped(decode_dropped(line))
        return 0
    view = RenderedView(base_folder(root, options.base)) if options.base else None
    if view:
        print(view.legend)
    for split, row in islice(readable_rows(root, options.path, options, root / paths.STATE), options.n):
        if view is None:
            _print_example(row.example, split or "")
        else:
            print("\n".join([f"--- {split or ''}", *view.lines(row.example)]))
    return 0


def _print_dropped(row: DroppedRow) -> None:
    if row.line is None:
        _print_example(decode_example(row.example), f"{row.split}, dropped by {row.reason}")
    else:
        print(f"--- {row.split}, {row.reason}: {row.why}\n{row.line if row.line.isprintable() else ascii(row.line)}")


def _print_example(example: Example, title: str) -> None:
    print(f"--- {title}")
    for message in example.messages:
        if not message.is_trained:
            print(f"{'weight 0:':>9} the next message is not trained")
        if message.reasoning_content:
            print(f"{message.role:>9} thinks {_shortened(message.reasoning_content)}")
        for call in message.tool_calls or ():
            print(f"{message.role:>9} calls {call.function.name} {call.function.arguments}")
        if message.content:
            print(f"{message.role:>9} {_shortened(message.content)}")


def _shortened(text: str) -> str:
    text = text if len(text) < MAX_TEXT else f"{text[:MAX_TEXT]} ..."
    return repr(text) if "\x1b" in text else text.replace("\n", "\n" + " " * 10)
