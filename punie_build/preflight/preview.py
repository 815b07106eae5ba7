"""Before: all findings of a training that is about to start, and of those that a build would start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.artifacts.graph import Task
from punie_build.engine import build, gates
from punie_build.engine.build import Step
from punie_build.engine.plan import Planned
from punie_build.errors import PunieError
from punie_build.models import locate
from punie_build.models.architecture import anatomy
from punie_build.preflight import config_checks, model_checks
from punie_build.preflight.config_checks import Subject
from punie_build.preflight.finding import Finding, refused
from punie_build.preflight.resources import room
from punie_build.storage import locks, paths, store
from punie_build.training import token_file


class PreflightError(PunieError):
    """What would go wrong with a training, known before it starts."""


class _Told(Struct):
    findings: list[Finding]


def findings(path: Path) -> list[Finding]:
    """What a look at the rows found."""
    return msgspec.json.decode(path.read_bytes(), type=_Told).findings


def subject(root: Path, task: Task, base: Path | None, tokens: Path | None, rows: int | None = None) -> Subject:
    """What is known of an adapter's training. `tokens` is the folder of its tokens, if they are there."""
    stats = coverage = None
    if tokens:
        stats = token_file.stats(tokens)
        lengths = token_file.load(tokens / "train.safetensors").lengths
        rows, coverage = len(lengths), task.spec.coverage([length - 1 for length in lengths])
    return Subject(
        where=f"{task.file}: adapter.{task.name}",
        spec=task.spec,
        place=next(paths.target(*need.split(":", 1)) for need in task.needs if need.startswith("tokens:")),
        base=anatomy(base) if base else None,
        rows=rows,
        tokens=stats,
        coverage=coverage,
        room=room(root),
    )


def check(root: Path, task: Task, base: Path, say: Callable[[str], object]) -> None:
    """When a training starts: say its warnings, raise PreflightError with all its errors. What the rows tell was said before."""
    target = {kind: root / paths.target(kind, name) for kind, _, name in (need.partition(":") for need in task.needs)}
    of_rows = findings(target["preflight"] / "findings.json")
    own = config_checks.look(subject(root, task, base, target["tokens"]))
    for each in refused(own, task.spec.allow):
        if each.level == "warning":
            say(f"{each}")
    if errors := [each for each in refused(own + of_rows, task.spec.allow) if each.level == "error"]:
        raise PreflightError("\n".join([*map(str, errors), advice(errors)]))


def advice(errors: Sequence[Finding]) -> str:
    """How to go on in spite of them."""
    looks = ", ".join(f'"{look}"' for look in dict.fromkeys(each.look for each in errors))
    return f"if it is meant to be so: allow = [{looks}] in the adapter's recipe"


class Outlook(Struct):
    """What a plan shows beside its tasks: a line for each label, all findings, and what could not be looked at yet."""

    lines: dict[str, str]
    findings: list[Finding]
    unseen: list[str]


def outlook(root: Path, planned: Sequence[Planned], step: Step) -> Outlook:
    """All findings of what a build would make. `step` looks at rows that are here and were not looked at yet."""
    found = Outlook({}, [], [])
    by = {each.task.label: each for each in planned}
    for each in planned:
        if each.how == "current":
            found.findings += expectations(root, each.task)
        if each.task.kind == "adapter" and each.how in ("run", "maybe"):
            _adapter(root, each.task, by, step, found)
        elif each.task.kind == "model" and each.how in ("run", "maybe") and each.task.base:
            if base := locate.at_hand(root, each.task.base):
                where = f"{each.task.file}: model.{each.task.name}"
                found.findings += model_checks.look(where, each.task.spec, base, room(root))
            else:
                found.unseen.append(f"base {each.task.base.name}")
    found.findings = list(dict.fromkeys(found.findings))
    found.unseen = list(dict.fromkeys(found.unseen))
    found.findings.sort(key=lambda finding: finding.level != "error")
    return found


def expectations(root: Path, task: Task) -> Iterator[Finding]:
    """Data that is not as its recipe expects by now."""
    lock = locks.read(root / paths.lock(task.target))
    for line in gates.objections(task.spec, lock.metrics) if lock else ():
        where, _, what = f"{task.file}: {task.kind}.{task.name}.{line}".rpartition(": ")
        yield Finding(
            look="expect", level="error", where=where, what=what, advice="look why, and correct the data or `expect`"
        )


def _adapter(root: Path, task: Task, by: dict[str, Planned], step: Step, found: Outlook) -> None:
    need = {each.task.kind: each for label in task.needs if (each := by.get(label))}
    tokens, rows = need["tokens"], need["preflight"]
    data = by[rows.task.needs[0]]
    base = locate.at_hand(root, task.base) if task.base else None
    if base is None:
        found.unseen.append(f"base {task.spec.base}")
    here = root / tokens.task.target
    lock = locks.read(root / paths.lock(data.task.target)) if data.how == "current" else None
    count = int(lock.metrics.get("train", 0)) if lock else None
    it = subject(root, task, base, here if tokens.how == "current" and here.is_dir() else None, count)
    if it.coverage:
        found.lines[task.label] = f"{it.coverage}"
    some = config_checks.look(it)
    if rows.how == "current" and (path := root / rows.task.target / "findings.json").exists():
        some += findings(path)
    elif data.how == "current" and base and (root / data.task.target).is_dir():
        stored = build.stash(root, rows.task, step)
        some += findings(store.blob(root, stored.outputs["findings.json"]))
    else:
        found.unseen.append(data.task.target)
    found.findings += refused(some, task.spec.allow)
