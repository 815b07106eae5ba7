"""Eval and comparison pages: what arms answered, what that is worth, and whether one of them is better.

To add a section: a function, its template, and its place in `SECTIONS` (or `EVAL`), which is the order on the page.
"""

from __future__ import annotations

from typing import Any

import msgspec

from punie_build.engine.task import AnyTask
from punie_build.evaluation import scores
from punie_build.evaluation.comparison import Compared, sentence
from punie_build.evaluation.paired_difference import share
from punie_build.evaluation.scoring import rates
from punie_build.evaluation.suite import Suite
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import data, standard_sections
from punie_build.reports.pages.answers import latency
from punie_build.reports.pages.arms import Arm, Comparison, Evals
from punie_build.reports.pages.cases import cases
from punie_build.reports.section import Section
from punie_build.training import history


def _suite(project: Project, name: str) -> Suite:
    suite: Suite = project.recipe.content(project.recipe.resolve("suite", name))
    return suite


def _arm(project: Project, name: str) -> Arm:
    task = project.planned[f"eval:{name}"].task
    given = scores.given(project.root / task.inputs[0])
    return Arm(scores.scores(project.folder(task)), given, lineage.href(project, task))


def gather_eval(project: Project, task: AnyTask, **more: Any) -> Evals:
    """The material of an eval's page."""
    return Evals(task=task, suite=_suite(project, task.spec.suite), arms=(_arm(project, task.name),), **more)


def gather(project: Project, task: AnyTask, **more: Any) -> Comparison:
    """The material of a comparison's page."""
    result = msgspec.json.decode((project.folder(task) / "comparison.json").read_bytes(), type=Compared)
    trained = project.upstream(task.label, "trained")
    return Comparison(
        task=task,
        suite=_suite(project, task.spec.suite),
        arms=tuple(_arm(project, name) for name in task.details.evals),
        result=result,
        way=data.way(project, task.label),
        curves=tuple((each.name, history.read(project.folder(each))) for each in trained),
        **more,
    )


WORDS = {
    "improved": "▲ Improved",
    "regressed": "▼ Regressed",
    "equivalent": "= Equivalent",
    "inconclusive": "= No difference found",
    "invalid": "✗ Nothing follows",
}


def verdict(m: Comparison) -> Section:
    """What a person came for: better or not, by how much, how sure, and of which cases."""
    found = m.result
    notes = [f"Of the {found.n} cases on {found.side}" if found.side != "all" else f"Of {found.n} cases"]
    notes[0] += (
        ", none of which an arm was trained on."
        if not found.leaks
        else f"; {len(found.leaks)} more occur in what an arm was trained on, and are left out."
    )
    if chosen := found.chosen:
        alike = f"; {', '.join(chosen.alike)} cannot be told from it there" if chosen.alike else ""
        notes.append(f"{chosen.arm} was chosen from {len(found.arms) - 1} arms by {chosen.n} other cases{alike}.")
    if not found.sound:
        notes.append(
            "The suite fails its own test: it cannot tell right answers from wrong ones (`punie-build suite check`)."
        )
    notes += [f"{each[:1].upper()}{each[1:]}." for each in found.objections]
    [main] = [delta for delta in found.deltas if delta.arm == found.arm]
    facts = {"main": main, "sentence": sentence(main, found.n, found.arms[0]), "notes": notes, "words": WORDS}
    return Section("verdict", "", facts)


def parity(m: Evals) -> Section | None:
    """What a reader must know before any number: an arm that was trained under another prompt than it is asked with."""
    found = [(arm.scores.arm, arm.scores.parity.objections()) for arm in m.arms if arm.scores.parity]
    rows = [{"arm": name, "lines": lines} for name, lines in found if lines]
    return Section("parity", "", {"rows": rows}) if rows else None


def against(m: Comparison) -> Section | None:
    """Every arm against the first, where there are several, or where the graded score says more."""
    rows = [(delta, m.result.arms.index(delta.arm)) for delta in m.result.deltas]
    facts = {"rows": rows, "words": WORDS, "base": m.result.arms[0], "n": m.result.n, "chosen": m.result.arm}
    return Section("against", f"Against {m.result.arms[0]}", facts)


def totals(m: Evals) -> Section:
    """Each arm in total, with its interval."""
    rows = []
    for index, arm in enumerate(m.arms):
        whole = share(arm.scores.cases)
        shown = m.result.totals[index] if isinstance(m, Comparison) else whole
        more = f"of all {whole.n} cases {whole.passed:g}" if whole.n != shown.n else ""
        rows.append({"name": arm.scores.arm, "share": shown, "href": arm.href, "more": more})
    return Section("totals", "", {"arms": rows, "alone": len(rows) == 1})


