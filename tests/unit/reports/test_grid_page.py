"""The page of a grid of evals."""

from __future__ import annotations

from punie_build.evaluation.scoring import CaseScore
from punie_build.project import Project
from punie_build.reports.html import Page, render
from punie_build.reports.pages.grid import EvalGridPage, eval_settings
from punie_build.reports.section import ArtifactPage
from punie_build.sweeps.eval_ranking import rank_evals

RECIPE = '[eval.t]\narm = "nano"\nsuite = "tool-calling"\nmax_tokens = [8, 9]\n'


def scored(passes: int) -> list[CaseScore]:
    """Return a case of each split; both pass if `passes` is 1."""
    return [
        CaseScore(case=split, category="c", score=0.0, passes=passes, split=split) for split in ("select", "confirm")
    ]


def test_the_page_of_an_evals_grid_escapes_and_links_its_settings(recipes):
    task = Project.load(recipes(RECIPE)).task("grid:t")
    cells = [("t@<i>", {"stop": ["<i>"]}, scored(1)), ("t@b", {"stop": ["b"]}, scored(0))]
    page = EvalGridPage(task=task, lock=None, ranking=rank_evals("t", ["stop"], cells), links={"t@b": "eval-b.html"})
    text = render(Page(title="t", label="grid", sections=(eval_settings(page),)))
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert 'href="eval-b.html"' in text
    assert eval_settings(ArtifactPage(task=task, lock=None)) is None
