"""Finding: what a look found, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from punie_build.training.spec import Allow

Level = Literal["error", "warning"]


class Finding(Struct, frozen=True, kw_only=True):
    """`look` is the name that a recipe may allow; `share` is of the rows concerned, 1 where it is not a matter of rows."""

    look: str
    level: Level
    where: str
    what: str
    advice: str
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.where}: {self.what} - {self.advice}"


def allowed(finding: Finding, allow: Allow) -> bool:
    if isinstance(allow, Mapping):
        return finding.look in allow and finding.share <= allow[finding.look]
    return finding.look in allow


def refused(found: Iterable[Finding], allow: Allow) -> list[Finding]:
    """Those that a recipe does not allow, errors first."""
    return sorted((each for each in found if not allowed(each, allow)), key=lambda each: each.level != "error")
