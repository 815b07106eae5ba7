"""Page: one standalone HTML file. Everything shown is escaped; nothing is fetched; it works when mailed."""

from __future__ import annotations

from functools import cache
from typing import Any

from punie_build.reporting.material import Material
from punie_build.reporting.sections import SECTIONS


def render(material: Material) -> str:
    """The whole page."""
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
    environment.filters["signed"] = lambda value: f"{value:+.0%}".replace("-", "−").replace("+0%", "0%")
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
