"""The index: all artifacts of a project, how they are, and what is made from what."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from punie_build.reports import lineage
from punie_build.reports.lineage import Node
from punie_build.reports.project import Project
from punie_build.reports.section import Section
from punie_build.runtime.console import format_seconds
from punie_build.storage import locks, paths

NUMBERS = {  # kind -> what to say of its metrics, first that is there
    "dataset": (("examples", "{:,.0f} examples"),),
    "stage": (("examples", "{:,.0f} examples"), ("retention", "{:.0%} kept")),
    "mix": (("examples", "{:,.0f} examples"),),
    "tokens": (("tokens", "{:,.0f} tokens"),),
    "adapter": (("valid_loss", "validation loss {:.3f}"),),
    "choice": (("valid_loss", "validation loss {:.3f}"),),
    "grid": (("settings", "{:.0f} settings"), ("valid_loss", "best {:.3f}")),
    "model": (("bits_per_weight", "{:.1f} bits a weight"), ("gain_retained", "{:.0%} of the gain kept")),
    "answers": (("answers", "{:.0f} answers"),),
    "eval": (("passed", "{:.0f}"), ("cases", "of {:.0f} cases passed")),
}


class Row(Struct, frozen=True, kw_only=True):
    """An artifact in the table."""

    kind: str
    name: str
    doc: str
    href: str
    state: str
    forecast: str
    said: str
    took: str
    file: str


class Index(Struct, frozen=True, kw_only=True):
    """All artifacts, in the order of the graph."""

    name: str
    rows: tuple[Row, ...]
    nodes: tuple[Node, ...]


def gather(project: Project) -> Index:
    rows = []
    for planned in project.planned.values():
        task = planned.task
        lock = locks.read(project.root / paths.lock(task.target))
        rows.append(
            Row(
                kind=task.kind,
                name=task.name,
                doc=task.doc,
                href=project.href(task),
                state=project.state(task),
                forecast=planned.forecast,
                said=said(task.kind, lock.metrics) if lock else "",
                took=format_seconds(lock.seconds) if lock else "",
                file=task.file,
            )
        )
    return Index(name=project.root.name, rows=tuple(rows), nodes=tuple(project.nodes))


def said(kind: str, metrics: dict[str, float]) -> str:
    """The numbers of an artifact in a few words."""
    if kind == "comparison":
        arms = [name.removesuffix(".difference") for name in metrics if name.endswith(".difference")]
        return "; ".join(
            f"{arm} {metrics[f'{arm}.difference']:+.0%} ({metrics[f'{arm}.low']:+.0%} to {metrics[f'{arm}.high']:+.0%})"
            for arm in arms
            if arm != "chosen"  # one of the others once more, for gates
        )
    words = [form.format(metrics[name]) for name, form in NUMBERS.get(kind, ()) if name in metrics]
    return " ".join(words) if kind == "eval" else ", ".join(words)


def states(m: Index) -> Section:
    """How the project is, in a line, and what to do about it."""
    counts = Counter(row.state for row in m.rows)
    waiting = [row for row in m.rows if row.state not in ("current", "spent")]
    return Section("states", "", {"counts": counts, "n": len(m.rows), "waiting": waiting})


def graph(m: Index) -> Section | None:
    """What is made from what."""
    if not m.nodes:
        return None
    return Section("lineage", "Lineage", lineage.facts(m.nodes, f"Lineage of {m.name}: what is made from what"))


TITLES = {
    "comparison": "Comparisons",
    "grid": "Grids",
    "eval": "Evals",
    "model": "Models",
    "choice": "Choices",
    "adapter": "Adapters",
    "mix": "Mixes",
    "stage": "Stages",
    "dataset": "Datasets",
    "tokens": "Data in tokens",
    "answers": "Answers",
    "preflight": "Preflights",
}


def artifacts(m: Index) -> Section:
    """Every artifact, what people came for first."""
    kinds = [*TITLES, *dict.fromkeys(row.kind for row in m.rows if row.kind not in TITLES)]
    found = {kind: [row for row in m.rows if row.kind == kind] for kind in kinds}
    groups = [{"title": TITLES.get(kind, kind), "rows": rows} for kind, rows in found.items() if rows]
    return Section("artifacts", "", {"groups": groups})


SECTIONS = (states, graph, artifacts)
