"""Grid pages: the settings by validation loss, which of them cannot be told from the best, and what each value makes.

To add a section: a function, its template, and its place in `SECTIONS`, which is the order on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import eval_grid, standard_sections
from punie_build.reports.section import Material, Section, plain
from punie_build.schema.spec import canonical
from punie_build.sweeps import adapter_ranking
from punie_build.sweeps.adapter_ranking import AdapterRanking, RankedSetting


class Grid(Material, frozen=True, kw_only=True):
    """A grid's page: its ranking, and the places of the pages of its cells by their names."""

    ranking: AdapterRanking
    links: dict[str, str]


def gather(project: Project, task: AnyTask, **more: Any) -> Grid | eval_grid.Tuned:
    """The material of a grid's page, of adapters or of evals."""
    if task.spec.of == "eval":
        return eval_grid.gather(project, task, **more)
    found = msgspec.json.decode((project.folder(task) / "ranking.json").read_bytes(), type=AdapterRanking)
    cells = [project.planned[label].task for label in task.needs]
    return Grid(task=task, ranking=found, links={cell.name: lineage.href(project, cell) for cell in cells}, **more)


def named(setting: dict[str, Any]) -> str:
    """A setting in words."""
    return ", ".join(f"{axis.rpartition('.')[2]} {plain(value)}" for axis, value in setting.items()) or "the only one"


def winner(m: Grid) -> Section:
    """Which setting is the best, and how sure that is."""
    level = sum(not place.worse for place in m.ranking.settings)
    known = m.ranking.noise is not None
    return Section(
        "winner",
        "",
        {
            "best": named(m.ranking.settings[0].setting),
            "sentence": adapter_ranking.summary(m.ranking),
            "sure": known and level == 1,
            "chance": m.ranking.noise,
            "seeds": m.ranking.seeds,
        },
    )


def places(m: Grid) -> Section:
    """All settings, the best first."""
    low = min(place.low for place in m.ranking.settings)
    wide = max(place.high for place in m.ranking.settings) - low or 1.0
    rows = [
        {
            "place": place,
            "name": named(place.setting),
            "runs": [(run, m.links.get(run.cell, "")) for run in place.runs],
            "left": (place.low - low) / wide,
            "right": (place.high - low) / wide,
            "at": (place.mean - low) / wide,
        }
        for place in m.ranking.settings
    ]
    return Section("places", "Settings", {"rows": rows, "seeds": m.ranking.seeds})


def heat(m: Grid) -> Section | None:
    """Two axes as a table: the darker, the lower the loss; a ring around what cannot be told from the best."""
    if len(m.ranking.axes) != 2:
        return None
    (one, down), (two, across) = m.ranking.axes.items()
    means = [place.mean for place in m.ranking.settings]
    low, wide = min(means), max(means) - min(means) or 1.0
    found = {(canonical(p.setting.get(one)), canonical(p.setting.get(two))): p for p in m.ranking.settings}
    rows = []
    for value in down:
        cells = [_cell(found.get((canonical(value), canonical(other))), low, wide) for other in across]
        rows.append({"value": plain(value), "cells": cells})
    facts = {
        "down": one,
        "across": two,
        "values": [plain(value) for value in across],
        "rows": rows,
        "seeds": m.ranking.seeds,
    }
    return Section("heat", "Two axes", facts)


def _cell(place: RankedSetting | None, low: float, wide: float) -> dict[str, Any] | None:
    if place is None:
        return None
    return {
        "mean": place.mean,
        "half": (place.high - place.low) / 2,
        "warm": 1 - (place.mean - low) / wide,
        "level": not place.worse,
    }


def effects(m: Grid) -> Section | None:
    """What each value of an axis makes, whatever the others are."""
    rows = [
        {"axis": axis, "value": plain(effect.value), "effect": effect}
        for axis, some in m.ranking.effects.items()
        for effect in some
        if len(some) > 1
    ]
    return Section("effects", "What each value makes", {"rows": rows}) if rows else None


def trained(make: Callable[[Grid], Section | None]) -> Callable[[Material], Section | None]:
    """A section of grids of adapters only."""
    return lambda m: make(m) if isinstance(m, Grid) else None


SECTIONS = (
    trained(winner),
    eval_grid.settings,
    standard_sections.gates,
    *map(trained, (places, heat, effects)),
    standard_sections.around,
    standard_sections.made,
)

GRID_PAGE = PageKind(
    load=gather, sections=SECTIONS, data_file="ranking.json", terminal="punie_build.reports.terminal:grid_lines"
)
