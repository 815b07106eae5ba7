"""The decision on top of a comparison: gates and verdict decide, levels, worst category and cost are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from punie_build.engine.gates import Gate
from punie_build.project import Project
from punie_build.reports import draw
from punie_build.reports.decision import decide
from punie_build.reports.pages import evaluation
from punie_build.reports.pages.arms import ComparisonPage
from tests.support import sample_project


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return sample_project.build_project(tmp_path_factory.mktemp("project"), sample_project.RECIPE)


@pytest.fixture(scope="module")
def page(root) -> ComparisonPage:
    project = Project.load(root)
    task = project.task("comparison:tuned")
    return evaluation.load(project, task, lock=project.lock(task))


def changed(page: ComparisonPage, verdict: str, gates: tuple[Gate, ...] = (), sound: bool = True) -> ComparisonPage:
    differences = tuple(structs.replace(delta, verdict=verdict) for delta in page.result.differences)
    result = structs.replace(page.result, differences=differences, sound=sound)
    task = structs.replace(page.task, spec=structs.replace(page.task.spec, gates=gates))
    return structs.replace(page, task=task, result=result)


def gate(page: ComparisonPage, passes: bool) -> tuple[Gate, ...]:
    metric, value = next(iter(page.lock.metrics.items()))
    return (Gate(metric=metric, min=value if passes else value + 1),)


@pytest.mark.parametrize(
    ("verdict", "passes", "answer"),
    [
        ("improved", None, "ship"),
        ("improved", True, "ship"),
        ("improved", False, "do not ship"),
        ("equivalent", True, "ship"),
        ("equivalent", None, "cannot tell"),
        ("inconclusive", True, "cannot tell"),
        ("inconclusive", False, "do not ship"),
        ("regressed", True, "do not ship"),
        ("invalid", None, "do not ship"),
    ],
)
def test_gates_and_verdict_decide(page, verdict, passes, answer):
    gates = () if passes is None else gate(page, passes)
    decided = decide(changed(page, verdict, gates))
    assert decided.answer == answer
    expected = {None: "the recipe has no gates", True: r"\d gates? passed", False: r"1 of \d gates? failed: "}[passes]
    assert re.match(expected, decided.reasons[0])


def test_a_suite_that_fails_its_validation_ships_nothing(page):
    assert decide(changed(page, "improved", sound=False)).answer == "do not ship"


def test_levels_and_the_worst_category_are_those_of_the_result(page):
    reasons = decide(page).reasons
    index = page.result.arms.index(page.result.arm)
    assert f"{page.result.totals[index].rate:.0%} by {page.result.arm}" in reasons[1]
    changes = {name: totals[index].rate - totals[0].rate for name, totals in page.result.categories.items()}
    [worst] = [reason for reason in reasons if reason.startswith("worst category: ")]
    assert changes[worst.removeprefix("worst category: ").split()[0]] == min(changes.values())


def test_the_page_the_markdown_and_the_terminal_begin_with_it(root):
    project = Project.load(root)
    assert [*draw.refresh(project, [project.task("comparison:tuned")])] == []
    html = (root / "reports" / "comparison-tuned.html").read_text()
    text = (root / "reports" / "comparison-tuned.md").read_text()
    answer = decide(
        evaluation.load(project, project.task("comparison:tuned"), lock=project.lock("comparison:tuned"))
    ).answer
    assert html.lower().index(f"{answer}: tuned") < html.index('class="banner', html.lower().index(answer))
    assert f"**{answer.capitalize()}.**" in text