def categories(m: Evals) -> Section:
    """The same for each category, with the difference of the arm that the verdict is of."""
    if isinstance(m, Comparison):
        place = m.result.arms.index(m.result.arm)
        rows = [
            {"name": name, "shares": shares, "delta": m.result.category_deltas[name][place - 1]}
            for name, shares in m.result.categories.items()
        ]
        return Section("categories", "By category", {"arms": m.names, "rows": rows, "of": m.result.arm})
    [arm] = m.arms
    names = dict.fromkeys(case.category for case in arm.scores.cases)
    parts = {name: [case for case in arm.scores.cases if case.category == name] for name in names}
    rows = [{"name": name, "shares": [share(cases)], "delta": None} for name, cases in parts.items()]
    return Section("categories", "By category", {"arms": m.names, "rows": rows, "of": ""})


def behaviour(m: Evals) -> Section:
    """What the arms do besides being right or wrong."""
    some = [rates(arm.scores.cases) for arm in m.arms]
    answers = [sum(case.epochs + case.errors for case in arm.scores.cases) for arm in m.arms]
    asked = (
        ("graded score", "score", "mean over the cases, from 0 to 1"),
        ("calls where words are asked for", "irrelevant_calls", "of the answers to such cases"),
        ("calls that can be read", "parse_rate", "of answers"),
        ("cut off", "truncated", "of cases"),
        ("never came, or cannot be judged", "errors", "of answers"),
    )
    rows = [{"name": name, "of": of, "values": [getattr(each, field) for each in some]} for name, field, of in asked]
    if len(some[0].reliability) > 1:
        rows.append(
            {
                "name": f"all of {len(some[0].reliability)} tries pass",
                "of": "of cases",
                "values": [each.reliability[-1] for each in some],
            }
        )
    return Section("behaviour", "How they answer", {"arms": m.names, "rows": rows, "n": answers})


def speed(m: Evals) -> Section | None:
    """How long answers took, where that was measured."""
    found = [
        (arm.scores.arm, [each.seconds for some in arm.answers.values() for each in some if each.seconds is not None])
        for arm in m.arms
    ]
    return latency(found)


def leaks(m: Comparison) -> Section | None:
    """The cases that occur in training data: they are left out."""
    return Section("leaks", "Left out", {"rows": m.result.leaks, "n": m.n}) if m.result.leaks else None


def failures(m: Evals) -> Section | None:
    """What went wrong, by class, for each arm."""
    classes = sorted({case.failure for arm in m.arms for case in arm.scores.cases if case.failure})
    rows = [(name, [sum(case.failure == name for case in arm.scores.cases) for arm in m.arms]) for name in classes]
    rows.sort(key=lambda row: -sum(row[1]))
    return Section("failures", "What went wrong", {"arms": m.names, "rows": rows, "n": m.n}) if rows else None


def curves(m: Comparison) -> Section | None:
    """The loss curve of each adapter among the arms."""
    shown = []
    for name, training in m.curves:
        valid = [(report.iteration, report.loss) for report in training.valid]
        train = [(report.iteration, report.loss) for report in training.train]
        title = f"Loss of {name}: validation {valid[0][1]:.3f} before, {valid[-1][1]:.3f} at the end"
        lines = [charts.Line("training", "train", tuple(train)), charts.Line("validation", "valid", tuple(valid))]
        shown.append(
            {"name": name, "said": title, "picture": charts.lines(lines, title, "batch", "loss (nats a token)")}
        )
    return Section("training", "Training", {"curves": shown}) if shown else None


def proof(m: Evals) -> Section:
    """Which weights answered."""
    arms = [
        {
            "name": arm.scores.arm,
            "canary": arm.scores.canary,
            "base": arm.scores.base_canary,
            "dropped": arm.scores.parse_failures,
        }
        for arm in m.arms
    ]
    return Section("proof", "Who answered", {"arms": arms, "n": m.n})


ALONE = (totals, categories, cases, failures, behaviour, speed, proof)  # of what no recipe asks for
EVAL = (
    parity,
    totals,
    standard_sections.gates,
    categories,
    cases,
    failures,
    behaviour,
    speed,
    proof,
    *standard_sections.ENDING,
)
SECTIONS = (
    parity, verdict, standard_sections.gates, totals, against, categories, cases, leaks, failures, behaviour, speed, curves, data.funnel, proof,
    *standard_sections.ENDING,
)  # fmt: skip

EVAL_PAGE = PageKind(load=gather_eval, sections=EVAL)
COMPARISON_PAGE = PageKind(
    load=gather,
    sections=SECTIONS,
    data_file="comparison.json",
    markdown="punie_build.reports.markdown:comparison",
    terminal="punie_build.reports.terminal:comparison_lines",
)
