"""Pages of preflights: issues of the rows, as the chat template of a base renders them."""

from __future__ import annotations

from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.preflight import result
from punie_build.preflight.finding import PreflightFinding
from punie_build.project import Project
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.section import ArtifactPage, Section


class PreflightPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of a preflight: the issues that its checks found."""

    issues: tuple[PreflightFinding, ...]


def load(project: Project, task: AnyTask, **common: Any) -> PreflightPage:
    """Load the page of a preflight."""
    return PreflightPage(task=task, issues=tuple(load_issues(project, task)), **common)


def load_issues(project: Project, task: AnyTask) -> list[PreflightFinding]:
    """Read the issues that a preflight found."""
    return result.read(project.folder(task) / "findings.json").findings


def issues(page: PreflightPage) -> Section:
    """Show the issues, errors first."""
    return Section("issues", "Issues", {"rows": sorted(page.issues, key=lambda issue: issue.level != "error")})


SECTIONS = (standard_sections.metrics, issues, *standard_sections.CLOSING)

PREFLIGHT_PAGE = PageKind(load=load, sections=SECTIONS, data_file="findings.json")
