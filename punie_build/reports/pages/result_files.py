"""The page of two compared result files: verdict, means, categories, and every case whose value differs."""

from __future__ import annotations

import msgspec

from punie_build.evaluation.result_files.outcome_difference import OutcomeDifference
from punie_build.reports.html import Page
from punie_build.reports.html import render as render_page
from punie_build.reports.pages.evaluation import VERDICTS
from punie_build.reports.section import Section

MAX_FLIPS = 1000  # of each direction on the page; the JSON of the command has all of them


def render(result: OutcomeDifference) -> str:
    """Return the page as HTML."""
    title = f"{result.second.name} against {result.first.name}"
    facts = msgspec.json.encode(
        {key: value for key, value in msgspec.to_builtins(result).items() if key not in ("gained", "lost")}
    )
    sections = (_verdict(result), _means(result), _flips(result))
    return render_page(Page(title=title, label=result.metric, sections=sections, facts=facts, up=False))


def _verdict(result: OutcomeDifference) -> Section:
    context = {
        "result": result,
        "verdict": VERDICTS[result.verdict],
    }
    return Section("outcome_verdict", "", context)


def _means(result: OutcomeDifference) -> Section:
    rows = list(zip((result.first, result.second), result.means, strict=True))
    return Section("outcome_means", "Means", {"rows": rows, "result": result, "categories": result.categories})


def _flips(result: OutcomeDifference) -> Section:
    groups = [("▼ worse", "worse", result.lost), ("▲ better", "better", result.gained)]
    rows = [(label, state, flip) for label, state, flips in groups for flip in flips[:MAX_FLIPS]]
    omitted = len(result.lost) + len(result.gained) - len(rows)
    context = {"rows": rows, "omitted": omitted, "first": result.first.name, "second": result.second.name}
    return Section("outcome_flips", "Cases that differ", context)
