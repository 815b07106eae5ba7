"""Pages of adopted adapters: their origin, and the results of their evals.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import adapter, standard_sections
from punie_build.reports.pages.adapter import ComparisonLink, EvalResult
from punie_build.reports.pages.data import UpstreamData
from punie_build.reports.section import ArtifactPage, Section
from punie_build.training import adopted
from punie_build.training.adopted import AdoptionRecord

ORIGIN = "adopted, not trained here"


class AdoptedPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of an adopted adapter: the record of its origin, and the results of its evals. It has no upstream
    data."""

    record: AdoptionRecord
    upstream: tuple[UpstreamData, ...] = ()
    results: tuple[EvalResult, ...]
    comparisons: tuple[ComparisonLink, ...] = ()


def load(project: Project, task: AnyTask, **common: Any) -> AdoptedPage:
    """Load the page of an adopted adapter."""
    record = adopted.read_record(project.folder(task))
    return AdoptedPage(
        task=task,
        record=record,
        results=adapter.eval_results(project, task.name),
        comparisons=adapter.comparisons(project, task.name),
        **common,
    )


def origin(page: AdoptedPage) -> Section:
    """Show where the adapter is from, with the facts of its original configuration, and the notes of its adoption."""
    notes = [{"name": "note", "value": note, "note": ""} for note in page.record.notes]
    facts = [{"name": name, "value": value, "note": "of its original config"} for name, value in
             page.record.facts.items()]  # fmt: skip
    cards = [{"name": "origin", "value": page.record.format, "note": ORIGIN}, *facts, *notes]
    return Section("cards", "", {"cards": cards})


SECTIONS = (origin, standard_sections.gates, adapter.evals, *standard_sections.CLOSING)

ADOPTED_PAGE = PageKind(
    load=load, sections=SECTIONS, card=True, data_file=adopted.RECORD,
    terminal="punie_build.reports.terminal:model_lines",
)  # fmt: skip
