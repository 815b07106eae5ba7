"""Pages of evals and comparisons: pass rates, the verdict with its interval, and every case.

To add a section: write a function and a template, and insert the function into `SECTIONS` (comparisons) or
`EVAL_SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from punie_build.artifacts.evaluation import EVAL
from punie_build.engine.task import AnyTask
from punie_build.evaluation import scores
from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.evaluation.comparison import ComparisonResult, stopped_sentence, verdict_sentence
from punie_build.evaluation.scoring import answer_rates, pass_count
from punie_build.evaluation.stopped_comparison import ARM_FOLDERS
from punie_build.evaluation.suite import Suite
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports import decision as decisions
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import adapter, data, standard_sections
from punie_build.reports.pages.answers import latencies, latency
from punie_build.reports.pages.arms import ArmResults, ComparisonPage, EvaluationPage
from punie_build.reports.pages.cases import cases
from punie_build.reports.section import Section
from punie_build.training import history

VERDICTS = {
    "improved": "▲ Improved",
    "regressed": "▼ Regressed",
    "equivalent": "= Equivalent",
    "inconclusive": "= No significant difference",
    "invalid": "✗ Invalid comparison",
}
RATES = (  # (name, field of `Rates`, unit)
    ("mean score", "score", "mean over cases, 0 to 1"),
    ("tool calls where no call is expected", "irrelevant_calls", "of answers to such cases"),
    ("parsable tool calls", "parse_rate", "of answers"),
    ("truncated", "truncated", "of cases"),
    ("no answer, or not scorable", "errors", "of answers"),
)

COST_ROWS = (  # (name, field of `Rates`, unit) of answers that were measured
    ("generated tokens", "n_tokens", "mean over answers"),
    ("seconds", "seconds", "mean over answers"),
    ("seconds, slowest 5 %", "seconds_p95", "at least, over cases"),
)


def load_eval(project: Project, task: AnyTask, **common: Any) -> EvaluationPage:
    """Load the page of an eval."""
    suite, arm = _suite(project, task.spec.suite), _load_arm(project, task.name)
    return EvaluationPage(task=task, suite=suite, arms=(arm,), **common)


def load(project: Project, task: AnyTask, **common: Any) -> ComparisonPage:
    """Load the page of a comparison."""
    result = msgspec.json.decode((project.folder(task) / "comparison.json").read_bytes(), type=ComparisonResult)
    adapters = [each for each in project.upstream(task.label, "trained") if hasattr(each.spec, "data")]
    return ComparisonPage(
        task=task,
        suite=_suite(project, task.spec.suite),
        arms=tuple(_load_arm(project, name) for name in task.details.evals),
        result=result,
        upstream=data.upstream_data(project, task.label),
        trainings=tuple((trained.name, history.read(project.folder(trained))) for trained in adapters),
        **common,
    )


def load_stopped(project: Project, task: AnyTask, **common: Any) -> ComparisonPage:
    """Load the page of a comparison that asked until it was decided: its arms are in its own folder."""
    folder = project.folder(task)
    result = msgspec.json.decode((folder / "comparison.json").read_bytes(), type=ComparisonResult)
    arms = tuple(
        ArmResults(scores.read_scores(folder / name), scores.answers_by_case(folder / name)) for name in ARM_FOLDERS
    )
    suite, asked = _suite(project, task.spec.suite), {case.case for case in arms[0].scores.cases}
    return ComparisonPage(
        task=task,
        suite=structs.replace(suite, cases=tuple(case for case in suite.cases if case.id in asked)),
        arms=arms,
        result=result,
        upstream=data.upstream_data(project, task.label),
        **common,
    )


def _suite(project: Project, name: str) -> Suite:
    suite: Suite = project.recipe.content(project.recipe.resolve("suite", name))
    return suite


def _load_arm(project: Project, name: str) -> ArmResults:
    task = project.planned[f"{EVAL.name}:{name}"].task
    answers = scores.answers_by_case(project.root / task.inputs[0])
    return ArmResults(scores.read_scores(project.folder(task)), answers, lineage.href(project, task))


def decision(page: ComparisonPage) -> Section:
    """Show on top whether to ship the candidate, and why."""
    decided = decisions.decide(page)
    context = {"decision": decided, "banner": decisions.BANNERS[decided.answer], "arm": page.result.arm}
    return Section("decision", "", context)


def verdict(page: ComparisonPage) -> Section:
    """Show the verdict with its difference and interval, and everything that limits it."""
    result = page.result
    [main] = [delta for delta in result.differences if delta.arm == result.arm]
    context = {
        "main": main,
        "sentence": verdict_sentence(main, result.n, result.arms[0]),
        "notes": list(_notes(result)),
        "verdicts": VERDICTS,
    }
    return Section("verdict", "", context)


def _notes(result: ComparisonResult) -> list[str]:
    split = " of the held-out split `confirm`" if result.split == "confirm" else ""
    notes = [f"Scored on {result.n} cases{split}; "]
    if result.contaminated:
        notes[0] += f"{len(result.contaminated)} more occur in training data of an arm and are excluded."
    else:
        notes[0] += "no case occurs in training data of an arm."
    if selected := result.selected:
        ties = f"; not significantly different there: {', '.join(selected.ties)}" if selected.ties else ""
        notes.append(f"{selected.arm} was selected from {len(result.arms) - 1} arms on {selected.n} other cases{ties}.")
    if stopped := result.stopped:
        sentence = stopped_sentence(stopped)
        notes.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    if not result.sound:
        notes.append(
            "The suite fails its validation: it cannot tell right from wrong answers (`punie-build suite check`)."
        )
    if unproven := [arm for arm, canary in zip(result.arms, result.canaries, strict=True) if not canary]:
        notes.append(f"{UNPROVEN.capitalize()}: {', '.join(unproven)}. No weights were verified.")
    return notes + [f"{objection[:1].upper()}{objection[1:]}." for objection in result.objections]


def prompt_match(page: EvaluationPage) -> Section | None:
    """Warn if the prompts of the suite differ from those an arm was trained on."""
    arms = [(arm.scores.arm, arm.scores.prompt_match.warnings()) for arm in page.arms if arm.scores.prompt_match]
    rows = [{"arm": name, "objections": objections} for name, objections in arms if objections]
    return Section("prompt_match", "", {"rows": rows}) if rows else None


def against_baseline(page: ComparisonPage) -> Section:
    """Show the paired difference of every arm with the first one."""
    rows = [(delta, page.result.arms.index(delta.arm)) for delta in page.result.differences]
    context = {
        "rows": rows,
        "verdicts": VERDICTS,
        "baseline": page.result.arms[0],
        "cases": page.result.n,
        "candidate": page.result.arm,
    }
    return Section("against_baseline", f"Difference from {page.result.arms[0]}", context)


def totals(page: EvaluationPage) -> Section:
    """Show the pass rate of every arm with its interval."""
    rows = []
    for index, arm in enumerate(page.arms):
        all_cases = pass_count(arm.scores.cases)
        total = page.result.totals[index] if isinstance(page, ComparisonPage) else all_cases
        note = f"{all_cases.passed:g} of all {all_cases.n} cases" if all_cases.n != total.n else ""
        rows.append({"name": arm.label, "total": total, "href": arm.href, "note": note})
    return Section("totals", "", {"arms": rows, "alone": len(rows) == 1})


def categories(page: EvaluationPage) -> Section:
    """Show the pass rates by category, and the difference of the candidate in a comparison."""
    if isinstance(page, ComparisonPage):
        index = page.result.arms.index(page.result.arm)
        rows = [
            {"name": name, "totals": totals, "delta": page.result.category_differences[name][index - 1]}
            for name, totals in page.result.categories.items()
        ]
        candidate = page.result.arm
    else:
        [arm] = page.arms
        names = dict.fromkeys(case.category for case in arm.scores.cases)
        by_category = {name: [case for case in arm.scores.cases if case.category == name] for name in names}
        rows = [{"name": name, "totals": [pass_count(of_one)], "delta": None} for name, of_one in by_category.items()]
        candidate = ""
    return Section("categories", "By category", {"arms": page.arm_names, "rows": rows, "candidate": candidate})


def behavior(page: EvaluationPage) -> Section:
    """Show rates of answers that say more than passed or failed."""
    arms = [answer_rates(arm.scores.cases) for arm in page.arms]
    answers = [sum(case.epochs + case.errors for case in arm.scores.cases) for arm in page.arms]
    rows = [
        {"name": name, "unit": unit, "values": [getattr(of_arm, field) for of_arm in arms]}
        for name, field, unit in RATES
    ]
    if (epochs := len(arms[0].reliability)) > 1:
        values = [of_arm.reliability[-1] for of_arm in arms]
        rows.append({"name": f"passed in all {epochs} epochs", "unit": "of cases", "values": values})
        values = [of_arm.discovery[-1] for of_arm in arms]
        rows.append({"name": f"passed in one of {epochs} epochs", "unit": "of cases", "values": values})
    costs = [
        {"name": name, "unit": unit, "values": [getattr(of_arm, field) for of_arm in arms]}
        for name, field, unit in COST_ROWS
        if any(getattr(of_arm, field) is not None for of_arm in arms)
    ]
    context = {"arms": page.arm_names, "rows": rows, "costs": costs, "answers": answers}
    return Section("behavior", "Behavior", context)


def speed(page: EvaluationPage) -> Section | None:
    """Show the latency of the answers that have one."""
    return latency(
        [
            (arm.label, latencies([answer for of_case in arm.answers.values() for answer in of_case]))
            for arm in page.arms
        ]
    )


def contamination(page: ComparisonPage) -> Section | None:
    """Show the cases that occur in training data: the comparison excludes them."""
    rows = page.result.contaminated
    return Section("contamination", "Contaminated cases", {"rows": rows, "cases": page.case_count}) if rows else None


def failures(page: EvaluationPage) -> Section | None:
    """Show the number of cases of every failure class, by arm."""
    classes = sorted({case.failure for arm in page.arms for case in arm.scores.cases if case.failure})
    rows = [(name, [sum(case.failure == name for case in arm.scores.cases) for arm in page.arms]) for name in classes]
    rows.sort(key=lambda row: -sum(row[1]))
    context = {"arms": page.arm_names, "rows": rows, "cases": page.case_count}
    return Section("failures", "Failures by class", context) if rows else None


def loss_curves(page: ComparisonPage) -> Section | None:
    """Draw the losses of every adapter among the arms."""
    curves = []
    for name, training in page.trainings:
        lines = adapter.loss_lines(training)
        before, after = lines[1].points[0][1], lines[1].points[-1][1]
        title = f"Loss of {name}: validation {before:.3f} before training, {after:.3f} at the end"
        curves.append(
            {
                "name": name,
                "picture": charts.line_chart(lines, title, "batch", f"loss ({adapter.units(training).loss})"),
            }
        )
    return Section("loss_curves", "Training", {"curves": curves}) if curves else None


def model_identity(page: EvaluationPage) -> Section:
    """Show the fingerprints of the weights that answered."""
    arms = [
        {
            "name": arm.label,
            "canary": arm.scores.canary or UNPROVEN,
            "base": arm.scores.base_canary,
            "unparsable": arm.scores.parse_failures,
        }
        for arm in page.arms
    ]
    return Section("model_identity", "Model identity", {"arms": arms, "cases": page.case_count})


RESULTS = (categories, cases, failures, behavior, speed, model_identity)
STANDALONE_SECTIONS = (totals, *RESULTS)  # an eval that no recipe names
EVAL_SECTIONS = (prompt_match, totals, standard_sections.gates, *RESULTS, *standard_sections.CLOSING)
SECTIONS = (
    prompt_match,
    decision,
    verdict,
    standard_sections.gates,
    totals,
    against_baseline,
    categories,
    cases,
    contamination,
    failures,
    behavior,
    speed,
    loss_curves,
    data.funnel,
    model_identity,
    *standard_sections.CLOSING,
)

EVAL_PAGE = PageKind(load=load_eval, sections=EVAL_SECTIONS)
STOPPED_PAGE = PageKind(
    load=load_stopped,
    sections=SECTIONS,
    data_file="comparison.json",
    markdown="punie_build.reports.markdown:comparison",
    terminal="punie_build.reports.terminal:comparison_lines",
)
COMPARISON_PAGE = PageKind(
    load=load,
    sections=SECTIONS,
    data_file="comparison.json",
    markdown="punie_build.reports.markdown:comparison",
    terminal="punie_build.reports.terminal:comparison_lines",
)
