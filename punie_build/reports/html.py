"""Page: one standalone HTML file. Everything shown is escaped; nothing is fetched; it works when mailed.

What models and rows say goes through `said` in a template: control characters become visible, what is endless is cut, and where
there is much of it, it is packed: gzip and base64, put back by the page's one small script.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from punie_build.reports.section import Section

ROOMY = 300_000  # bytes of a page up to which texts stay as they are
LONGEST = 12_000  # letters of one text that are shown
Part = tuple[str, str]  # "", "ins" or "del", and what is said


class Page(Struct, frozen=True, kw_only=True):
    """A page to be drawn: its heading, its sections, and what it holds for programs (`facts`, JSON)."""

    title: str
    kicker: str
    doc: str = ""
    sections: tuple[Section, ...]
    facts: bytes = b""
    up: bool = True  # whether it leads back to the index


def render(page: Page) -> str:
    """The whole page."""
    plain = _render(page, Texts(packing=False))
    if len(plain) <= ROOMY:
        return plain
    return min(plain, _render(page, Texts(packing=True)), key=len)


class Texts:
    """What is said on a page, as markup: in its place, or in a store that the page's script reads."""

    def __init__(self, packing: bool) -> None:
        self.packing = packing
        self.store: list[list[Part]] = []

    def said(self, text: str | Sequence[Part]) -> Any:
        """A block of what somebody said, made visible and cut; parts that came or went are marked."""
        from markupsafe import Markup, escape

        parts = cut([("", text)] if isinstance(text, str) else text)
        shown = [(kind, visible(words)) for kind, words in parts] or [("", "(nothing)")]
        if self.packing:
            self.store.append(shown)
            return Markup('<pre data-text="{}"></pre>').format(len(self.store) - 1)
        marked = (f"<{kind}>{escape(words)}</{kind}>" if kind else escape(words) for kind, words in shown)
        return Markup("<pre>{}</pre>").format(Markup("").join(map(Markup, marked)))

    @property
    def packed(self) -> str:
        if not self.store:
            return ""
        text = json.dumps(self.store, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.b64encode(gzip.compress(text, 9, mtime=0)).decode()


def _render(page: Page, texts: Texts) -> str:
    environment = _environment()
    bodies = [
        (section, environment.get_template(f"{section.template}.html.j2").render(section.facts, said=texts.said))
        for section in page.sections
    ]
    script = environment.loader.get_source(environment, "page.js")[0].strip()
    inside = json.dumps(json.loads(page.facts), separators=(",", ":")) if page.facts else ""
    return str(
        environment.get_template("page.html.j2").render(
            page=page,
            bodies=bodies,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            packed=texts.packed,
            facts=inside.replace("<", "\\u003c"),
        )
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("punie_build.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{value:.0%}"
    environment.filters["signed"] = lambda value: f"{value:+.0%}".replace("-", "−").replace("+0%", "0%")
    environment.filters["visible"] = visible
    environment.filters["line"] = lambda text: visible(" ".join(text[:400].split()))
    environment.filters["slug"] = lambda text: text.replace(" ", "-")
    return environment


def visible(text: str) -> str:
    """Text with its control and direction characters made visible, so that model output can neither hide nor reorder."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        letter
        if letter in "\n\t" or (letter.isprintable() and not 0xD800 <= ord(letter) <= 0xDFFF)
        else f"␛{ord(letter):04x}"
        for letter in text
    )


def cut(parts: Iterable[Part]) -> list[Part]:
    """The first `LONGEST` letters of what is said, and how many more there are."""
    parts = [part for part in parts if part[1]]
    over, room, kept = sum(len(words) for _, words in parts) - LONGEST, LONGEST, list[Part]()
    for kind, words in parts:
        kept.append((kind, words[:room]))
        room -= len(words)
        if room <= 0:
            break
    return [*kept, ("", f"\n[... {over:,} letters more ...]")] if over > 0 else kept
