"""Compare the reading of session logs with that of claude-converter: ./run python benchmarks/sessions.py LOG ...

claude-converter (Apache-2.0) must be installed: pip install claude-converter. The agent is the beginning of a file's
name: claude, codex or pi. The oracle has one text per turn, with calls, results and reasoning in tags; the table counts
these, and the letters of the text outside of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Row
from punie_build.data.ingest import ingest
from punie_build.data.sources import Local

LOADERS = {"claude": "session_to_messages", "codex": "session_to_messages_codex", "pi": "session_to_messages_pi"}
TAGS = {"reasoning": "thinking", "calls": "tool_use", "results": "tool_result"}


def of_oracle(path: Path) -> Counter[str]:
    agent = path.name.partition("_")[0]
    converter: Any = importlib.import_module(f"claude_converter.{agent}")
    counts: Counter[str] = Counter()
    for message in getattr(converter, LOADERS[agent])(path):
        content = message["content"]
        text = content if isinstance(content, str) else "\n".join(part.get("text", "<image>") for part in content)
        for name, tag in TAGS.items():
            text, number = re.subn(rf"<{tag}[^>]*>.*?</{tag}>", "", text, flags=re.DOTALL)
            counts[name] += number
        counts[f"letters of the {message['role']}"] += sum(map(str.isalnum, text))
    return counts


def rows(path: Path) -> Iterator[Row]:
    for _, row in ingest(path.parent, Local(path=path.name), "auto", path.parent):
        if isinstance(row, Row):
            yield row
        else:
            print(f"    {row.where}: {row.reason}")


def of_reader(path: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the counts of the conversations, and the events that were skipped."""
    counts: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for row in rows(path):
        record = msgspec.json.decode(row.line)
        skipped.update(record.get("skipped_events", {}))
        for message in record["messages"]:
            counts["reasoning"] += "reasoning_content" in message
            counts["calls"] += len(message.get("tool_calls") or ())
            counts["results"] += message["role"] == "tool"
            if message["role"] != "tool":
                counts[f"letters of the {message['role']}"] += sum(map(str.isalnum, message["content"] or ""))
    return counts, skipped


def main() -> None:
    names = [*TAGS, "letters of the user", "letters of the assistant"]
    print(f"| log | {' | '.join(names)} | skipped events |")
    print("|---" * (len(names) + 2) + "|")
    for path in map(Path, sys.argv[1:]):
        ours, skipped = of_reader(path)
        try:
            theirs = of_oracle(path)
        except AttributeError as error:  # lines that are no objects
            print(f"| {path.stem} | the oracle fails: {error} |")
            continue
        cells = [f"{ours[name]}" if ours[name] == theirs[name] else f"{ours[name]} / {theirs[name]}" for name in names]
        events = ", ".join(f"{count} {name}" for name, count in sorted(skipped.items())) or "none"
        print(f"| {path.stem} | {' | '.join(cells)} | {events} |")


if __name__ == "__main__":
    main()
