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

from punie_build import bases, conformance, digests, explaining, layout, locks, states
from punie_build.graph import Task
from punie_build.locks import Lock

WORST = ("current", "unseen", "stale", "broken")  # and what decides the exit code: the last of them that occurs
LEVELS = ("recipes", "outputs", "conformance", "gates")


class Finding(Struct, frozen=True, kw_only=True):
    """What one level says of one artifact. `state` is one of `WORST`; `lines` say why; `file` is the recipe to look at."""

    label: str
    level: str
    state: str
    lines: tuple[str, ...] = ()
    file: str = ""


def check(root: Path, tasks: Sequence[Task], levels: Sequence[str]) -> list[Finding]:
    """The findings of these levels, artifact by artifact. `tasks` are in the order of the graph."""
    held = {task.target: locks.read(root / layout.lock(task.target)) for task in tasks}
    found = []
    for task in tasks:
        for level in LEVELS:
            if level in levels:
                state, lines = CHECKS[level](root, task, held)
                found.append(Finding(label=task.label, level=level, state=state, lines=tuple(lines), file=task.file))
    found += [*_orphans(root, tasks)] if "recipes" in levels else []
    return found


Held = dict[str, Lock | None]
Verdict = tuple[str, list[str]]


def _recipes(root: Path, task: Task, held: Held) -> Verdict:
    lock = held[task.target]
    if lock is None:
        path = layout.lock(task.target)
        if (root / path).exists():
            return "broken", [f"{path}: cannot be read - resolve the merge, or build again"]
        return "stale", ["never built: no lock - build it and commit its lock"]
    inputs, behind = {}, []
    for place in task.inputs:
        recorded = lock.facts.inputs.get(place, "")
        if place in held:
            other = held[place]
            inputs[place] = digests.of_listing(other.outputs, task.reads) if other else recorded
            if other is None:
                behind.append(f"{place} was never built")
        else:
            here = digests.of_tree(root / place, task.reads, pointers=True)
            inputs[place] = recorded if here == "absent" else here
    base = states.base(root, task)
    if base.get("base") == "absent":
        base = {"base": lock.facts.inputs.get("base", "")}
    now = states.given(task, inputs | base, lock.facts.tools)
    lines = [*behind, *explaining.differences(lock.facts, now)]
    return ("stale" if lines else "current"), lines


def _outputs(root: Path, task: Task, held: Held) -> Verdict:
    lock, folder = held[task.target], root / task.target
    if lock is None or not folder.is_dir():
        return "unseen", []
    here = digests.of_folder(folder, pointers=True)
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
    if task.kind not in conformance.OF:
        return "current", []
    model = bases.present(root, task.base) if task.base else None
    lines = list(conformance.OF[task.kind](folder, task.spec, model))
    return ("broken" if lines else "current"), lines


def _gates(root: Path, task: Task, held: Held) -> Verdict:
    lock = held[task.target]
    gates = getattr(task.spec, "gates", ())
    if lock is None or not gates:
        return "unseen", []
    lines = [line for gate in gates if (line := gate.objection(lock.metrics))]
    return ("broken" if lines else "current"), lines


CHECKS: dict[str, Callable[[Path, Task, Held], Verdict]] = {
    "recipes": _recipes,
    "outputs": _outputs,
    "conformance": _conformance,
    "gates": _gates,
}


def _orphans(root: Path, tasks: Sequence[Task]) -> Iterator[Finding]:
    """Locks that no recipe asks for any more."""
    wanted = {layout.lock(task.target) for task in tasks}
    for path in locks.present(root):
        place = path.relative_to(root).as_posix()
        if place not in wanted:
            line = "no recipe describes it any more - delete this lock, and the target if you do not want it"
            yield Finding(label=place, level="recipes", state="stale", lines=(line,))


def worst(found: Sequence[Finding]) -> str:
    return max((finding.state for finding in found), key=WORST.index, default="current")
