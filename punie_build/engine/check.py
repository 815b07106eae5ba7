"""Checking: what CI asks. Four levels, the first of which needs neither data nor mlx:

    recipes       do recipes, code and inputs still say what the locks say they were made from?
    outputs       are the files that are here the ones the locks name? (a Git LFS pointer stands for its file)
    conformance   is what is in the files what the recipe asks for? (ranks, layers, rows: from headers)
    gates         do the numbers in the locks reach what the recipes demand?

Tools are taken from the locks: a check says the same on a Mac, on Linux, and without mlx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.artifacts import verify
from punie_build.artifacts.graph import Task
from punie_build.engine import explain, gates
from punie_build.engine import state as states
from punie_build.models import locate
from punie_build.models import verify as models_verify
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Lock

WORST = ("current", "unseen", "stale", "broken")  # and what decides the exit code: the last of them that occurs
LEVELS = ("recipes", "outputs", "conformance", "gates")
NOT_HERE = "not here"  # in place of a digest
CONFLICT = b"<<<<<<< "


class Finding(Struct, frozen=True, kw_only=True):
    """What one level says of one artifact. `state` is one of `WORST`; `lines` say why; `file` is the recipe to look at."""

    label: str
    level: str
    state: str
    lines: tuple[str, ...] = ()
    file: str = ""


def check(root: Path, tasks: Sequence[Task], levels: Sequence[str]) -> list[Finding]:
    """The findings of these levels, artifact by artifact. `tasks` are in the order of the graph."""
    held = {task.target: locks.read(root / paths.lock(task.target)) for task in tasks}
    found = []
    for task in tasks:
        for level in LEVELS:
            if level in levels:
                state, lines = CHECKS[level](root, task, held)
                told = tuple(explain.plain(line) for line in lines)
                found.append(Finding(label=task.label, level=level, state=state, lines=told, file=task.file))
    found += [*_orphans(root, tasks)] if "recipes" in levels else []
    return found


Held = dict[str, Lock | None]
Verdict = tuple[str, list[str]]


def _recipes(root: Path, task: Task, held: Held) -> Verdict:
    lock = held[task.target]
    if lock is None:
        return _unlocked(root, task)
    inputs = {place: _input(root, task, place, lock, held) for place in task.inputs}
    base = states.base(root, task, pointers=True)
    base = {name: lock.facts.inputs.get(name, NOT_HERE) if who == "absent" else who for name, who in base.items()}
    now = states.given(task, inputs | base, lock.facts.tools, lock)
    lines = [f"{place} has no lock that can be read" for place in task.inputs if place in held and not held[place]]
    lines += states.changes(task, lock, now)
    return ("stale" if lines else "current"), lines


def _unlocked(root: Path, task: Task) -> Verdict:
    """Never built, or a lock that git or somebody spoilt."""
    place = paths.lock(task.target)
    try:
        text = (root / place).read_bytes()
    except OSError:
        return "stale", [f"never built: no lock - `doit {task.label}`, and commit {place}"]
    conflict = CONFLICT in text
    what = "has conflict markers - take one side whole" if conflict else "torn or edited - restore it from git"
    return "broken", [f"{place}: {what}, or `doit {task.label}`"]


def _input(root: Path, task: Task, place: str, lock: Lock, held: Held) -> str:
    """The digest of what a task reads there: by the lock of the artifact that it is, else by the files that are here; as it
    was recorded where neither is to be had."""
    recorded = lock.facts.inputs.get(place, NOT_HERE)
    if place in held:
        other = held[place]
        return digests.of_listing(other.outputs, task.reads_in(place)) if other else recorded
    here = digests.of_input(root, place, task.reads_in(place), pointers=True)
    return recorded if here == "absent" else here


def _outputs(root: Path, task: Task, held: Held) -> Verdict:
    lock, folder = held[task.target], root / task.target
    if lock is None or not folder.is_dir():
        return "unseen", [] if lock is None else [f"{task.target} is not here"]
    here = digests.of_target(folder, task.target, pointers=True)
    lines = [f"{task.target}/{name}: missing" for name in lock.outputs if name not in here]
    lines += [f"{task.target}/{name}: not in the lock" for name in here if name not in lock.outputs]
    lines += [
        f"{task.target}/{name}: {lock.outputs[name][:12]} was made, {digest[:12]} is here"
        for name, digest in here.items()
        if lock.outputs.get(name, digest) != digest
    ]
    return ("broken" if lines else "current"), lines


def _conformance(root: Path, task: Task, held: Held) -> Verdict:
    folder = root / task.target
    if held[task.target] is None or not folder.is_dir():
        return "unseen", []
    if task.kind not in verify.OF:
        return "current", []
    if pointers := models_verify.lfs_pointers(folder):
        return "unseen", [f"{task.target}/{name}: a Git LFS pointer - `git lfs pull`" for name in pointers]
    model = locate.present(root, task.base) if task.base else None
    lines = list(verify.OF[task.kind](folder, task.spec, model))
    return ("broken" if lines else "current"), lines


def _gates(root: Path, task: Task, held: Held) -> Verdict:
    lock = held[task.target]
    demanded = gates.demanded(task.spec), getattr(task.spec, "expect", {})
    if lock is None or not any(demanded):
        return "unseen", []
    lines = [line for gate in demanded[0] if (line := gate.objection(lock.metrics))]
    lines += gates.objections(task.spec, lock.metrics)
    return ("broken" if lines else "current"), lines


CHECKS: dict[str, Callable[[Path, Task, Held], Verdict]] = {
    "recipes": _recipes,
    "outputs": _outputs,
    "conformance": _conformance,
    "gates": _gates,
}


def _orphans(root: Path, tasks: Sequence[Task]) -> Iterator[Finding]:
    """Locks that no recipe asks for any more."""
    wanted = {paths.lock(task.target) for task in tasks}
    for path in locks.present(root):
        place = path.relative_to(root).as_posix()
        if place not in wanted:
            line = "no recipe describes it any more - delete this lock, and the target if you do not want it"
            yield Finding(label=explain.plain(place), level="recipes", state="stale", lines=(line,))


def worst(found: Sequence[Finding]) -> str:
    return max((finding.state for finding in found), key=WORST.index, default="current")
