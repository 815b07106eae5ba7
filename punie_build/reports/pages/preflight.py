"""Pages of preflights: issues of the rows, as the chat template of a base renders them."""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.preflight import result
from punie_build.preflight.finding import PreflightFinding, is_allowed
from punie_build.project import Project
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.section import ArtifactPage, Section
from punie_build.runtime.console import format_count


class PreflightPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a preflight: the issues that its checks found, and the names of the adapters whose recipes allow
    each, by the name of its check."""

    issues: tuple[PreflightFinding, ...]
    allowed: dict[str, list[str]]


def load(project: Project, task: AnyTask, **common: Any) -> PreflightPage:
    """Load the page of a preflight."""
    issues = tuple(load_issues(project, task))
    users = [user for user in project.tasks if task.label in user.needs and hasattr(user.spec, "allow")]
    allowed = {
        issue.check: names
        for issue in issues
        if (names := [user.name for user in users if is_allowed(issue, user.spec.allow)])
    }
    return PreflightPage(task=task, issues=issues, allowed=allowed, **common)


def load_issues(project: Project, task: AnyTask) -> list[PreflightFinding]:
    """Read the issues that a preflight found."""
    return result.read(project.folder(task) / "findings.json").findings


def metrics(page: PreflightPage) -> Section:
    """Show the numbers of rows, of issues, and of tool calls that the parser of the server reads back."""
    values = page.lock.metrics
    calls, read = (f"{values.get(name, 0):,.0f}" for name in ("calls", "read"))
    levels = [issue.level for issue in page.issues]
    cards = [
        {"name": "rows checked", "value": f"{values.get('rows', 0):,.0f}", "note": "as the chat template renders them"},
        {
            "name": "issues",
            "value": f"{len(levels):,}",
            "note": ", ".join(format_count(levels.count(level), level) for level in ("error", "warning")),
        },
        {
            "name": "tool calls read back",
            "value": read,
            "note": f"of {calls} turns with calls, unchanged by the server",
        },
    ]
    return Section("cards", "", {"cards": cards})


def issues(page: PreflightPage) -> Section:
    """Show the issues, errors first."""
    rows = sorted(page.issues, key=lambda issue: issue.level != "error")
    return Section("issues", "Issues", {"rows": rows, "allowed": page.allowed})


SECTIONS = (metrics, issues, *standard_sections.CLOSING)

PREFLIGHT_PAGE = PageKind(load=load, sections=SECTIONS, data_file="findings.json")
