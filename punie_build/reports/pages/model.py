"""Model pages: how large it is, how much of its adapter is left in it, and what evals say of it.

To add a section: a function, its template, and its place in `SECTIONS`, which is the order on the page.
"""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import adapter, data, standard_sections
from punie_build.reports.pages.adapter import Result
from punie_build.reports.pages.data import Step
from punie_build.reports.section import Material, Section


class Model(Material, frozen=True, kw_only=True):
    """A model's page: the data its adapter was made from, from the source on, and the evals that asked it."""

    way: tuple[Step, ...]
    results: tuple[Result, ...]


def gather(project: Project, task: AnyTask, **more: Any) -> Model:
    """The material of a model's page."""
    return Model(task=task, way=data.way(project, task.label), results=adapter.results(project, task.name), **more)


def numbers(m: Model) -> Section:
    """How large it is, and how alike its adapter."""
    told = m.lock.metrics
    size = told.get("bytes", 0.0)
    cards = [
        {
            "name": "on disk",
            "value": f"{size / 2**30:.2f} GiB" if size > 2**29 else f"{size / 2**20:,.0f} MiB",
            "soft": f"{told.get('bits_per_weight', 0):.2f} bits a weight",
        }
    ]
    if "gain_retained" in told:
        cards.append(
            {
                "name": "gain retained",
                "value": f"{told['gain_retained']:.1%}",
                "soft": f"of what {m.task.spec.adapter} gained in loss, over {told.get('tokens', 0):,.0f} held-back tokens",
            }
        )
    if "agreement" in told:
        cards.append(
            {
                "name": "agreement",
                "value": f"{told['agreement']:.1%}",
                "soft": f"of {told.get('tokens', 0):,.0f} held-back tokens: the same one most likely as for {m.task.spec.adapter}",
            }
        )
    if told.get("unquantised"):
        cards.append({"name": "layers", "value": f"{told['unquantised']:.0f}", "soft": "left unquantised"})
    return Section("numbers", "", {"cards": cards})


def evals(m: Model) -> Section:
    """What evals say of it, with intervals."""
    return Section("results", "What it can do", {"rows": m.results, "name": m.task.name})


SECTIONS = (numbers, standard_sections.gates, evals, data.funnel, *standard_sections.ENDING)

MODEL_PAGE = PageKind(load=gather, sections=SECTIONS, card=True, terminal="punie_build.reports.terminal:model_lines")
