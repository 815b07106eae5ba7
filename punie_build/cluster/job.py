"""Job: a request as a worker builds it, in a process of its own and a folder that ends with it.

Its `.punie` is a folder that all jobs of a project share on this machine: the store, so that no input is downloaded
twice, and the checkpoints, so that a training that was cut off resumes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from msgspec import structs

from punie_build.cluster.request import ClusterError, Reply, Request
from punie_build.engine import build, explain
from punie_build.engine import state as states
from punie_build.engine.kind import Shards, resolve
from punie_build.errors import PunieError
from punie_build.runtime.console import console
from punie_build.storage import digests, locks, paths, settings, store

MAX_LOG = 1 << 20  # characters of each log that go back
SCREEN = "screen"  # the file of a job that lines for people are written to


def run(order: tuple[Request, Path]) -> Reply:
    """Build the target of a request into the shared store, in an empty folder. Returns errors of users as text."""
    request, folder = order
    with (folder / SCREEN).open("a", encoding="utf-8", buffering=1) as stream:
        before = console.muted, console.stream
        console.muted, console.stream = False, stream
        try:
            return _build(request, folder / "project")
        except (PunieError, OSError) as error:
            return Reply(error=str(error), logs=_logs(request))
        finally:
            console.muted, console.stream = before


def folder_of(project: str) -> Path:
    """Return the folder of the jobs of a project on this machine."""
    cache = paths.user_cache() or Path(tempfile.gettempdir(), f"punie-build-{os.getuid()}")
    return cache / "cluster" / project


def _state(request: Request) -> Path:
    """Return what is `.punie` to all jobs of a project."""
    return folder_of(request.project) / "state"


def _build(request: Request, root: Path) -> Reply:
    state = _state(request)
    state.mkdir(parents=True, exist_ok=True)
    root.mkdir()
    try:
        (root / paths.STATE).symlink_to(state)
        settings.give(root, request.store)
        digests.use_cache(root)
        place_inputs(root, request)
        _check_key(root, request)
        if request.part:
            return Reply(lines=_part(root, request), logs=_logs(request))
        for path, lines in request.lines.items():
            append_lines(root / path, lines)
        outcome = build.build(root, request.task, afresh=request.afresh)
        lock = locks.read(root / paths.lock(request.task.target))
        if lock is None or not (store.is_shared(root, lock) or store.push(root, lock)):
            raise ClusterError(f"the shared store {request.store.store} does not take the result - see its warning")
        return Reply(message=outcome.message, logs=_logs(request))
    finally:
        settings.give(root, None)


def _part(root: Path, request: Request) -> dict[str, bytes]:
    """Compute a part of a target, in a folder for logs of its own: another may be computed here at the same time."""
    shards: Shards = resolve(request.task.kind.shards)
    work = build.work_of(root, request.task)
    logs = root / _logs_of(request)
    return shards.collect(structs.replace(work, logs=logs, key_inputs=request.current))


def append_lines(path: Path, lines: bytes) -> None:
    """Add those lines to a file that it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {*path.read_bytes().splitlines()} if path.exists() else set()
    new = [line + b"\n" for line in lines.splitlines() if line not in known]
    with path.open("ab") as file:
        file.write(b"".join(new))


def _logs_of(request: Request) -> str:
    logs = paths.logs(request.task.target)
    return f"{logs}/part-{request.part}" if request.part else logs


def place_inputs(root: Path, request: Request) -> None:
    """Write what the task reads, from the store, into the folder of a job. Raises ClusterError."""
    if request.old:
        target_lock = root / paths.lock(request.task.target)
        target_lock.parent.mkdir(parents=True, exist_ok=True)
        locks.write(target_lock, request.old)
    for target, lock in request.locks.items():
        (root / target).mkdir(parents=True)
        if store.restore(root, lock.key, root / target, lock) is None:
            raise ClusterError(f"{target}: the worker cannot read it in the shared store {request.store.store}")
        locks.write(root / paths.lock(target), lock)
    for path, digest in request.files.items():
        if not store.restore_file(root, digest, root / path):
            raise ClusterError(f"{path}: the worker cannot read it in the shared store {request.store.store}")


def _check_key(root: Path, request: Request) -> None:
    """Raise ClusterError if this machine would compute something else than the build asks for."""
    here = states.key_inputs(root, request.task, request.old)
    if here.key != request.current.key:
        differences = "; ".join(explain.differences(request.current, here))
        raise ClusterError(
            f"the worker would make something else ({differences}) - give it the same versions and files as the build"
        )


def _logs(request: Request) -> dict[str, str]:
    logs = _state(request) / Path(_logs_of(request)).relative_to(paths.STATE)
    files = sorted(logs.iterdir()) if logs.is_dir() else []
    prefix = f"part-{request.part}-" if request.part else ""
    return {prefix + file.name: file.read_text("utf-8", "replace")[-MAX_LOG:] for file in files if file.is_file()}
