"""The table of experiments: parameters and metrics of all adapters and evals, one row for each that was built.

Experiments are artifacts of kinds that may be grids. A parameter is a column if it differs between two rows, or from
its default; a metric if a row has it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from punie_build.artifacts.training import ADAPTER
from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports.pages import adapter
from punie_build.reports.section import Section, recipe_fields
from punie_build.storage import locks, paths
from punie_build.training import history
from punie_build.training.history import TrainingHistory

PARTS = "category."  # metrics of parts of a suite come last
LEADING = ("valid_loss", "valid_accuracy", "confirm.share", "share", "score", "cases")  # the first metrics of a page
MOST_CURVES = 8  # in one chart: more cannot be told apart
HIDDEN_FROM = 12  # columns from this one on are hidden at first


class Experiment(Struct, frozen=True, kw_only=True):
    """One artifact: its state, `params` as recipes write them, the metrics of its lock, and the failed gates."""

    label: str
    name: str
    href: str
    state: str
    params: dict[str, str]
    metrics: dict[str, float]
    failed_gates: tuple[str, ...] = ()


class ExperimentTable(Struct, frozen=True, kw_only=True):
    """The experiments of one kind, in the order of the graph."""

    kind: str
    title: str
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Experiment, ...]


def load(project: Project) -> list[ExperimentTable]:
    """Read the locks of all experiments. Kinds without a built one are left out."""
    failed = project.failed_gates()
    by_kind: dict[str, list[Experiment]] = {}
    titles: dict[str, str] = {}
    explicit: dict[str, dict[str, None]] = {}
    for task in project.tasks:
        lock = locks.read(project.root / paths.lock(task.target)) if task.kind.grid else None
        if lock is None:
            continue
        fields = list(recipe_fields(task.spec))
        titles[task.kind.name] = task.kind.plural or task.kind.name
        explicit.setdefault(task.kind.name, {}).update({field.name: None for field in fields if not field.is_default})
        experiment = Experiment(
            label=task.label,
            name=task.name,
            href=lineage.href(project, task),
            state=project.state(task),
            params={field.name: field.value for field in fields},
            metrics=lock.metrics,
            failed_gates=tuple(failed.get(task.label, ())),
        )
        by_kind.setdefault(task.kind.name, []).append(experiment)
    return [_table(kind, titles[kind], explicit[kind], rows) for kind, rows in by_kind.items()]


def _table(kind: str, title: str, explicit: Sequence[str] | dict[str, None], rows: list[Experiment]) -> ExperimentTable:
    names = dict.fromkeys(name for row in rows for name in row.params)
    varied = {name for name in names if len({row.params.get(name) for row in rows}) > 1}
    params = sorted(varied, key=list(names).index) + [name for name in names if name in explicit and name not in varied]
    metrics = sorted(dict.fromkeys(name for row in rows for name in row.metrics), key=lambda name: PARTS in name)
    return ExperimentTable(kind=kind, title=title, params=tuple(params), metrics=tuple(metrics), rows=tuple(rows))


def sections(tables: Sequence[ExperimentTable]) -> tuple[Section, ...]:
    """Return a section for each kind."""
    return tuple(
        Section("experiments", table.title, {"table": table, "names": columns(table), "shown": HIDDEN_FROM})
        for table in tables
        if table.rows
    )


def columns(table: ExperimentTable) -> list[str]:
    """Return the columns of the page: parameters that differ, metrics by weight, and last the parameters that all rows
    share and the metrics of parts of a suite."""
    varied = [name for name in table.params if len({row.params.get(name) for row in table.rows}) > 1]
    shared = [name for name in table.params if name not in varied]
    leading = [name for name in LEADING if name in table.metrics]
    metrics = [name for name in table.metrics if name not in (*leading, *table.params)]
    parts = [name for name in metrics if PARTS in name]
    return [*varied, *leading, *(name for name in metrics if name not in parts), *shared, *parts]


def curves(project: Project) -> Section | None:
    """Return the validation losses of several adapters in one chart for each unit of their losses, lowest first."""
    trainings: dict[str, list[tuple[AnyTask, TrainingHistory]]] = {}
    for task in project.current_tasks(ADAPTER.name):
        path = project.folder(task)
        if (path / "metrics.jsonl").exists():
            training = history.read(path)
            if training.valid:
                trainings.setdefault(adapter.units(training).loss, []).append((task, training))
    drawn = [_chart(project, unit, group) for unit, group in trainings.items()]
    return Section("learning_curves", "Learning curves", {"charts": drawn}) if drawn else None


def _chart(project: Project, unit: str, group: list[tuple[AnyTask, TrainingHistory]]) -> dict[str, Any]:
    ranked = sorted(group, key=lambda pair: pair[1].end.valid_loss)[:MOST_CURVES]
    lines = []
    for index, (task, training) in enumerate(ranked):
        points = tuple((float(report.iteration), report.loss) for report in training.valid)
        lines.append(charts.Line(task.name, f"l{index}", points))
    facts = [
        {"name": task.name, "role": line.role, "href": lineage.href(project, task), "loss": training.end.valid_loss}
        for line, (task, training) in zip(lines, ranked, strict=True)
    ]
    picture = charts.line_chart(
        lines, f"Validation losses of {len(lines)} adapters by batch", "batch", unit, height=300
    )
    return {"unit": unit, "picture": picture, "lines": facts, "others": len(group) - len(ranked)}


def as_csv(tables: Sequence[ExperimentTable]) -> str:
    """Return all experiments as CSV: label, state, then `param.NAME` and `metric.NAME` columns."""
    params = list(dict.fromkeys(name for table in tables for name in table.params))
    metrics = list(dict.fromkeys(name for table in tables for name in table.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "state", *(f"param.{name}" for name in params), *(f"metric.{name}" for name in metrics)])
    for row in (row for table in tables for row in table.rows):
        values = [row.params.get(name, "") for name in params]
        writer.writerow([row.label, row.state, *values, *(row.metrics.get(name, "") for name in metrics)])
    return text.getvalue()


def as_text(table: ExperimentTable, columns: int = 4) -> str:
    """Return a table for a terminal: its first params and metrics, and the number of the others."""
    params, metrics = table.params[:columns], table.metrics[:columns]
    lines = [["name", *params, *metrics]]
    for row in table.rows:
        numbers = [f"{row.metrics[name]:.4g}" if name in row.metrics else "" for name in metrics]
        lines.append([row.name + (" ✗" if row.failed_gates else ""), *(row.params[name] for name in params), *numbers])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = [table.title, *("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)]
    others = len(table.params) + len(table.metrics) - len(params) - len(metrics)
    return "\n".join([*text, f"and {others} more columns: --csv has all"] if others else text)
