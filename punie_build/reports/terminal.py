"""Showing: an artifact in a terminal, the same facts as on its page, in a dozen lines.

A page kind names the function that yields the lines of its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.evaluation import comparison
from punie_build.project import Project
from punie_build.reports.draw import page_kind
from punie_build.reports.pages import adapter, adapter_grid, data, evaluation
from punie_build.reports.section import asked
from punie_build.runtime.console import format_seconds
from punie_build.storage import paths
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.training import history

BAR = 24
MOST = 8  # fields, inputs, files in a line
Fact = tuple[str, str]


def facts(project: Project, task: AnyTask) -> Iterator[Fact]:
    """What is known of an artifact, a name and its words each."""
    planned = project.planned[task.label]
    yield "is", task.doc
    yield "state", project.state(task) + ("" if project.is_current(task.label) else f": {planned.forecast}")
    yield "recipe", some([f"{each.name} {each.value}" for each in asked(task.spec) if not each.default])
    yield "made from", some([*task.needs])
    if project.is_current(task.label):
        lock = project.lock(task)
        yield from resolve(page_kind(task).terminal or summary_lines)(project, task)
        yield "gates", ", ".join(gate_line(gate, lock.metrics) for gate in getattr(task.spec, "gates", ()))
        yield "took", format_seconds(lock.seconds)
        yield "files", f"{task.target}/: {some([*lock.outputs])}"
    if (project.root / paths.page(task.kind.name, task.name)).exists():
        yield "page", paths.page(task.kind.name, task.name)


def some(words: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f", and {len(words) - MOST} more" if len(words) > MOST else ""
    return ", ".join(words[:MOST]) + more


def gate_line(gate: Any, metrics: dict[str, float]) -> str:
    return f"✗ {gate.problem(metrics)}" if gate.problem(metrics) else f"✓ {gate.metric}"


def summary_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield "came out", task.kind.describe(project.lock(task).metrics)


def data_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    """The funnel, a line for each step on the way."""
    steps = data.way(project, task.label)
    widest = max((step.stats.total.seen for step in steps), default=1)
    for step in steps:
        total = step.stats.total
        bar = "█" * round(BAR * total.kept / widest) + "░" * round(BAR * (total.seen - total.kept) / widest)
        why = ", ".join(f"{reason} {count:,}" for reason, count in total.dropped.items())
        kept = f"{total.kept:,} of {total.seen:,}" if total.seen > total.kept else f"{total.kept:,}"
        yield step.name, f"{bar} {kept}" + (f"  ({why})" if why else "")


def adapter_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield from summary_lines(project, task)
    losses = [report.loss for report in history.read(project.folder(task)).valid]
    yield "validation", " → ".join(f"{loss:.3f}" for loss in losses[:: max(len(losses) // 8, 1)])
    yield from _results(project, task)


def _results(project: Project, task: AnyTask) -> Iterator[Fact]:
    for each in adapter.results(project, task.name):
        low, high = each.interval
        yield each.suite, f"{each.passed} of {each.n} cases passed, 95 % interval {low:.0%} to {high:.0%}"


def comparison_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    material = evaluation.gather(project, task, lock=project.lock(task))
    for delta in material.result.deltas:
        yield delta.arm, comparison.sentence(delta, material.n, material.result.arms[0])


def grid_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    """The best settings."""
    material = adapter_grid.gather(project, task, lock=project.lock(task))
    if not isinstance(material, adapter_grid.Grid):
        yield "came out", eval_ranking.summary(material.tuning)
        return
    found = material.ranking
    yield "came out", adapter_ranking.summary(found)
    for place in found.settings[:5]:
        apart = "" if place.rank == 1 else "  worse" if place.worse else "  = not told apart"
        yield f"place {place.rank}", f"{place.mean:.4f}  {adapter_grid.named(place.setting)}{apart}"


def model_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield from summary_lines(project, task)
    yield from _results(project, task)


def show(project: Project, task: AnyTask) -> None:
    """Print what is known of an artifact."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from punie_build.reports.html import visible

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in facts(project, task):
        if words:
            table.add_row(Text(visible(name)), Text(visible(words)))
    console = Console(highlight=False)
    console.print(Text(task.label, style="bold"))
    console.print(table)
