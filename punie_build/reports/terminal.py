"""Terminal output of `punie-build show`: the facts of an artifact's page in a few lines.

The page kind of an artifact names the function that yields its lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from punie_build.data.dialects.keys import describe_unknown
from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.evaluation import comparison
from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.project import Project
from punie_build.reports import build_history
from punie_build.reports.decision import decide
from punie_build.reports.draw import page_kind
from punie_build.reports.pages import adapter, data, grid
from punie_build.reports.section import recipe_fields
from punie_build.runtime.console import format_seconds
from punie_build.storage import paths
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.training import history

BAR_WIDTH = 24
MAX_ITEMS = 8  # recipe fields, inputs or files in a line
MAX_SETTINGS = 5
Fact = tuple[str, str]  # (name, text)


def facts(project: Project, task: AnyTask) -> Iterator[Fact]:
    """Yield the facts of an artifact; the text may be empty."""
    planned = project.planned[task.label]
    yield "description", task.doc
    yield "state", project.state(task) + ("" if project.is_current(task.label) else f": {planned.forecast}")
    yield (
        "recipe",
        shorten([f"{field.name} {field.value}" for field in recipe_fields(task.spec) if not field.is_default]),
    )
    yield "inputs", shorten([*task.needs])
    if project.is_current(task.label):
        lock = project.lock(task)
        yield from resolve(page_kind(task).terminal or summary_lines)(project, task)
        yield "gates", ", ".join(gate_result(gate, lock.metrics) for gate in getattr(task.spec, "gates", ()))
        yield "build time", format_seconds(lock.seconds)
        yield "built", build_history.build(project, task).text.removeprefix("Built ")
        yield "files", f"{task.target}/: {shorten([*lock.outputs])}"
    if (project.root / paths.page(task.kind.name, task.name)).exists():
        yield "page", paths.page(task.kind.name, task.name)


def shorten(items: Sequence[str]) -> str:
    """Join the first `MAX_ITEMS` items, and state the number of the others."""
    omitted = f", and {len(items) - MAX_ITEMS} more" if len(items) > MAX_ITEMS else ""
    return ", ".join(items[:MAX_ITEMS]) + omitted


def gate_result(gate: Any, metrics: dict[str, float]) -> str:
    """Return why a gate failed, or the name of its metric."""
    problem = gate.problem(metrics)
    return f"✗ {problem}" if problem else f"✓ {gate.metric}"


def summary_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield "result", task.kind.describe(project.lock(task).metrics)


def data_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    """Yield the rows that every upstream dataset, stage and mix kept and dropped."""
    upstream = data.upstream_data(project, task.label)
    widest = max((item.stats.total.seen for item in upstream), default=1)
    for item in upstream:
        total = item.stats.total
        dropped = total.seen - total.kept
        bar = "█" * round(BAR_WIDTH * total.kept / widest) + "░" * round(BAR_WIDTH * dropped / widest)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in total.dropped.items())
        count = f"{total.kept:,} of {total.seen:,}" if dropped else f"{total.kept:,}"
        yield item.name, f"{bar} {count}" + (f"  (dropped: {reasons})" if reasons else "")
        for note in item.stats.notes:
            yield "note", note
        yield "keys", describe_unknown(item.stats.unknown_keys or {})


def adapter_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield from summary_lines(project, task)
    losses = [report.loss for report in history.read(project.folder(task)).valid]
    yield "validation loss", " → ".join(f"{loss:.3f}" for loss in losses[:: max(len(losses) // 8, 1)])
    yield from _eval_results(project, task)


def _eval_results(project: Project, task: AnyTask) -> Iterator[Fact]:
    for result in adapter.eval_results(project, task.name):
        low, high = result.interval
        yield result.suite, f"{result.passed} of {result.cases} cases passed, 95 % interval {low:.0%} to {high:.0%}"


def comparison_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    page = page_kind(task).load(project, task, lock=project.lock(task))
    decided = decide(page)
    yield "decision", f"{decided.answer}: {'; '.join(decided.reasons)}"
    for delta in page.result.differences:
        yield delta.arm, comparison.verdict_sentence(delta, page.result.n, page.result.arms[0])
    yield UNPROVEN, ", ".join(arm.scores.arm for arm in page.arms if not arm.scores.canary)


def grid_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    """Yield the best settings."""
    page = grid.load(project, task, lock=project.lock(task))
    if isinstance(page, grid.EvalGridPage):
        yield "result", eval_ranking.summary(page.ranking)
        return
    yield "result", adapter_ranking.summary(page.ranking)
    for entry in page.ranking.settings[:MAX_SETTINGS]:
        significance = "" if entry.rank == 1 else "  worse" if entry.worse else "  = not significantly different"
        yield f"rank {entry.rank}", f"{entry.mean:.4f}  {grid.setting_name(entry.setting)}{significance}"


def model_lines(project: Project, task: AnyTask) -> Iterator[Fact]:
    yield from summary_lines(project, task)
    yield from _eval_results(project, task)


def show(project: Project, task: AnyTask) -> None:
    """Print the facts of an artifact."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from punie_build.reports.html import visible

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts(project, task):
        if text:
            table.add_row(Text(visible(name)), Text(visible(text)))
    console = Console(highlight=False)
    with console.capture() as capture:  # rich would exit with 1 where `| head` closes the pipe
        console.print(Text(task.label, style="bold"))
        console.print(table)
    print(capture.get(), end="")
