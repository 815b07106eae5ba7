"""Faults of files: whatever can lie in the place of a target, a lock or a file of the state, or happen to it."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from punie_build.storage.atomic import remove
from tests.kills.bits import flip, flippable
from tests.kills.fault_table.row import Result, Row, healed
from tests.kills.fault_table.sandbox import TARGETS, Sandbox

TARGET, STATE, LOCK, BIT = "targets replaced", "the state torn", "locks that are none", "a bit flipped in the state"


def _listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(before)


def _link_to(path: Path, name: str, content: Callable[[Path], object]) -> None:
    elsewhere = path.parent / name
    if not elsewhere.exists():
        content(elsewhere)
    path.symlink_to(elsewhere)


def _full_folder(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "mine.txt").write_text("mine")


OBSTACLES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a file": lambda path: path.write_text("by hand"),
    "an empty file": lambda path: path.touch(),
    "an empty folder": lambda path: path.mkdir(),
    "a folder with files": _full_folder,
    "a pipe": os.mkfifo,
    "a socket": _listen,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a file": lambda path: _link_to(path, "mine", lambda place: place.write_text("mine")),
    "a link to a folder": lambda path: _link_to(path, "mine", _full_folder),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


def _replaced(name: str, thing: str, box: Sandbox, *, mended: bool = False) -> Result:
    path = box.root / name
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    OBSTACLES[thing](path)
    return healed(box, mend=(lambda: remove(path)) if mended else None)


def _decorated(name: str, box: Sandbox) -> Result:
    """Put a file of a person into a target: it is kept somewhere, whatever the build does."""
    (box.root / name / "notes.txt").write_text("mine")
    result = healed(box)
    kept = [path for path in box.root.rglob("notes.txt") if path.read_text() == "mine"]
    return result if kept else Result("wrong", "the file of a person is lost")


def _edited(name: str, box: Sandbox) -> Result:
    path = box.root / name / "train.jsonl"
    text = path.read_bytes() + b'{"messages": []}\n'
    path.write_bytes(text)
    result = healed(box)
    kept = [each for each in (box.root / ".punie/replaced").rglob("train.jsonl") if each.read_bytes() == text]
    return result if kept else Result("wrong", "the edit of a person is lost")


def _of_targets() -> Iterator[Row]:
    for name in ("data/s1", "data/all"):
        for thing in OBSTACLES:
            yield Row(TARGET, f"{name} is {thing}", partial(_replaced, name, thing))
        yield Row(TARGET, f"{name} with a foreign file", partial(_decorated, name))
        yield Row(TARGET, f"{name} edited", partial(_edited, name))
    for place in (".punie/staging/data/s1", ".punie/logs/data/s1", ".punie/replaced/data/s1", "data/rows.splits.lock"):
        for thing in OBSTACLES:
            if place == "data/rows.splits.lock" and thing in ("a file", "a link to a file"):
                continue  # a memory that a person wrote decides the split
            yield Row(TARGET, f"{place} is {thing}", partial(_in_the_way, place, thing))


def _in_the_way(place: str, thing: str, box: Sandbox) -> Result:
    if not place.startswith("data"):
        box.build("forget", "stage:s1")
    return _replaced(place, thing, box, mended=True)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: random.Random(1).randbytes(len(content)),
    "another JSON": lambda content: b"5",
    "nested": lambda content: b"[" * 100_000,
}


def _state_files(root: Path) -> list[str]:
    """Return the files of `.punie` that builds read, one of each folder with many."""
    found: dict[str, str] = {}
    for path in flippable(root):
        name = path.relative_to(root)
        found.setdefault(str(name.parents[max(0, len(name.parts) - 4)]), name.as_posix())
    return sorted(found.values())


def _damaged(name: str, damage: str, box: Sandbox) -> Result:
    path = next(iter(sorted(box.root.glob(name))), box.root / name)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    box.remove_targets()
    return healed(box)


def _gone(name: str, thing: str, box: Sandbox) -> Result:
    box.remove_targets()
    return _replaced(name, thing, box, mended=True)


STATE_PLACES = (
    ".punie", ".punie/store", ".punie/store/blobs", ".punie/store/actions", ".punie/digests.db", ".punie/staging",
    ".punie/logs", ".punie/locks", ".punie/events.jsonl", ".punie/ignored.json", ".punie/forgotten",
)  # fmt: skip


def _of_state(template: Path) -> Iterator[Row]:
    for name in _state_files(template):
        for damage in DAMAGES:
            yield Row(STATE, f"{name}: {damage}", partial(_damaged, name, damage))
    for place in STATE_PLACES:
        for thing in OBSTACLES:
            yield Row(STATE, f"{place} is {thing}", partial(_gone, place, thing))


def _lock_edit(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(content: bytes) -> bytes:
        lock = json.loads(content)
        change(lock)
        return json.dumps(lock, indent=1).encode()

    return edit


LOCK_DAMAGES: dict[str, Callable[[bytes], bytes]] = DAMAGES | {
    "conflict markers": lambda content: b"<<<<<<< HEAD\n" + content + b"=======\n" + content + b">>>>>>> other\n",
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "no outputs": _lock_edit(lambda lock: lock.update(outputs={})),
    "an output elsewhere": _lock_edit(lambda lock: lock.update(outputs={"../../x": "0" * 64})),
    "an output of a long name": _lock_edit(lambda lock: lock.update(outputs={"x" * 5000: "0" * 64})),
    "another digest of a file": _lock_edit(lambda lock: lock["outputs"].update({"train.jsonl": "0" * 64})),
    "another metric": _lock_edit(lambda lock: lock["metrics"].update(rows=5000)),
    "another key": _lock_edit(lambda lock: lock.update(key="0" * 64)),
    "another fact": _lock_edit(lambda lock: lock["facts"].update(code="0" * 16)),
    "a number that is none": lambda content: content.replace(b'"seconds": ', b'"seconds": NaN, "x": '),
    "another layout": _lock_edit(lambda lock: None),
}


def _lock_damaged(target: str, damage: str, box: Sandbox, *, fresh: bool) -> Result:
    path = box.root / f"{target}.lock.json"
    path.write_bytes(LOCK_DAMAGES[damage](path.read_bytes()))
    if fresh:
        box.remove_targets()
        shutil.rmtree(box.root / ".punie")
    return healed(box)


def _of_locks() -> Iterator[Row]:
    for target in TARGETS[:2]:
        for damage in LOCK_DAMAGES:
            for fresh in (False, True):
                where = "in a fresh checkout" if fresh else "beside its target"
                run = partial(_lock_damaged, target, damage, fresh=fresh)
                yield Row(LOCK, f"{target}.lock.json {where}: {damage}", run)
    for thing in OBSTACLES:
        run = partial(_replaced, "data/s1.lock.json", thing, mended=True)
        yield Row(LOCK, f"data/s1.lock.json is {thing}", run)


def _flipped(name: str, seed: int, box: Sandbox) -> Result:
    path = box.root / name
    box.remove_targets()
    if not name.startswith(".punie/store"):
        shutil.rmtree(box.root / ".punie/store")
    flip(path, random.Random(seed))
    return healed(box)


def rows(template: Path) -> Iterator[Row]:
    """Yield the faults of files in the project at `template`."""
    yield from _of_targets()
    yield from _of_state(template)
    yield from _of_locks()
    for seed, path in enumerate(flippable(template)):
        name = path.relative_to(template).as_posix()
        yield Row(BIT, name, partial(_flipped, name, seed))
