"""Adapter pages: what training gave, how it went, from which data, and what evals say of it.

To add a section: a function, its template, and its place in `SECTIONS`, which is the order on the page.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from punie_build.engine.task import AnyTask
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation import statistics
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import data, standard_sections
from punie_build.reports.pages.data import Step
from punie_build.reports.section import Material, Section
from punie_build.runtime.console import format_seconds
from punie_build.training import history
from punie_build.training.history import TrainingEnd, TrainingHistory


class Result(Struct, frozen=True, kw_only=True):
    """What an eval found of an arm: cases passed of how many, with the 95 % interval of the share. `digest` is the suite's."""

    name: str
    suite: str
    passed: int
    n: int
    canary: str = ""
    digest: str = ""
    href: str = ""

    @property
    def share(self) -> float:
        return self.passed / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return statistics.wilson(self.passed, self.n)


class Adapter(Material, frozen=True, kw_only=True):
    """An adapter's page: the history of its training, its data from the source on, and the evals that asked it."""

    history: TrainingHistory
    way: tuple[Step, ...]
    results: tuple[Result, ...]


def gather(project: Project, task: AnyTask, **more: Any) -> Adapter:
    """The material of an adapter's page."""
    return Adapter(
        task=task,
        history=history.read(project.folder(task)),
        way=data.way(project, task.label),
        results=results(project, task.name),
        **more,
    )


def results(project: Project, arm: str) -> tuple[Result, ...]:
    """What current evals say of an arm."""
    found = []
    for task in project.current_tasks("eval"):
        if task.spec.arm == arm:
            scores = evaluating.scores(project.folder(task))
            found.append(
                Result(
                    name=task.name,
                    suite=task.spec.suite,
                    passed=scores.passed,
                    n=len(scores.cases),
                    canary=scores.canary,
                    digest=str(project.lock(task).key_inputs.recipe.get("cases", "")),
                    href=lineage.href(project, task),
                )
            )
    return tuple(found)


def numbers(m: Adapter) -> Section:
    """What came out."""
    start, end, initial = m.history.start, m.history.end, m.history.initial
    which = f"after {end.iteration:,} of {end.iterations:,} batches"
    if end.published != "last":
        which += f": the best; the last had {end.valid_loss_last:.3f}"
    cards = [
        {
            "name": "validation loss",
            "value": f"{end.valid_loss:.3f}",
            "soft": f"nats a token, {initial.loss:.3f} before; {which}",
        },
        {
            "name": "tokens right",
            "value": f"{m.history.published.accuracy:.0%}",
            "soft": f"of the learnt tokens of {start.rows['valid']:,} validation rows, {initial.accuracy:.0%} before",
        },
        {
            "name": "epochs",
            "value": f"{end.epochs:.1f}",
            "soft": f"over {start.rows['train']:,} rows in {end.updates:,} updates",
        },
        {"name": "took", "value": format_seconds(m.lock.seconds), "soft": _speed(m, end)},
    ]
    return Section("numbers", "", {"cards": cards})


def _speed(m: Adapter, end: TrainingEnd) -> str:
    if m.lock.metrics.get("went_on_after"):
        return f"after the first {m.lock.metrics['went_on_after']:,.0f} batches, which had been done before"
    return f"{end.tokens / max(m.lock.seconds, 0.1):,.0f} tokens/s, loading and validating included"


def evals(m: Adapter) -> Section:
    """What evals say of it, with intervals."""
    return Section("results", "What it can do", {"rows": m.results, "name": m.task.name})


def curves(m: Adapter) -> Section:
    """Losses over training, with the place of what was published; and the learning rate."""
    end, reports = m.history.end, m.history.train
    train = charts.Line("training", "train", tuple((report.iteration, report.loss) for report in reports))
    valid = charts.Line("validation", "valid", tuple((report.iteration, report.loss) for report in m.history.valid))
    best = min(valid.points, key=lambda point: point[1])
    marks = [charts.Mark(f"published: {end.valid_loss:.3f}", end.iteration, end.valid_loss)]
    if best[0] != end.iteration:
        marks.append(charts.Mark(f"best: {best[1]:.3f}", *best))
    if end.iterations not in (end.iteration, best[0]):
        marks.append(charts.Mark(f"last: {end.valid_loss_last:.3f}", end.iterations, end.valid_loss_last))
    title = (
        f"Loss of {m.task.name}: validation {valid.points[0][1]:.3f} before, {end.valid_loss:.3f} in what was published"
    )
    rates = charts.Line("learning rate", "rate", tuple((report.iteration, report.learning_rate) for report in reports))
    top = max((rate for _, rate in rates.points), default=0)
    return Section(
        "curves",
        "Training",
        {
            "losses": charts.lines([train, valid], title, "batch", "loss (nats a token)", marks),
            "rates": charts.lines([rates], f"Learning rate, at most {top:g}", "batch", "learning rate", height=130),
            "rows": m.history.start.rows,
            "valid": [
                {"iteration": report.iteration, "loss": report.loss, "accuracy": report.accuracy}
                for report in m.history.valid
            ],
        },
    )


SECTIONS = (numbers, standard_sections.gates, evals, curves, data.funnel, *standard_sections.ENDING)

ADAPTER_PAGE = PageKind(
    load=gather, sections=SECTIONS, card=True, terminal="punie_build.reports.terminal:adapter_lines"
)
SELECTION_PAGE = structs.replace(ADAPTER_PAGE, data_file="choice.json")
