"""Findings of a training that is about to start, and of the trainings and models that a build would make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.engine import build, gates
from punie_build.engine.kind import resolve
from punie_build.engine.plan import Planned
from punie_build.engine.task import AnyTask
from punie_build.errors import PunieError
from punie_build.models import locate
from punie_build.models.architecture import read_architecture
from punie_build.models.spec import Base
from punie_build.models.verify import draft_problem
from punie_build.preflight import config_checks, model_checks, rate_checks, resources, result
from punie_build.preflight.config_checks import TrainingPlan
from punie_build.preflight.finding import PreflightFinding, not_allowed
from punie_build.storage import locks, paths, store
from punie_build.training import adoption, token_file
from punie_build.training.mlx_lm_defaults import differing_defaults


class PreflightError(PunieError):
    """A training would fail or be useless, as its checks show before it starts."""


def training_plan(
    root: Path, task: AnyTask, base: Path | None, tokens: Path | None, rows: int | None = None
) -> TrainingPlan:
    """Return the plan of an adapter's training with all that is known of it. `base` and `tokens` are folders, None
    if absent."""
    stats = coverage = None
    spec = task.details.apply(task.spec) if task.details else task.spec
    if tokens:
        stats = token_file.read_stats(tokens)
        train = token_file.load(tokens / "train.safetensors")
        rows, coverage = len(train), spec.coverage(train)
    return TrainingPlan(
        where=f"{task.file}: {task.kind.name}.{task.name}",
        spec=spec,
        tokens_target=task.needed("tokens"),
        base=read_architecture(base) if base else None,
        rows=rows,
        tokens=stats,
        coverage=coverage,
        resources=resources.available(root),
    )


def check_training(root: Path, task: AnyTask, base: Path, say: Callable[[str], object]) -> None:
    """Report the warnings of a training that is about to start. Raise PreflightError with all its errors.

    The preflight has reported the warnings about rows.
    """
    of_rows = result.read(root / task.needed("preflight") / "findings.json").findings
    own = recipe_findings(training_plan(root, task, base, root / task.needed("tokens")))
    for finding in not_allowed(own, task.spec.allow):
        if finding.level == "warning":
            say(f"{finding}")
    if errors := [finding for finding in not_allowed(own + of_rows, task.spec.allow) if finding.level == "error"]:
        raise PreflightError("\n".join([*map(str, errors), allow_hint(errors)]))


def allow_hint(errors: Sequence[PreflightFinding]) -> str:
    """Return the advice for a user who wants to train in spite of these errors."""
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(error.check for error in errors))
    return f"if this is intended: allow = [{names}] in the adapter's recipe"


def recipe_findings(plan: TrainingPlan) -> list[PreflightFinding]:
    """Return the findings that need no rows."""
    checks = (*config_checks.CHECKS, *rate_checks.CHECKS)
    return [finding for function in checks for finding in function(plan)]


class Preview(Struct):
    """Additions to a plan: task label -> line, all findings, and the labels of inputs that cannot be checked yet.

    `defaults` maps what differs from mlx-lm by default to the labels of the trainings.
    """

    lines: dict[str, str] = {}
    findings: list[PreflightFinding] = []
    unchecked: list[str] = []
    defaults: dict[tuple[str, ...], list[str]] = {}

    def notes(self) -> Iterator[str]:
        """Yield a line for all trainings that differ from mlx-lm's in the same defaults."""
        for phrases, labels in self.defaults.items():
            if phrases:
                others = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
                yield f"not as mlx_lm.lora by default (its own in brackets): {', '.join(phrases)} - {labels[0]}{others}"


def preview(root: Path, planned: Sequence[Planned]) -> Preview:
    """Return the findings of everything that a build would make."""
    report = Preview()
    by_label = {entry.task.label: entry for entry in planned}
    for entry in planned:
        if entry.action == "current":
            report.findings += unmet_expectations(root, entry.task)
        elif entry.action in ("run", "maybe") and entry.task.kind.preview:
            resolve(entry.task.kind.preview)(root, entry.task, by_label, report)
    report.findings = list(dict.fromkeys(report.findings))
    report.unchecked = list(dict.fromkeys(report.unchecked))
    report.findings.sort(key=lambda finding: finding.level != "error")
    return report


def unmet_expectations(root: Path, task: AnyTask) -> Iterator[PreflightFinding]:
    """Yield the expectations of a recipe that data which is already built does not meet."""
    lock = locks.read(root / paths.lock(task.target))
    for line in gates.unmet_expectations(task.spec, lock.metrics) if lock else ():
        where, _, problem = f"{task.file}: {task.kind.name}.{task.name}.{line}".rpartition(": ")
        advice = "find the reason, and correct the data or `expect`"
        yield PreflightFinding(check="expect", level="error", where=where, problem=problem, advice=advice)


