"""Data pages: how many rows a dataset, stage or mix kept, why others went, and what its rows are like.

To add a section: a function, its template, and its place in `SECTIONS` (or `TOKENS`), which is the order on the page.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from msgspec import Struct

from punie_build.data.example import SPLITS
from punie_build.data.stats import SplitCounts, Stats, read_stats
from punie_build.engine.task import AnyTask
from punie_build.preflight import preview
from punie_build.preflight.finding import Finding
from punie_build.project import Project
from punie_build.reports import charts, lineage
from punie_build.reports import samples as looking
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.samples import Lengths, Row
from punie_build.reports.section import Material, Section
from punie_build.training import token_file
from punie_build.training.token_file import TokenStats

LOOKED = {  # what a reason looks for, in the words of a reader
    "language": "languages",
    "no-script": "scripts",
    "exact-dedup": "rows that say the same",
    "near-dedup": "rows that nearly say the same",
    "twin": "rows that say the same",
    "between": "rows near to what trains and to what is held back",
    "decontaminate": "prompts of the suites",
    "secrets": "secrets",
    "valid-tools": "calls that do not fit their tools",
}


class Step(Struct, frozen=True):
    """One dataset, stage or mix on the way: its counts, and the place of its page."""

    label: str
    name: str
    stats: Stats
    href: str = ""


class Data(Material, frozen=True, kw_only=True):
    """A data page: the counts of the artifact and of all it is made from, rows of it, rows it dropped, and how long they are."""

    stats: Stats
    way: tuple[Step, ...]
    kept: tuple[Row, ...]
    dropped: dict[str, tuple[Row, ...]]
    lengths: tuple[Lengths, ...]
    odd: tuple[Finding, ...] = ()


def gather(project: Project, task: AnyTask, **more: Any) -> Data:
    """The material of a dataset's, stage's or mix's page."""
    folder = project.folder(task)
    stats = read_stats(folder)
    lengths = [
        looking.tokens(project.folder(other))
        for other in project.current_tasks("tokens")
        if other.spec.data == task.name
    ] or [looking.letters(folder, stats.splits["train"].rows)]
    return Data(
        task=task,
        stats=stats,
        way=way(project, task.label),
        kept=looking.kept(folder),
        dropped=looking.dropped(folder),
        lengths=tuple(lengths[:1]),
        odd=tuple(
            each
            for other in project.current_tasks("preflight")
            if other.spec.data == task.name
            for each in odd_of(project, other)
        ),
        **more,
    )


def odd_of(project: Project, task: AnyTask) -> list[Finding]:
    """What a preflight found odd about the rows."""
    return preview.findings(project.folder(task) / "findings.json")


def way(project: Project, label: str) -> tuple[Step, ...]:
    """All data that something is made from, sources first."""
    return tuple(
        Step(task.label, task.name, read_stats(project.folder(task)), lineage.href(project, task))
        for task in project.upstream(label, "data")
    )


def numbers(m: Data) -> Section:
    """How much there is."""
    total, rows = m.stats.total, sum(counts.rows for counts in m.stats.splits.values())
    sides = [(side, m.stats.splits[side].rows) for side in SPLITS if m.stats.splits[side].rows]
    cards = [
        {
            "name": "examples kept",
            "value": f"{total.kept:,}",
            "soft": f"{total.retention:.0%} of the {total.seen:,} that came in"
            if total.seen > total.kept
            else "all that came in",
        },
        {"name": "rows", "value": f"{rows:,}", "soft": ", ".join(f"{count:,} {side}" for side, count in sides)},
        {"name": "messages", "value": f"{m.stats.messages:,}", "soft": f"{m.stats.messages / max(rows, 1):.1f} a row"},
    ]
    if m.stats.changed:
        cards.append({"name": "rewritten", "value": f"{m.stats.changed:,}", "soft": "by the stage's maps"})
    return Section("numbers", "", {"cards": cards})


def funnel(m: Any) -> Section | None:
    """How many examples each step on the way kept, and why others went."""
    if not m.way:
        return None
    widest = max(step.stats.total.seen for step in m.way) or 1
    rows = [
        {
            "label": step.label,
            "href": step.href,
            "total": step.stats.total,
            "splits": {split: counts for split, counts in step.stats.splits.items() if counts.seen},
            "kept_width": step.stats.total.kept / widest,
            "lost_width": (step.stats.total.seen - step.stats.total.kept) / widest,
        }
        for step in m.way
    ]
    return Section("funnel", "Where the data went", {"rows": rows})


def reasons(m: Data) -> Section | None:
    """Why examples went, each reason with the first rows it took."""
    total = m.stats.total
    if not total.dropped:
        return None
    order = [reason for reason in m.stats.reasons if reason in total.dropped]
    order += [reason for reason in total.dropped if reason not in order]
    rows = [
        {
            "reason": reason,
            "count": total.dropped[reason],
            "of": total.seen,
            "share": total.dropped[reason] / total.seen,
            "samples": m.dropped.get(reason, ()),
        }
        for reason in order
    ]
    return Section("reasons", "What was dropped", {"rows": rows, "file": f"{m.task.target}/dropped.jsonl"})


