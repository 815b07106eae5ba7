"""Material: all that a report is made from, as values. Sections turn it into facts, templates show them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from punie_build.checks import Answer
from punie_build.comparing import Compared
from punie_build.data_steps import Stats
from punie_build.evaluating import Scores
from punie_build.suites import Suite


class Material(Struct, frozen=True, kw_only=True):
    """All a report is made from. `scores` and `answers` are in the order of the arms; `data` from source to mix."""

    result: Compared
    suite: Suite
    scores: tuple[Scores, ...]
    answers: tuple[dict[str, Answer], ...]
    data: tuple[tuple[str, Stats], ...]
    curves: tuple[tuple[str, list[dict[str, Any]]], ...]


class Section(Struct, frozen=True):
    """A part of the page: the template it is drawn with and what that shows. `title` empty: no heading."""

    template: str
    title: str
    facts: dict[str, Any]
