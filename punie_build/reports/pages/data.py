"""Pages of datasets, stages and mixes: how many rows passed the filters, the drop reasons, and samples of both.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from msgspec import Struct

from punie_build.artifacts.tokens import TOKENS
from punie_build.artifacts.training import PREFLIGHT
from punie_build.data.dialects.keys import describe_unknown
from punie_build.data.example import SPLITS
from punie_build.data.stats import Stats, read_stats
from punie_build.engine.task import AnyTask
from punie_build.preflight.finding import PreflightFinding
from punie_build.project import Project
from punie_build.reports import charts, lineage, samples
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import preflight, standard_sections
from punie_build.reports.samples import RowLanguages, RowLengths, RowSample
from punie_build.reports.section import ArtifactPage, Section

CHECKED = {  # drop reason -> what the filter checks rows for
    "language": "language",
    "no-script": "script",
    "exact-dedup": "duplicate rows",
    "near-dedup": "near-duplicate rows",
    "twin": "duplicate rows",
    "between": "near duplicates across splits",
    "held-out": "rows that another part holds back",
    "decontaminate": "contamination with suite prompts",
    "secrets": "secrets",
    "valid-tools": "tool calls that do not match their tools",
}


class UpstreamData(Struct, frozen=True):
    """A dataset, stage or mix that an artifact is built from: its statistics, and the link to its page."""

    label: str
    name: str
    stats: Stats
    href: str = ""


class DataPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a dataset, stage or mix.

    It holds statistics of the artifact and of its upstream data, samples of rows and of dropped rows, row lengths,
    languages, and the issues that preflights report about its rows.
    """

    stats: Stats
    upstream: tuple[UpstreamData, ...]
    samples: tuple[RowSample, ...]
    dropped: dict[str, tuple[RowSample, ...]]
    lengths: RowLengths
    languages: RowLanguages | None = None
    issues: tuple[PreflightFinding, ...] = ()


def load(project: Project, task: AnyTask, **common: Any) -> DataPage:
    """Load the page of a dataset, stage or mix. Lengths are in tokens if a current artifact has tokenized it."""
    folder = project.folder(task)
    stats = read_stats(folder)
    tokenized = next((other for other in project.current_tasks(TOKENS.name) if other.spec.data == task.name), None)
    return DataPage(
        task=task,
        stats=stats,
        upstream=upstream_data(project, task.label),
        samples=samples.sample_rows(folder),
        dropped=samples.sample_dropped(folder),
        lengths=samples.token_lengths(project.folder(tokenized))
        if tokenized
        else samples.character_lengths(folder, stats.splits["train"].rows),
        languages=samples.languages(folder, stats.splits["train"].rows),
        issues=tuple(
            issue
            for other in project.current_tasks(PREFLIGHT.name)
            if other.spec.data == task.name
            for issue in preflight.load_issues(project, other)
        ),
        **common,
    )


def upstream_data(project: Project, label: str) -> tuple[UpstreamData, ...]:
    """Return all data that an artifact is built from, and itself if it is data; sources first."""
    return tuple(
        UpstreamData(task.label, task.name, read_stats(project.folder(task)), lineage.href(project, task))
        for task in project.upstream(label, "data")
    )


def metrics(page: DataPage) -> Section:
    """Show the numbers of examples, rows and messages."""
    total, rows = page.stats.total, sum(counts.rows for counts in page.stats.splits.values())
    splits = [f"{counts.rows:,} {split}" for split in SPLITS if (counts := page.stats.splits[split]).rows]
    dropped = f"{total.retention:.0%} of {total.seen:,} input examples"
    per_row = f"{page.stats.messages / max(rows, 1):.1f} per row"
    cards = [
        {
            "name": "examples kept",
            "value": f"{total.kept:,}",
            "note": dropped if total.seen > total.kept else "all input examples",
        },
        {"name": "rows", "value": f"{rows:,}", "note": ", ".join(splits)},
        {"name": "messages", "value": f"{page.stats.messages:,}", "note": per_row},
    ]
    if page.stats.changed:
        cards.append({"name": "rewritten", "value": f"{page.stats.changed:,}", "note": "by the stage's transforms"})
    if unknown := page.stats.unknown_keys:
        cards.append({"name": "unknown keys", "value": f"{len(unknown):,}", "note": describe_unknown(unknown)})
    return Section("cards", "", {"cards": cards})


def notes(page: DataPage) -> Section | None:
    """Show the build's notes on the data: empty splits, files that were not read."""
    return Section("data_notes", "Notes", {"notes": page.stats.notes}) if page.stats.notes else None


