"""Pages of tokenized data: token counts, trained tokens, and row lengths."""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.models.locate import available_folder
from punie_build.models.spec import Base
from punie_build.project import Project
from punie_build.reports import samples
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import data, standard_sections
from punie_build.reports.pages.data import UpstreamData
from punie_build.reports.samples import RowLengths
from punie_build.reports.section import ArtifactPage, Section
from punie_build.reports.trained_text import TrainedRow, trained_rows
from punie_build.training import token_file
from punie_build.training.token_file import TokenStats


class TokensPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of tokenized data: counts of every split, its upstream data, and the lengths of its training rows."""

    stats: TokenStats
    upstream: tuple[UpstreamData, ...]
    lengths: RowLengths
    rows: tuple[TrainedRow, ...]


def load(project: Project, task: AnyTask, **common: Any) -> TokensPage:
    """Load the page of tokenized data."""
    folder, base = project.folder(task), task.external["base"]
    return TokensPage(
        task=task,
        stats=token_file.read_stats(folder),
        upstream=data.upstream_data(project, task.label),
        lengths=samples.token_lengths(folder),
        rows=trained_rows(folder, available_folder(project.root, base) if isinstance(base, Base) else None),
        **common,
    )


def metrics(page: TokensPage) -> Section:
    """Show the numbers of tokens, of trained tokens, and of rows that were truncated or dropped."""
    train = page.stats.train
    affected = {
        "truncated at max_seq_length": sum(counts.truncated for counts in page.stats.splits),
        "dropped because longer": sum(counts.dropped for counts in page.stats.splits),
        "fully masked": sum(counts.fully_masked for counts in page.stats.splits),
    }
    cards = [
        {"name": "training tokens", "value": f"{train.tokens:,}", "note": f"in {train.rows:,} rows"},
        {
            "name": "trained tokens",
            "value": f"{train.trained_tokens:,}",
            "note": f"{train.trained_tokens / max(train.tokens, 1):.0%} of {train.tokens:,}, the others are masked",
        },
        {"name": "longest row", "value": f"{train.longest:,}", "note": "tokens, before truncation"},
        *(
            {"name": name, "value": f"{count:,}", "note": "row" if count == 1 else "rows"}
            for name, count in affected.items()
            if count
        ),
    ]
    return Section("cards", "", {"cards": cards})


def rows(page: TokensPage) -> Section:
    """Show the first training rows with the border of the prompt, the trained text, and the end marks."""
    return Section("trained_rows", "First training rows", {"rows": page.rows})


SECTIONS = (metrics, standard_sections.gates, rows, data.lengths, data.funnel, *standard_sections.CLOSING)

TOKENS_PAGE = PageKind(load=load, sections=SECTIONS, data_file="stats.json")
