"""Events: `.punie/events.jsonl`, a line for each thing that a build did, for programs that follow it.

    {"time": "2026-11-23T10:00:00Z", "event": "ran", "task": "adapter:v1", "seconds": 41.2, "key": "..."}

`start` and `end` frame a build; between them `running`, `ran`, `restored`, `cut-off`, `current`, `failed` and
`skipped`."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from punie_build.storage import paths

MAX_BYTES = 10 * 2**20  # a larger file is renamed to events.1.jsonl


def record(root: Path, event: str, **facts: Any) -> None:
    """Append a line, whole: several builds may write at once. A line that cannot be written does not fail a build."""
    path = root / paths.STATE / "events.jsonl"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"time": stamp, "event": event, "build": os.getpid(), **facts}) + "\n"
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_BYTES:
            path.replace(path.with_name("events.1.jsonl"))
        with path.open("ab", buffering=0) as file:
            file.write(line.encode())
