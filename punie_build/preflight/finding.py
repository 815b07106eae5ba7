"""The finding of a check: its location, the problem, and advice.

An error stops the training, a warning is reported. A recipe may allow a check, whatever its finding or up to a share
of the rows:

    allow = ["leakage"]         allow = { leakage = 0.01, markers = 0.02 }

To add a check: a function that yields findings in the module of its subject, its entry in `CHECKS` there, and its name
in `training.spec.PREFLIGHT_CHECKS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct, field

from punie_build.training.spec import AllowedChecks

Level = Literal["error", "warning"]


class PreflightFinding(Struct, frozen=True, kw_only=True):
    """A problem found by a check. `check`: the name that a recipe may allow; `share`: of the rows concerned, 1 if it
    is not about rows."""

    check: str = field(name="look")
    level: Level
    where: str
    problem: str = field(name="what")
    advice: str
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} - {self.advice}"


def is_allowed(finding: PreflightFinding, allow: AllowedChecks) -> bool:
    """Return whether a recipe allows a finding."""
    if isinstance(allow, Mapping):
        return finding.check in allow and finding.share <= allow[finding.check]
    return finding.check in allow


def not_allowed(findings: Iterable[PreflightFinding], allow: AllowedChecks) -> list[PreflightFinding]:
    """Return the findings that a recipe does not allow, errors first."""
    remaining = (finding for finding in findings if not is_allowed(finding, allow))
    return sorted(remaining, key=lambda finding: finding.level != "error")
