"""HTML pages: one standalone file each. All text is escaped, no resource is fetched, and a page can be sent by mail.

Text of models and rows goes through `text_block` in a template: control characters become visible and long text is
truncated. On a page above `PACK_BYTES` the text blocks are gzipped and base64-encoded, and the page's script unpacks
them.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from punie_build.reports.section import Section
from punie_build.runtime.console import format_count, format_points

PACK_BYTES = 300_000  # pages up to this size are not packed
MAX_CHARACTERS = 12_000  # of one text block
Part = tuple[str, str]  # (tag: "", "ins", "del" or "mark"; text)


class Page(Struct, frozen=True, kw_only=True):
    """A page before rendering: heading, label above it, when its artifact was `built`, sections, and JSON for
    programs (`facts`)."""

    title: str
    label: str
    doc: str = ""
    built: str = ""
    recipe: str = ""  # digest of what the recipes say that the page shows
    sections: tuple[Section, ...]
    facts: bytes = b""
    up: bool = True  # whether the page links to the index


def render(page: Page) -> str:
    """Render a page; pack its text blocks if the page is large and packing makes it smaller."""
    unpacked = _render(page, TextBlocks(packing=False))
    if len(unpacked) <= PACK_BYTES:
        return unpacked
    return min(unpacked, _render(page, TextBlocks(packing=True)), key=len)


class TextBlocks:
    """The text blocks of a page: inline markup, or entries of a list that the page's script reads (`packing`)."""

    def __init__(self, packing: bool) -> None:
        self.packing = packing
        self.blocks: list[list[Part]] = []

    def text_block(self, text: str | Sequence[Part]) -> Any:
        """Return markup for text with visible control characters, truncated; inserted and deleted parts are marked."""
        from markupsafe import Markup, escape

        parts = truncate([("", text)] if isinstance(text, str) else text)
        parts = [(tag, visible(part)) for tag, part in parts] or [("", "(empty)")]
        if self.packing:
            self.blocks.append(parts)
            return Markup('<pre data-text="{}"></pre>').format(len(self.blocks) - 1)
        marked = (f"<{tag}>{escape(part)}</{tag}>" if tag else escape(part) for tag, part in parts)
        return Markup("<pre>{}</pre>").format(Markup("").join(map(Markup, marked)))

    @property
    def packed(self) -> str:
        """The blocks as base64 of gzipped JSON; "" without blocks."""
        if not self.blocks:
            return ""
        text = json.dumps(self.blocks, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.b64encode(gzip.compress(text, 9, mtime=0)).decode()


def _render(page: Page, texts: TextBlocks) -> str:
    environment = _environment()
    bodies = [
        (section, template.render(section.context, text_block=texts.text_block))
        for section in page.sections
        for template in [environment.get_template(f"{section.template}.html.j2")]
    ]
    script = _script("page.js")
    facts = json.dumps(json.loads(page.facts), separators=(",", ":")) if page.facts else ""
    return str(
        environment.get_template("page.html.j2").render(
            page=page,
            bodies=bodies,
            script=script,
            script_hash=_hash(script),
            packed=texts.packed,
            facts=facts.replace("<", "\\u003c"),
        )
    )


def live_frame(name: str) -> str:
    """Render the frame around the pages of a project that `punie-build watch` serves."""
    script = _script("live.js")
    template = _environment().get_template("live.html.j2")
    return str(template.render(name=name, script=script, script_hash=_hash(script)))


def _script(name: str) -> str:
    environment = _environment()
    return str(environment.loader.get_source(environment, name)[0]).strip()


def _hash(script: str) -> str:
    """Return the hash that a Content-Security-Policy allows a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


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
    environment.filters["score_difference"] = lambda value: f"{value:+.2f}".replace("-", "−")
    environment.filters["points"] = lambda *differences: format_points(*differences).replace("-", "−")
    environment.filters["visible"] = visible
    environment.filters["line"] = lambda text: visible(" ".join(text[:400].split()))
    environment.filters["of"] = format_count
    environment.filters["prose"] = prose
    environment.filters["breakable"] = breakable
    environment.filters["slug"] = lambda text: text.replace(" ", "-")
    return environment


def prose(text: str) -> Any:
    """Return markup for a sentence in one line, with its parts in backticks as code."""
    from markupsafe import Markup, escape

    parts = escape(visible(" ".join(text.split()))).split("`")
    if len(parts) % 2 == 0:  # an odd backtick is none of ours
        return Markup("`").join(parts)
    marked = [Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in enumerate(parts)]
    return Markup("").join(marked)


def breakable(name: str) -> Any:
    """Return markup for a name that may be broken behind its separators first."""
    from markupsafe import Markup

    return Markup("<wbr>").join(re.split(r"(?<=[_@,:/])(?=\w)", visible(name)))


def visible(text: str) -> str:
    """Replace control and direction characters by codes, so that model output can neither hide nor reorder text."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        char if char in "\n\t" or (char.isprintable() and not 0xD800 <= ord(char) <= 0xDFFF) else f"␛{ord(char):04x}"
        for char in text
    )


def truncate(parts: Iterable[Part]) -> list[Part]:
    """Return the first `MAX_CHARACTERS` characters of the parts, and a note with the number of omitted ones."""
    parts = [part for part in parts if part[1]]
    excess, available, result = sum(len(text) for _, text in parts) - MAX_CHARACTERS, MAX_CHARACTERS, list[Part]()
    for tag, text in parts:
        result.append((tag, text[:available]))
        available -= len(text)
        if available <= 0:
            break
    return [*result, ("", f"\n[... {excess:,} more characters ...]")] if excess > 0 else result