def preview_adapter(root: Path, task: AnyTask, by_label: dict[str, Planned], report: Preview) -> None:
    """Add the findings of a training. Rows that exist and are not checked yet are checked now, and the build reuses
    the result."""
    needs = {entry.task.kind.name: entry for label in task.needs if (entry := by_label.get(label))}
    tokens, preflight = needs["tokens"], needs["preflight"]
    data = by_label[next(iter(preflight.task.needs))]
    base = at_hand(root, task)
    report.findings += base_gaps(root, task)
    if base is None:
        report.unchecked.append(f"base {task.spec.base}")
    folder = root / tokens.task.target
    lock = locks.read(root / paths.lock(data.task.target)) if data.action == "current" else None
    rows = int(lock.metrics.get("train", 0)) if lock else None
    plan = training_plan(root, task, base, folder if tokens.action == "current" and folder.is_dir() else None, rows)
    if plan.coverage:
        report.lines[task.label] = f"{plan.coverage}"
    findings = recipe_findings(plan)
    report.defaults.setdefault(differing_defaults(task.spec), []).append(task.label)
    if preflight.action == "current" and (path := root / preflight.task.target / "findings.json").exists():
        findings += result.read(path).findings
    elif data.action == "current" and base and (root / data.task.target).is_dir():
        stored = build.build_to_store(root, preflight.task)
        findings += result.read(store.blob(root, stored.outputs["findings.json"])).findings
    else:
        report.unchecked.append(data.task.target)
    report.findings += not_allowed(findings, task.spec.allow)


def preview_adoption(root: Path, task: AnyTask, _by_label: dict[str, Planned], report: Preview) -> None:
    """Add the mismatches of an adapter that is about to be adopted with its base."""
    base = at_hand(root, task)
    if base is None:
        report.unchecked.append(f"base {task.spec.base}")
        return
    where = f"{task.file}: {task.kind.name}.{task.name}: {task.spec.path}"
    try:
        adoption.check(where, root / task.spec.path, base)
    except PunieError as error:
        for line in str(error).splitlines():
            problem = line.removeprefix(f"{where}: ")
            advice = "name the base that it was trained on, or another folder"
            finding = PreflightFinding(check="base", level="error", where=where, problem=problem, advice=advice)
            report.findings.append(finding)


def preview_model(root: Path, task: AnyTask, _by_label: dict[str, Planned], report: Preview) -> None:
    """Add the findings of a model that is about to be fused or quantized."""
    report.findings += base_gaps(root, task)
    if base := at_hand(root, task):
        where = f"{task.file}: {task.kind.name}.{task.name}"
        report.findings += model_checks.check(where, task.spec, base, resources.available(root))
    else:
        report.unchecked.append(f"base {getattr(task.external['base'], 'name', '')}")


def preview_answers(root: Path, task: AnyTask, _by_label: dict[str, Planned], report: Preview) -> None:
    """Add what a base in the project lacks, and that a draft numbers its tokens otherwise than the model."""
    report.findings += base_gaps(root, task)
    draft = task.external.get("draft")
    model, proposer = at_hand(root, task), locate.available_folder(root, draft) if isinstance(draft, Base) else None
    if model and proposer and (line := draft_problem(model, proposer)):
        problem, _, advice = f"{draft.name if isinstance(draft, Base) else ''}: {line}".rpartition(" - ")
        where = f"{task.file}: {task.label}.serving.draft"
        report.findings.append(
            PreflightFinding(check="base", level="error", where=where, problem=problem, advice=advice)
        )


def base_gaps(root: Path, task: AnyTask) -> Iterator[PreflightFinding]:
    """Yield the gaps of a base in a folder of the project. Files that git left out are for `git lfs pull`."""
    base = task.external.get("base")
    if not isinstance(base, Base) or not base.path or not (folder := locate.local_folder(root, base)):
        return
    for line in locate.base_problems(folder, base):
        if locate.POINTER not in line:
            problem, _, advice = f"{base.name}: {line}".rpartition(" - ")
            where = f"{task.file}: {task.kind.name}.{task.name}"
            yield PreflightFinding(check="base", level="error", where=where, problem=problem, advice=advice)


def at_hand(root: Path, task: AnyTask) -> Path | None:
    """Return the folder of a task's base, None if it would have to be downloaded."""
    base = task.external.get("base")
    return locate.available_folder(root, base) if isinstance(base, Base) else None
