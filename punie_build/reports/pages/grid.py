"""Pages of grids: settings of adapters ranked by validation loss, or settings of evals ranked by pass rate.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from punie_build.artifacts.evaluation import EVAL
from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.section import ArtifactPage, Section, format_value
from punie_build.schema.spec import canonical
from punie_build.sweeps import adapter_ranking, eval_ranking
from punie_build.sweeps.adapter_ranking import AdapterRanking, RankedSetting
from punie_build.sweeps.eval_ranking import EvalRanking


class AdapterGridPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a grid of adapters: its ranking, and the links to the pages of its runs, by artifact name."""

    ranking: AdapterRanking
    links: dict[str, str]


class EvalGridPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a grid of evals: its ranking, and the links to the pages of its runs, by artifact name."""

    ranking: EvalRanking
    links: dict[str, str]


def load(project: Project, task: AnyTask, **common: Any) -> AdapterGridPage | EvalGridPage:
    """Load the page of a grid of adapters or of evals."""
    content = (project.folder(task) / "ranking.json").read_bytes()
    runs = [project.planned[label].task for label in task.needs]
    links = {run.name: lineage.href(project, run) for run in runs}
    if task.spec.of == EVAL.name:
        ranking = msgspec.json.decode(content, type=EvalRanking)
        return EvalGridPage(task=task, ranking=ranking, links=links, **common)
    return AdapterGridPage(task=task, ranking=msgspec.json.decode(content, type=AdapterRanking), links=links, **common)


def setting_name(setting: dict[str, Any]) -> str:
    """Format a setting as text; the names of axes are shortened to their last part."""
    values = (f"{axis.rpartition('.')[2]} {format_value(value)}" for axis, value in setting.items())
    return ", ".join(values) or "the only setting"


def winner(page: AdapterGridPage) -> Section:
    """Show the best setting, and whether others are significantly worse."""
    undecided = sum(not entry.worse for entry in page.ranking.settings)
    limit = adapter_ranking.noise_limit(page.ranking)
    context = {
        "best": setting_name(page.ranking.settings[0].setting),
        "summary": adapter_ranking.summary(page.ranking),
        "significant": page.ranking.noise is not None and undecided == 1,
        "noise": page.ranking.noise,
        "limit": limit,
        "within": undecided - 1,
        "others": len(page.ranking.settings) - 1,
        "seeds": page.ranking.seeds,
    }
    return Section("winner", "", context)


def adapter_settings(page: AdapterGridPage) -> Section:
    """Show all settings of a grid of adapters, the best first."""
    low = min(entry.low for entry in page.ranking.settings)
    width = max(entry.high for entry in page.ranking.settings) - low or 1.0
    rows = [
        {
            "entry": entry,
            "name": setting_name(entry.setting),
            "runs": [(run, page.links.get(run.cell, "")) for run in entry.runs],
            "low": (entry.low - low) / width,
            "high": (entry.high - low) / width,
            "mean": (entry.mean - low) / width,
            "difference": entry.mean - page.ranking.settings[0].mean,
        }
        for entry in page.ranking.settings
    ]
    return Section("adapter_settings", "Settings", {"rows": rows, "seeds": page.ranking.seeds})


def eval_settings(page: ArtifactPage) -> Section | None:
    """Show all settings of a grid of evals, the best first; None for a grid of adapters."""
    if not isinstance(page, EvalGridPage):
        return None
    rows = [
        {"entry": entry, "name": setting_name(entry.setting), "href": page.links.get(entry.cell, "")}
        for entry in page.ranking.settings
    ]
    return Section("eval_settings", "Settings", {"rows": rows, "summary": eval_ranking.summary(page.ranking)})


def heat_map(page: AdapterGridPage) -> Section | None:
    """Show the losses of a grid with two axes as a table: the lower the loss, the darker the cell."""
    if len(page.ranking.axes) != 2:
        return None
    (row_axis, row_values), (column_axis, column_values) = page.ranking.axes.items()
    means = [entry.mean for entry in page.ranking.settings]
    low, width = min(means), max(means) - min(means) or 1.0
    entries = {
        (canonical(entry.setting.get(row_axis)), canonical(entry.setting.get(column_axis))): entry
        for entry in page.ranking.settings
    }
    rows = []
    for value in row_values:
        cells = [_cell(entries.get((canonical(value), canonical(other))), low, width) for other in column_values]
        rows.append({"value": format_value(value), "cells": cells})
    context = {
        "row_axis": row_axis,
        "column_axis": column_axis,
        "columns": [format_value(value) for value in column_values],
        "rows": rows,
        "seeds": page.ranking.seeds,
    }
    return Section("heat_map", "Heat map", context)


def _cell(entry: RankedSetting | None, low: float, width: float) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "mean": entry.mean,
        "half_range": (entry.high - entry.low) / 2,
        "heat": 1 - (entry.mean - low) / width,
        "undecided": entry.p is not None and not entry.worse,
    }


def effects(page: AdapterGridPage) -> Section | None:
    """Show the mean loss of every value of an axis, over the values of the other axes."""
    rows = [
        {"axis": axis, "value": format_value(effect.value), "effect": effect}
        for axis, of_axis in page.ranking.effects.items()
        for effect in of_axis
        if len(of_axis) > 1
    ]
    return Section("effects", "Effect of each value", {"rows": rows}) if rows else None


def adapters_only(section: Callable[[AdapterGridPage], Section | None]) -> Callable[[ArtifactPage], Section | None]:
    """Return a section function that gives None for a grid of evals."""
    return lambda page: section(page) if isinstance(page, AdapterGridPage) else None


SECTIONS = (
    adapters_only(winner),
    eval_settings,
    standard_sections.gates,
    *map(adapters_only, (adapter_settings, heat_map, effects)),
    standard_sections.lineage_graph,
    standard_sections.provenance,
)

GRID_PAGE = PageKind(
    load=load, sections=SECTIONS, data_file="ranking.json", terminal="punie_build.reports.terminal:grid_lines"
)
