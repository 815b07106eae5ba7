"""Pages of adapters: losses, speed, the data they were trained on, and the results of their evals.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from math import exp
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.artifacts.evaluation import COMPARISON, EVAL
from punie_build.artifacts.training import ADAPTER
from punie_build.engine.task import AnyTask
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation import statistics
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import data, standard_sections
from punie_build.reports.pages.data import UpstreamData
from punie_build.reports.section import ArtifactPage, Section
from punie_build.runtime.console import format_seconds
from punie_build.sweeps.adapter_ranking import SelectionRecord
from punie_build.training import history
from punie_build.training.history import TrainingEnd, TrainingHistory

MAX_LOSS = 50.0  # whose perplexity is a number that people read
GAP = 2.0  # a validation loss so many times the training loss is worth a remark


class Units(Struct, frozen=True):
    """The words for what a loss is a mean over: trained tokens, or pairs of answers."""

    loss: str
    accuracy: str
    of_rows: str


TOKENS = Units("nats per token", "token accuracy", "of trained tokens of {:,} validation rows")
PAIRS = Units("nats per pair", "pair accuracy", "of {:,} validation pairs, whose wanted answer has the higher reward")


class EvalResult(Struct, frozen=True, kw_only=True):
    """The result of an eval: `passed` of `cases` cases of a suite.

    `canary` identifies the weights, `suite_digest` the cases.
    """

    name: str
    suite: str
    passed: int
    cases: int
    canary: str = ""
    suite_digest: str = ""
    href: str = ""

    @property
    def pass_rate(self) -> float:
        return self.passed / self.cases if self.cases else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the pass rate (Wilson)."""
        return statistics.wilson_interval(self.passed, self.cases)


class ComparisonLink(Struct, frozen=True):
    """A comparison with an arm: its name, the link to its page, its result in short, and how many gates it fails."""

    name: str
    href: str
    summary: str
    failed_gates: int


class AdapterPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of an adapter: the history of its training and its seconds, its upstream data, the results of its evals,
    and the comparisons that it is an arm of."""

    history: TrainingHistory
    seconds: float
    upstream: tuple[UpstreamData, ...]
    results: tuple[EvalResult, ...]
    comparisons: tuple[ComparisonLink, ...] = ()


def load(project: Project, task: AnyTask, **common: Any) -> AdapterPage:
    """Load the page of an adapter."""
    return AdapterPage(
        task=task,
        history=history.read(project.folder(task)),
        seconds=project.lock(task).seconds,
        upstream=data.upstream_data(project, task.label),
        results=eval_results(project, task.name),
        comparisons=comparisons(project, task.name),
        **common,
    )


def load_selection(project: Project, task: AnyTask, **common: Any) -> AdapterPage:
    """Load the page of an adapter that was selected from a grid: its training is that of the cell."""
    record = msgspec.json.decode((project.folder(task) / "choice.json").read_bytes(), type=SelectionRecord)
    cells = [label for label in project.upstream(task.label, ADAPTER.name) if label.name == record.cell]
    return structs.replace(load(project, task, **common), seconds=project.lock(cells[0] if cells else task).seconds)


def comparisons(project: Project, arm: str) -> tuple[ComparisonLink, ...]:
    """Return the current comparisons with an arm."""
    failed = project.failed_gates()
    return tuple(
        ComparisonLink(
            task.name,
            lineage.href(project, task),
            task.kind.describe(project.lock(task).metrics),
            len(failed.get(task.label, ())),
        )
        for task in project.current_tasks(COMPARISON.name)
        if arm in task.spec.arms
    )


def eval_results(project: Project, arm: str) -> tuple[EvalResult, ...]:
    """Return the results of all current evals of a model under test."""
    results = []
    for task in project.current_tasks(EVAL.name):
        if task.spec.arm == arm:
            scores = evaluating.read_scores(project.folder(task))
            results.append(
                EvalResult(
                    name=task.name,
                    suite=task.spec.suite,
                    passed=scores.passed,
                    cases=len(scores.cases),
                    canary=scores.canary,
                    suite_digest=str(project.lock(task).key_inputs.recipe.get("cases", "")),
                    href=lineage.href(project, task),
                )
            )
    return tuple(results)


def metrics(page: AdapterPage) -> Section:
    """Show validation loss, accuracy, the margin of pairs, epochs and training time."""
    start, end, initial = page.history.start, page.history.end, page.history.initial
    words, margin = units(page.history), page.history.published.margin
    published = f"batch {end.iteration:,} of {end.iterations:,}"
    if end.published != "last":
        published += f", the best checkpoint (last: {end.valid_loss_last:.3f})"
    rows = words.of_rows.format(start.rows["valid"])
    perplexity = f" (perplexity {exp(min(end.valid_loss, MAX_LOSS)):.3g})" if words is TOKENS else ""
    cards = [
        {
            "name": "validation loss",
            "value": f"{end.valid_loss:.3f}",
            "note": f"{words.loss}{perplexity}; {initial.loss:.3f} before training; {published}",
        },
        {
            "name": words.accuracy,
            "value": f"{page.history.published.accuracy:.0%}",
            "note": f"{rows}; {initial.accuracy:.0%} before training",
        },
        *(
            {"name": "margin", "value": f"{value:.2f}", "note": "mean difference of the rewards of both answers"}
            for value in ([] if margin is None else [margin])
        ),
        {
            "name": "epochs",
            "value": f"{end.epochs:.1f}",
            "note": f"{start.rows['train']:,} rows, {end.updates:,} optimizer steps",
        },
        {"name": "training time", "value": format_seconds(page.seconds), "note": _speed(page, end)},
    ]
    return Section("cards", "", {"cards": cards})


def units(training: TrainingHistory) -> Units:
    """Return the words for the losses of a training."""
    return TOKENS if training.published.margin is None else PAIRS


def _speed(page: AdapterPage, end: TrainingEnd) -> str:
    if page.lock.metrics.get("went_on_after"):
        return f"resumed after batch {page.lock.metrics['went_on_after']:,.0f}"
    return f"{end.tokens / max(page.seconds, 0.1):,.0f} tokens/s including loading and validation"


def evals(page: Any) -> Section:
    """Show the pass rate of every eval with its interval, the comparisons, and the commands to try the model."""
    context = {"rows": page.results, "name": page.task.name, "comparisons": page.comparisons}
    return Section("eval_results", "Eval results", context)


def curves(page: AdapterPage) -> Section:
    """Draw the losses with marks at the published, the best and the last checkpoint, and the learning rate."""
    start, end = page.history.start, page.history.end
    train, valid = loss_lines(page.history)
    best = min(valid.points, key=lambda point: point[1])
    marks = [charts.Mark(f"published: {end.valid_loss:.3f}", end.iteration, end.valid_loss)]
    if best[0] != end.iteration:
        marks.append(charts.Mark(f"best: {best[1]:.3f}", *best))
    if end.iterations not in (end.iteration, best[0]):
        marks.append(charts.Mark(f"last: {end.valid_loss_last:.3f}", end.iterations, end.valid_loss_last))
    change = f"validation {valid.points[0][1]:.3f} before training, {end.valid_loss:.3f} in the published checkpoint"
    words = units(page.history)
    title = f"Loss of {page.task.name}: {change}"
    losses = charts.line_chart([train, valid], title, "batch", f"loss ({words.loss})", marks)
    rates = tuple((report.iteration, report.learning_rate) for report in page.history.train)
    title = f"Learning rate, maximum {max((rate for _, rate in rates), default=0):g}"
    rate_line = charts.Line("learning rate", "rate", rates)
    context = {
        "losses": losses,
        "rates": charts.line_chart([rate_line], title, "batch", "learning rate", height=130),
        "rows": start.rows,
        "validations": page.history.valid,
        "loss": f"loss, {words.loss}",
        "accuracy": words.accuracy,
        "pairs": words is PAIRS,
        "remark": _gap(page.history) if words is TOKENS else "",
    }
    return Section("curves", "Training", context)


def _gap(training: TrainingHistory) -> str:
    """Return a remark on a training loss far below the validation loss at the end; "" if it is not."""
    if not training.train or not training.valid:
        return ""
    train, valid = training.train[-1].loss, training.valid[-1].loss
    if valid < GAP * train:
        return ""
    return (
        f"At the end the training loss is {train:.3f}, the validation loss {valid:.3f}: it learned its rows better than"
        " what they have in common. More rows, fewer epochs or a lower rank narrow the gap."
    )


def loss_lines(training: TrainingHistory) -> tuple[charts.Line, charts.Line]:
    """Return the lines of training and validation loss by batch."""
    train = tuple((report.iteration, report.loss) for report in training.train)
    valid = tuple((report.iteration, report.loss) for report in training.valid)
    return charts.Line("training", "train", train), charts.Line("validation", "valid", valid)


SECTIONS = (metrics, standard_sections.gates, evals, curves, data.funnel, *standard_sections.CLOSING)

ADAPTER_PAGE = PageKind(load=load, sections=SECTIONS, card=True, terminal="punie_build.reports.terminal:adapter_lines")
SELECTION_PAGE = structs.replace(ADAPTER_PAGE, load=load_selection, data_file="choice.json")
