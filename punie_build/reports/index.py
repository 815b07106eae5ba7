"""The index page: all artifacts of a project, their states, and what is built from what."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from punie_build.engine import build_record
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.lineage import Node
from punie_build.reports.section import Section
from punie_build.runtime.console import format_seconds
from punie_build.storage import locks, paths


class IndexRow(Struct, frozen=True, kw_only=True):
    """An artifact in the table."""

    kind: str
    title: str
    name: str
    doc: str
    href: str
    state: str
    forecast: str
    summary: str
    duration: str
    built: str = ""  # the day, in UTC
    file: str
    failed_gates: int = 0


class IndexPage(Struct, frozen=True, kw_only=True):
    """All artifacts in the order of the graph; `titles` of their kinds in the order of the page."""

    name: str
    titles: tuple[str, ...]
    rows: tuple[IndexRow, ...]
    nodes: tuple[Node, ...]


def load(project: Project) -> IndexPage:
    """Read the state and the lock of every artifact; optional ones that were not built are left out."""
    rows, failed = [], project.failed_gates()
    for task in project.tasks_in_use():
        planned = project.planned[task.label]
        lock = locks.read(project.root / paths.lock(task.target))
        rows.append(
            IndexRow(
                kind=task.kind.name,
                title=task.kind.plural or task.kind.name,
                name=task.name,
                doc=task.doc,
                href=lineage.href(project, task),
                state=project.state(task),
                forecast=planned.forecast,
                summary=task.kind.describe(lock.metrics) if lock else "",
                duration=format_seconds(lock.seconds) if lock else "",
                built=_built(project, task.target, lock.key) if lock else "",
                file=task.file,
                failed_gates=len(failed.get(task.label, ())),
            )
        )
    kinds = [*project.recipe.kinds.values()][::-1]
    results_first = [kind for kind in kinds if kind.namespace] + [kind for kind in kinds if not kind.namespace]
    titles = list(dict.fromkeys([*(kind.plural for kind in results_first), *(row.title for row in rows)]))
    return IndexPage(
        name=project.root.name,
        titles=tuple(titles),
        rows=tuple(rows),
        nodes=tuple(lineage.of_project(project).nodes.values()),
    )


def _built(project: Project, target: str, key: str) -> str:
    record = build_record.read(project.root, target, key)
    return record.time[:10] if record else ""


def states(page: IndexPage) -> Section:
    """Return how many artifacts are in each state, and what to do about them."""
    counts = Counter(row.state for row in page.rows)
    waiting = [row for row in page.rows if row.state not in ("current", "removed")]
    failed = [row for row in page.rows if row.failed_gates]
    return Section("states", "", {"counts": counts, "n": len(page.rows), "waiting": waiting, "failed": failed})


def graph(page: IndexPage) -> Section | None:
    """Return the picture of the artifacts and their inputs."""
    if not page.nodes:
        return None
    title = f"Lineage of {page.name}: what is built from what"
    return Section("lineage", "Lineage", lineage.picture(page.nodes, title))


def artifacts(page: IndexPage) -> Section:
    """Return the table of all artifacts, results first."""
    by_title = {title: [row for row in page.rows if row.title == title] for title in page.titles}
    groups = [{"title": title, "rows": rows} for title, rows in by_title.items() if rows]
    return Section("artifacts", "", {"groups": groups})


SECTIONS = (states, graph, artifacts)
