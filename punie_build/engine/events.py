"""Events: `.punie/events.jsonl`, a line for each thing that a build did, for programs that follow it.

    {"time": "2026-11-23T10:00:00Z", "event": "ran", "task": "adapter:v1", "seconds": 41.2, "key": "..."}

`start` and `end` frame a build; between them `running`, `progress`, `ran`, `restored`, `cut-off`, `current`, `failed`
and `skipped`. `refused` is a build that did not start, with the mistakes as `text`: `punie-build watch` records it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from punie_build.storage import paths, project_file

FILE = f"{paths.STATE}/events.jsonl"
MAX_BYTES = 10 * 2**20  # a larger file is renamed to events.1.jsonl
RECENT_BYTES = 256 * 2**10  # in which `follow` looks for the start of the build that runs


def record(root: Path, event: str, **facts: Any) -> None:
    """Append a line, whole: several builds may write at once. A line that cannot be written does not fail a build."""
    path = root / FILE
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"time": stamp, "event": event, "build": os.getpid(), **facts}) + "\n"
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_BYTES:
            path.replace(path.with_name("events.1.jsonl"))
        project_file.append(path, line.encode())


def follow(root: Path) -> Iterator[str | None]:
    """Yield the events of the newest build as lines, then each new one; None when there is no other yet.

    The caller waits at a None. A file that was renamed or removed is followed by its successor."""
    path = root / FILE
    size = path.stat().st_size if path.exists() else 0
    position, rest = max(size - RECENT_BYTES, 0), b""
    recent = _read(path, position)[: size - position]
    begin = max(recent.rfind(b'"event": "start"'), recent.rfind(b'"event": "refused"'))
    if begin >= 0:
        yield from recent[recent.rfind(b"\n", 0, begin) + 1 :].decode().splitlines()
    position = size
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position, rest = 0, b""
        if size > position:
            added = _read(path, position)
            position += len(added)
            *lines, rest = (rest + added).split(b"\n")
            yield from (line.decode() for line in lines)
        yield None


def _read(path: Path, position: int) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(position)
        return file.read()