def categories(m: Data) -> Section | None:
    """How many rows each category has, and what a mix took from each source."""
    tables = [("category", m.stats.categories), ("source", m.stats.sources)]
    shown = [{"name": name, "rows": _bars(counts)} for name, counts in tables if counts]
    return Section("counts", "What is in it", {"tables": shown}) if shown else None


def _bars(counts: dict[str, int]) -> list[dict[str, Any]]:
    total, most = sum(counts.values()), max(counts.values())
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [{"name": n, "count": c, "share": c / total, "width": c / most, "of": total} for n, c in ordered]


def lengths(m: Data) -> Section | None:
    """How long the training rows are."""
    some = [each for each in m.lengths if each.rows]
    if not some:
        return None
    return Section("lengths", "How long the training rows are", {"charts": [_lengths(each) for each in some]})


def _lengths(found: Lengths) -> dict[str, Any]:
    ordered = sorted(found.rows)
    middle, long = median(ordered), ordered[int(0.95 * (len(ordered) - 1))]
    said = f"half of them have at most {middle:,.0f} {found.unit}, 95 % at most {long:,}, the longest {ordered[-1]:,}"
    seen = f"{len(ordered):,} rows" if len(ordered) == found.of else f"the first {len(ordered):,} of {found.of:,} rows"
    return {"picture": charts.histogram(ordered, f"{seen}: {said}", found.unit), "said": f"Of {seen}, {said}."}


def findings(m: Data) -> Section:
    """What was looked for on the way, and how often it was found; what nobody looked for is said, too."""
    found: dict[str, SplitCounts] = {}
    for step in m.way:
        total = step.stats.total
        for reason in step.stats.reasons:
            if reason in LOOKED:
                place = found.setdefault(f"{LOOKED[reason]} ({reason}, {step.label})", SplitCounts())
                place.seen, place.kept = total.seen, total.dropped.get(reason, 0)
    rows = [{"what": what, "count": counts.kept, "of": counts.seen} for what, counts in found.items()]
    looked = {LOOKED[reason] for step in m.way for reason in step.stats.reasons if reason in LOOKED}
    missing = [what for what in dict.fromkeys(LOOKED.values()) if what not in looked]
    facts = {"rows": rows, "missing": missing, "target": m.task.target, "odd": m.odd}
    return Section("findings", "What was looked for", facts)


def samples(m: Data) -> Section:
    """The first rows of each side."""
    return Section("samples", "Rows", {"rows": m.kept})


SECTIONS = (
    numbers,
    standard_sections.gates,
    funnel,
    reasons,
    findings,
    categories,
    lengths,
    samples,
    *standard_sections.ENDING,
)


class Tokens(Material, frozen=True, kw_only=True):
    """A page of tokens: counts of each side, and how long its training rows are."""

    stats: TokenStats
    way: tuple[Step, ...]
    lengths: tuple[Lengths, ...]


def gather_tokens(project: Project, task: AnyTask, **more: Any) -> Tokens:
    """The material of the page of a dataset in tokens."""
    folder = project.folder(task)
    stats = token_file.stats(folder)
    return Tokens(task=task, stats=stats, way=way(project, task.label), lengths=(looking.tokens(folder),), **more)


def token_numbers(m: Tokens) -> Section:
    """How many tokens there are, and how many of them are learnt."""
    train = m.stats.train
    lost = {
        "cut at max_seq_length": sum(counts.truncated for counts in m.stats.splits),
        "longer, and left out": sum(counts.dropped for counts in m.stats.splits),
        "with nothing to learn": sum(counts.fully_masked for counts in m.stats.splits),
    }
    cards = [
        {"name": "training tokens", "value": f"{train.tokens:,}", "soft": f"in {train.rows:,} rows"},
        {
            "name": "of them learnt",
            "value": f"{train.trained_tokens:,}",
            "soft": f"{train.trained_tokens / max(train.tokens, 1):.0%} of {train.tokens:,} tokens",
        },
        {"name": "longest row", "value": f"{train.longest:,}", "soft": "tokens, before any cut"},
        *({"name": "rows", "value": f"{count:,}", "soft": what} for what, count in lost.items() if count),
    ]
    return Section("numbers", "", {"cards": cards})


class Preflight(Material, frozen=True, kw_only=True):
    """A preflight's page: what is odd about rows as a base reads them."""

    odd: tuple[Finding, ...]


def gather_preflight(project: Project, task: AnyTask, **more: Any) -> Preflight:
    """The material of a preflight's page."""
    return Preflight(task=task, odd=tuple(odd_of(project, task)), **more)


def odd(m: Preflight) -> Section:
    """What was found, errors first."""
    found = sorted(m.odd, key=lambda each: each.level != "error")
    return Section("odd", "What is odd", {"rows": found})


PREFLIGHT = (standard_sections.numbers, odd, *standard_sections.ENDING)
TOKENS = (token_numbers, standard_sections.gates, lengths, funnel, *standard_sections.ENDING)

DATA_PAGE = PageKind(
    load=gather, sections=SECTIONS, data_file="stats.json", terminal="punie_build.reports.terminal:data_lines"
)
PREFLIGHT_PAGE = PageKind(load=gather_preflight, sections=PREFLIGHT, data_file="findings.json")
TOKENS_PAGE = PageKind(load=gather_tokens, sections=TOKENS, data_file="stats.json")
