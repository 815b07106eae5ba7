"""The page of an artifact's metrics over commits: a line for each metric, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from punie_build.reports import charts
from punie_build.reports.html import Page
from punie_build.reports.html import render as render_page
from punie_build.reports.section import Section

MAX_CHARTS = 40


def render(label: str, points: Sequence[Any], metrics: Sequence[str]) -> str:
    """Return the page as HTML. `points` have `commit`, `date`, `title`, `metrics` and `state`."""
    pictures = [{"name": name, "picture": _chart(points, name)} for name in metrics[:MAX_CHARTS]]
    context = {"pictures": pictures, "omitted": len(metrics) - len(pictures)}
    table = {"points": points, "metrics": list(metrics)}
    sections = (Section("history_lines", "Metrics by commit", context), Section("history_table", "Commits", table))
    facts = msgspec.json.encode(list(points))
    return render_page(Page(title=label, label="history", sections=sections, facts=facts, up=False))


def _chart(points: Sequence[Any], name: str) -> str:
    """Return the line of a metric as SVG; empty without a value."""
    present = [(index, point) for index, point in enumerate(points, 1) if name in point.metrics]
    line = charts.Line(name, "valid", tuple((float(index), point.metrics[name]) for index, point in present))
    return charts.line_chart([line], f"{name} by commit", "commit", name, height=160)