def funnel(page: Any) -> Section | None:
    """Show how many examples every upstream dataset, stage and mix kept, and why the others were dropped."""
    if not page.upstream:
        return None
    widest = max(data.stats.total.seen for data in page.upstream) or 1
    rows = [
        {
            "label": data.label,
            "href": data.href,
            "total": data.stats.total,
            "splits": {split: counts for split, counts in data.stats.splits.items() if counts.seen},
            "kept_width": data.stats.total.kept / widest,
            "dropped_width": (data.stats.total.seen - data.stats.total.kept) / widest,
        }
        for data in page.upstream
    ]
    return Section("funnel", "Data lineage", {"rows": rows})


def drop_reasons(page: DataPage) -> Section | None:
    """Show every drop reason with its count and its first rows."""
    total = page.stats.total
    if not total.dropped:
        return None
    order = dict.fromkeys([*page.stats.reasons, *total.dropped])
    rows = [
        {
            "reason": reason,
            "count": total.dropped[reason],
            "total": total.seen,
            "share": total.dropped[reason] / total.seen,
            "samples": page.dropped.get(reason, ()),
        }
        for reason in order
        if reason in total.dropped
    ]
    return Section("drop_reasons", "Dropped examples", {"rows": rows, "file": f"{page.task.target}/dropped.jsonl"})


def filters(page: DataPage) -> Section:
    """Show the rows that every upstream filter dropped, the checks that no filter makes, and issues of preflights."""
    applied = [
        (data, reason) for data in page.upstream for reason in dict.fromkeys(data.stats.reasons) if reason in CHECKED
    ]
    rows = [
        {
            "name": f"{CHECKED[reason]} ({reason}, {data.label})",
            "dropped": data.stats.total.dropped.get(reason, 0),
            "total": data.stats.total.seen,
        }
        for data, reason in applied
    ]
    checked = {CHECKED[reason] for _, reason in applied}
    unchecked = [check for check in dict.fromkeys(CHECKED.values()) if check not in checked]
    context = {"rows": rows, "unchecked": unchecked, "target": page.task.target, "issues": page.issues}
    return Section("filters", "Filters applied", context)


def categories(page: DataPage) -> Section | None:
    """Show the number of rows of every category, and of every source of a mix."""
    tables = [("category", page.stats.categories), ("source", page.stats.sources)]
    bars = [{"name": name, "rows": _bars(counts)} for name, counts in tables if counts]
    return Section("counts", "Composition", {"tables": bars, "caption": ""}) if bars else None


def _bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    total, largest = sum(counts.values()), max(counts.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": n, "count": c, "share": c / total, "width": c / largest, "total": total} for n, c in ordered]


def language_shares(page: DataPage) -> Section | None:
    """Show the share of each language that was found in the training rows."""
    languages = page.languages
    if not languages or not languages.rows:
        return None
    undecided = {"short, mixed or code": languages.undecided} if languages.undecided else {}
    count, total = languages.rows, languages.total
    rows = f"all {total:,}" if count == total else f"{count:,} of {total:,}"
    caption = (
        f"Of {rows} training rows: what users and assistants write, without code, paths and numbers. Identified by"
        " fastText; the filter `language` drops rows of other languages."
    )
    tables = [{"name": "language", "rows": _bars(languages.counts | undecided)}]
    return Section("counts", "Languages", {"tables": tables, "caption": caption})


def lengths(page: Any) -> Section | None:
    """Show the distribution of the lengths of training rows."""
    if not page.lengths.lengths:
        return None
    ordered, unit, total = sorted(page.lengths.lengths), page.lengths.unit, page.lengths.total
    half, p95 = median(ordered), ordered[int(0.95 * (len(ordered) - 1))]
    text = f"median {half:,.0f} {unit}, 95th percentile {p95:,}, maximum {ordered[-1]:,}"
    rows = f"{len(ordered):,} rows" if len(ordered) == total else f"first {len(ordered):,} of {total:,} rows"
    picture = charts.histogram(ordered, f"{rows}: {text}", unit)
    return Section("lengths", "Lengths of training rows", {"picture": picture, "caption": f"{rows}: {text}."})


def sample_rows(page: DataPage) -> Section:
    """Show the first rows of every split."""
    return Section("samples", "Sample rows", {"rows": page.samples})


SECTIONS = (
    metrics,
    notes,
    standard_sections.gates,
    funnel,
    drop_reasons,
    filters,
    categories,
    language_shares,
    lengths,
    sample_rows,
    *standard_sections.CLOSING,
)

DATA_PAGE = PageKind(
    load=load, sections=SECTIONS, data_file="stats.json", terminal="punie_build.reports.terminal:data_lines"
)
