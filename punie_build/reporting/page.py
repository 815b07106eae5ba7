"""Page: one standalone HTML file. Everything shown is escaped; nothing is fetched; it works when mailed."""

from __future__ import annotations

from functools import cache
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


def render(material: Material) -> str:
    """The whole page."""
    from punie_build.reporting.sections import SECTIONS

    found = [section for make in SECTIONS if (section := make(material)) is not None]
    environment = _environment()
    bodies = [
        (section.title, environment.get_template(f"{section.template}.html.j2").render(section.facts))
        for section in found
    ]
    return str(
        environment.get_template("page.html.j2").render(
            name=material.result.name, suite=material.result.suite, bodies=bodies
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("punie_build.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{value:.0%}"
    environment.filters["signed"] = lambda value: f"{value:+.0%}".replace("-", "−")
    environment.filters["visible"] = visible
    return environment


def visible(text: str) -> str:
    """Text with its control and direction characters made visible, so that model output can neither hide nor reorder."""
    return "".join(
        letter
        if letter in "\n\t" or (letter.isprintable() and not 0xD800 <= ord(letter) <= 0xDFFF)
        else f"␛{ord(letter):04x}"
        for letter in text
    )
