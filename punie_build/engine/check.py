"""Check: the questions of CI. There are four levels; the first needs neither data nor mlx.

    recipes       recipes, code and inputs are those that the locks record
    outputs       the files that are here are those in the locks (a Git LFS pointer stands for its file)
    conformance   the files hold what the recipe asks for: ranks, layers, rows, read from headers
    gates         the metrics in the locks reach what the recipes demand, and are those of the files

Tools are taken from the locks: a check gives the same result on a Mac, on Linux, and without mlx.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from punie_build.engine import gates
from punie_build.engine import state as states
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.errors import printable
from punie_build.runtime.program import build_command
from punie_build.storage import digests, locks, paths, project_file, store
from punie_build.storage.locks import Lock

STATES = ("current", "unseen", "stale", "broken")  # from best to worst: the worst one decides the exit code
LEVELS = ("recipes", "outputs", "conformance", "gates")
NOT_HERE = "not here"  # in place of a digest
CONFLICT = b"<<<<<<< "


class ArtifactCheck(Struct, frozen=True, kw_only=True):
    """The result of one level for one artifact. `state` is one of `STATES`; `lines` give the reasons; `file` and
    `table` name the table of the recipe, `target` the folder of the artifact."""

    label: str
    level: str
    state: str
    lines: tuple[str, ...] = ()
    file: str = ""
    table: tuple[str, str] = ("", "")
    target: str = ""


def check(root: Path, tasks: Sequence[AnyTask], levels: Sequence[str], folders: Iterable[str]) -> list[ArtifactCheck]:
    """Return the results of these levels, artifact by artifact. `tasks` are in the order of the graph; `folders` may
    have locks."""
    locks_by_target = {task.target: locks.read(root / paths.lock(task.target)) for task in tasks}
    results = []
    for task in tasks:
        for level in LEVELS:
            if level in levels:
                state, lines = CHECKS[level](root, task, locks_by_target)
                text = tuple(printable(line) for line in lines)
                results.append(
                    ArtifactCheck(
                        label=task.label,
                        level=level,
                        state=state,
                        lines=text,
                        file=task.file,
                        table=task.table,
                        target=task.target,
                    )
                )
    results += [*_orphans(root, tasks, folders)] if "recipes" in levels else []
    return results


LocksByTarget = dict[str, Lock | None]
Verdict = tuple[str, list[str]]


def _recipes(root: Path, task: AnyTask, recorded: LocksByTarget) -> Verdict:
    lock = recorded[task.target]
    if lock is None:
        return _without_lock(root, task)
    inputs = {path: _input(root, task, path, lock, recorded) for path in task.inputs}
    external = {
        name: lock.key_inputs.inputs.get(name, NOT_HERE) if identity == "absent" else identity
        for name, identity in states.external_inputs(root, task, pointers=True).items()
    }
    current = states.expected(task, inputs | external, lock.key_inputs.tools, lock)
    lines = [f"{path} has no lock that can be read" for path in task.inputs if path in recorded and not recorded[path]]
    lines += states.changes(task, lock, current)
    accepted = [f"accepted as it was, not built: {reason}" for reason in lock.accepted or ()]
    return ("stale", lines) if lines else ("current", accepted)


def _without_lock(root: Path, task: AnyTask) -> Verdict:
    """Never built, or a lock that git or a person damaged."""
    path = paths.lock(task.target)
    try:
        text = project_file.read(root / path)
    except OSError:
        return "stale", [f"never built: no lock - `{build_command()} {task.label}`, and commit {path}"]
    problem = "has conflict markers - take one side whole" if CONFLICT in text else "damaged - restore it from git"
    return "broken", [f"{path}: {problem}, or `{build_command()} {task.label}`"]


def _input(root: Path, task: AnyTask, path: str, lock: Lock, recorded: LocksByTarget) -> str:
    """Return the digest of what a task reads at a path: by the lock of the artifact there, else by the files that are
    here, else as it was recorded."""
    before = lock.key_inputs.inputs.get(path, NOT_HERE)
    if target := paths.holder(path, recorded):
        other = recorded[target]
        return digests.of_part(other.outputs, target, path, task.files_read(path)) if other else before
    present = digests.of_input(root, path, task.files_read(path), pointers=True)
    return before if present == "absent" else present


def _outputs(root: Path, task: AnyTask, recorded: LocksByTarget) -> Verdict:
    lock, folder = recorded[task.target], root / task.target
    if lock is None or not folder.is_dir():
        return "unseen", [] if lock is None else [f"{task.target} is not here"]
    present = digests.of_target(folder, task.target, pointers=True)
    lines = [f"{task.target}/{name}: missing" for name in lock.outputs if name not in present]
    lines += [f"{task.target}/{name}: not in the lock" for name in present if name not in lock.outputs]
    lines += [
        f"{task.target}/{name}: {lock.outputs[name][:12]} was built, {digest[:12]} is here"
        for name, digest in present.items()
        if lock.outputs.get(name, digest) != digest
    ]
    return ("broken" if lines else "current"), lines


def _conformance(root: Path, task: AnyTask, recorded: LocksByTarget) -> Verdict:
    lock, folder = recorded[task.target], root / task.target
    if lock is None or not folder.is_dir():
        return "unseen", []
    if not task.kind.verify:
        return "current", []
    if pointers := digests.lfs_pointers(folder):
        return "unseen", [f"{task.target}/{name}: a Git LFS pointer - `git lfs pull`" for name in pointers]
    base = task.external.get("base")
    lines = list(resolve(task.kind.verify)(folder, task.spec, base.present(root) if base else None))
    lines += _contradictions(root, task, lock)
    return ("broken" if lines else "current"), lines


def _gates(root: Path, task: AnyTask, recorded: LocksByTarget) -> Verdict:
    lock = recorded[task.target]
    required, expectations = gates.required(task.spec), getattr(task.spec, "expect", {})
    if lock is None or not (required or expectations):
        return "unseen", []
    lines = _contradictions(root, task, lock)
    lines += gates.failures(task.spec, lock.metrics)
    lines += gates.unmet_expectations(task.spec, lock.metrics)
    return ("broken" if lines else "current"), lines


def _contradictions(root: Path, task: AnyTask, lock: Lock) -> list[str]:
    """Return the metrics of a lock that are not those of the files of the target, or, where they are not here, those
    that the store recorded for the same files."""
    folder = root / task.target
    stored = None if folder.is_dir() else store.recorded(root, lock.key)
    measured: Mapping[str, float] = stored.metrics if stored and stored.outputs == lock.outputs else {}
    if task.kind.measured and folder.is_dir():
        with suppress(OSError, ValueError, KeyError, StopIteration):  # other files, or pointers: `outputs` tells
            measured = resolve(task.kind.measured)(folder)
    return [
        f"metrics.{name}: the lock says {lock.metrics[name]:g}, its files say {value:g} - restore the lock from git, "
        f"or `doit forget {task.label}` and build it again"
        for name, value in measured.items()
        if name not in task.kind.history and not math.isclose(lock.metrics.get(name, value), value, rel_tol=1e-9)
    ]


CHECKS: dict[str, Callable[[Path, AnyTask, LocksByTarget], Verdict]] = {
    "recipes": _recipes,
    "outputs": _outputs,
    "conformance": _conformance,
    "gates": _gates,
}


def _orphans(root: Path, tasks: Sequence[AnyTask], folders: Iterable[str]) -> Iterator[ArtifactCheck]:
    """Yield the locks that no recipe describes any more."""
    known = {paths.lock(task.target) for task in tasks}
    for file in locks.present(root, folders):
        path = file.relative_to(root).as_posix()
        if path not in known:
            line = "no recipe describes it any more - delete this lock, and the target if you do not want it"
            yield ArtifactCheck(label=printable(path), level="recipes", state="stale", lines=(line,))


def worst(results: Sequence[ArtifactCheck]) -> str:
    """Return the worst state of these results."""
    return max((result.state for result in results), key=STATES.index, default="current")
