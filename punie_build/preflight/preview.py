"""Before: all findings of a training that is about to start, and of those that a build would start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.engine import build, gates
from punie_build.engine.kind import resolve
from punie_build.engine.plan import Planned
from punie_build.engine.task import AnyTask
from punie_build.errors import PunieError
from punie_build.models import locate
from punie_build.models.architecture import anatomy
from punie_build.models.spec import Base
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


def subject(root: Path, task: AnyTask, base: Path | None, tokens: Path | None, rows: int | None = None) -> Subject:
    """What is known of an adapter's training. `tokens` is the folder of its tokens, if they are there."""
    stats = coverage = None
    if tokens:
        stats = token_file.stats(tokens)
        lengths = token_file.load(tokens / "train.safetensors").lengths
        rows, coverage = len(lengths), task.spec.coverage([length - 1 for length in lengths])
    return Subject(
        where=f"{task.file}: adapter.{task.name}",
        spec=task.spec,
        place=task.needed("tokens"),
        base=anatomy(base) if base else None,
        rows=rows,
        tokens=stats,
        coverage=coverage,
        room=room(root),
    )


def check(root: Path, task: AnyTask, base: Path, say: Callable[[str], object]) -> None:
    """When a training starts: say its warnings, raise PreflightError with all its errors. What the rows tell was said before."""
    of_rows = findings(root / task.needed("preflight") / "findings.json")
    own = config_checks.look(subject(root, task, base, root / task.needed("tokens")))
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


def outlook(root: Path, planned: Sequence[Planned]) -> Outlook:
    """Return the findings of everything that a build would make."""
    result = Outlook({}, [], [])
    by_label = {each.task.label: each for each in planned}
    for each in planned:
        if each.action == "current":
            result.findings += expectations(root, each.task)
        elif each.action in ("run", "maybe") and each.task.kind.preview:
            resolve(each.task.kind.preview)(root, each.task, by_label, result)
    result.findings = list(dict.fromkeys(result.findings))
    result.unseen = list(dict.fromkeys(result.unseen))
    result.findings.sort(key=lambda finding: finding.level != "error")
    return result


def expectations(root: Path, task: AnyTask) -> Iterator[Finding]:
    """Data that is not as its recipe expects by now."""
    lock = locks.read(root / paths.lock(task.target))
    for line in gates.unmet_expectations(task.spec, lock.metrics) if lock else ():
        where, _, what = f"{task.file}: {task.kind.name}.{task.name}.{line}".rpartition(": ")
        yield Finding(
            look="expect", level="error", where=where, what=what, advice="look why, and correct the data or `expect`"
        )


def preview_adapter(root: Path, task: AnyTask, by_label: dict[str, Planned], result: Outlook) -> None:
    """Add the findings of a training. Rows that are here and were not checked yet are checked now, and the build reuses the result."""
    need = {each.task.kind.name: each for label in task.needs if (each := by_label.get(label))}
    tokens, rows = need["tokens"], need["preflight"]
    data = by_label[next(iter(rows.task.needs))]
    base = at_hand(root, task)
    if base is None:
        result.unseen.append(f"base {task.spec.base}")
    folder = root / tokens.task.target
    lock = locks.read(root / paths.lock(data.task.target)) if data.action == "current" else None
    count = int(lock.metrics.get("train", 0)) if lock else None
    plan = subject(root, task, base, folder if tokens.action == "current" and folder.is_dir() else None, count)
    if plan.coverage:
        result.lines[task.label] = f"{plan.coverage}"
    findings_ = config_checks.look(plan)
    if rows.action == "current" and (path := root / rows.task.target / "findings.json").exists():
        findings_ += findings(path)
    elif data.action == "current" and base and (root / data.task.target).is_dir():
        stored = build.build_to_store(root, rows.task)
        findings_ += findings(store.blob(root, stored.outputs["findings.json"]))
    else:
        result.unseen.append(data.task.target)
    result.findings += refused(findings_, task.spec.allow)


def preview_model(root: Path, task: AnyTask, _by_label: dict[str, Planned], result: Outlook) -> None:
    """Add the findings of a model that is about to be fused or quantized."""
    if base := at_hand(root, task):
        where = f"{task.file}: {task.kind.name}.{task.name}"
        result.findings += model_checks.look(where, task.spec, base, room(root))
    else:
        result.unseen.append(f"base {getattr(task.external['base'], 'name', '')}")


def at_hand(root: Path, task: AnyTask) -> Path | None:
    """Return the folder of a task's base, if nothing has to be downloaded for it."""
    base = task.external.get("base")
    return locate.at_hand(root, base) if isinstance(base, Base) else None
