"""Pages of an eval's grid: its settings by the cases that pass, and the winner on cases that had no say."""

from __future__ import annotations

from typing import Any

import msgspec

from punie_build.engine.task import AnyTask
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.section import Material, Section, plain
from punie_build.sweeps import eval_ranking
from punie_build.sweeps.eval_ranking import EvalRanking


class Tuned(Material, frozen=True, kw_only=True):
    """The page of an eval's grid: its ranking, and the places of the pages of its cells by their names."""

    tuning: EvalRanking
    links: dict[str, str]


def gather(project: Project, task: AnyTask, **more: Any) -> Tuned:
    """The material of the page of an eval's grid."""
    found = msgspec.json.decode((project.folder(task) / "ranking.json").read_bytes(), type=EvalRanking)
    cells = [project.planned[label].task for label in task.needs]
    return Tuned(task=task, tuning=found, links={cell.name: lineage.href(project, cell) for cell in cells}, **more)


def settings(m: Material) -> Section | None:
    """All settings of an eval's grid, the best first, and the winner in words."""
    if not isinstance(m, Tuned):
        return None
    rows = [
        {
            "place": place,
            "name": ", ".join(f"{axis.rpartition('.')[2]} {plain(value)}" for axis, value in place.setting.items()),
            "href": m.links.get(place.cell, ""),
        }
        for place in m.tuning.settings
    ]
    return Section("settings", "Settings", {"rows": rows, "sentence": eval_ranking.summary(m.tuning)})
