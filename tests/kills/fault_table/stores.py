"""Faults of shared stores: other content, and servers that are silent, slow, endless or not there."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.kills.fault_table.obstacles import DAMAGES, OBSTACLES
from tests.kills.fault_table.row import Result, Row, output_problem, right
from tests.kills.fault_table.sandbox import Sandbox
from tests.support.hostile_store import hostile_store

CONTENT, SERVER = "a shared store with other content", "a shared store that is silent, slow or endless"
PATIENCE = 25.0  # seconds that a build with a hostile store may take here; without it, half of one


def _filled(box: Sandbox) -> tuple[Path, str]:
    """Push the artifacts of the project into a shared store, and remove them here. Return its folder and URL."""
    folder = box.root.parent / "shared"
    folder.mkdir()
    box.unbuild()
    done = box.build(PUNIE_BUILD_STORE=folder.as_uri())
    assert done.code == 0, done.output
    box.unbuild()
    return folder, folder.as_uri()


def _restored(box: Sandbox, url: str) -> Result:
    done = box.build(PUNIE_BUILD_STORE=url)
    return output_problem(done) or right(box, done)


def _spoiled(kind: str, damage: Callable[[Path], object], box: Sandbox) -> Result:
    folder, url = _filled(box)
    for path in [path for path in (folder / kind).rglob("*") if path.is_file()]:
        damage(path)
    return _restored(box, url)


def _rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def _in_place(thing: str) -> Callable[[Path], object]:
    def put(path: Path) -> None:
        path.unlink()
        OBSTACLES[thing](path)

    return put


def _record(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def rewrite(path: Path) -> None:
        record = json.loads(path.read_bytes())
        change(record)
        path.write_text(json.dumps(record))

    return rewrite


HOSTILE_RECORDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no outputs": lambda record: record.update(outputs={}),
    "a path outside": lambda record: record.update(outputs={"../../evil": "0" * 64}),
    "an absolute path": lambda record: record.update(outputs={"/tmp/evil": "0" * 64}),
    "a long name": lambda record: record.update(outputs={"x" * 5000: "0" * 64}),
    "a file below a file": lambda record: record["outputs"].update({"train.jsonl/x": "0" * 64}),
    "a blob that is not there": lambda record: record["outputs"].update({"train.jsonl": "0" * 64}),
    "no digest": lambda record: record.update(outputs={"train.jsonl": "x"}),
    "100,000 files": lambda record: record.update(outputs={f"{n}": "0" * 64 for n in range(100_000)}),
    "another key": lambda record: record.update(key="0" * 64),
    "a list": lambda record: record.update(outputs=[1, 2]),
    "a huge number": lambda record: record.update(seconds=1e308),
}


def _served(behavior: str, box: Sandbox) -> Result:
    box.unbuild()
    with hostile_store(behavior) as server:
        started = time.monotonic()
        done = box.build(PUNIE_BUILD_STORE=server.url)
        if time.monotonic() - started > PATIENCE:
            return Result("hangs", f"{time.monotonic() - started:.0f} s")
    return output_problem(done) or right(box, done)


def _named(url: str, box: Sandbox) -> Result:
    box.unbuild()
    return _restored(box, url)


def _unanswered(box: Sandbox) -> Result:
    box.unbuild()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        return _restored(box, f"http://127.0.0.1:{silent.getsockname()[1]}/store")


def _read_only(box: Sandbox) -> Result:
    """A store below a file cannot be written; one of pipes cannot be read either."""
    folder, url = _filled(box)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            shutil.rmtree(path)
            path.write_text("not a folder")
    return _restored(box, url)


def rows(_template: Path) -> Iterator[Row]:
    """Yield the faults of shared stores."""
    for kind in ("blobs", "actions"):
        for name, change in DAMAGES.items():
            yield Row(CONTENT, f"{kind}: {name}", partial(_spoiled, kind, _rewritten(change)))
        for thing in ("nothing", "an empty folder", "a folder with files", "a pipe", "a link to nowhere",
                      "a link to a device"):  # fmt: skip
            yield Row(CONTENT, f"{kind}: {thing}", partial(_spoiled, kind, _in_place(thing)))
    for name, edit in HOSTILE_RECORDS.items():
        yield Row(CONTENT, f"records: {name}", partial(_spoiled, "actions", _record(edit)))
    yield Row(SERVER, "a folder that is none", _read_only)
    for behavior in ("silent", "drip", "flood"):
        yield Row(SERVER, behavior, partial(_served, behavior))
    yield Row(SERVER, "a server that never answers", _unanswered)
    for url in ("nosuch://host/x", "http://127.0.0.1:1/x", "file:///nowhere/x", "file:///etc/passwd/x", "memory://x"):
        yield Row(SERVER, url, partial(_named, url))
