"""Settings of Sphinx for the site. No page requests anything from a network."""

from __future__ import annotations

import re
from typing import Any

from punie_build import __version__

project = "punie-build"
release = version = __version__
copyright = "The punie-build contributors"  # noqa: A001 - the name that Sphinx reads
language = "en"
extensions = ["myst_parser"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # blocks in languages that Pygments does not know stay plain
html_theme = "theme"
html_theme_path = ["."]
html_title = "punie-build"
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
REPLACED = (  # markup of Sphinx -> the same, for a keyboard, a screen reader and a narrow screen
    (re.compile(r"<pre>"), '<pre tabindex="0">'),
    (re.compile(r'<p class="caption" role="heading">'), '<p class="caption">'),
    (re.compile(r'<th class="head"><p></p></th>'), "<td></td>"),
    (re.compile(r"<table .*?</table>", re.DOTALL), r'<div class="scroll" tabindex="0">\g<0></div>'),
)


def accessible(html: str) -> str:
    """Return HTML whose regions can be reached by the keyboard, without empty headers."""
    for pattern, text in REPLACED:
        html = pattern.sub(text, html)
    return html


def _context(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Add the list of pages to the context of a template, and make the text accessible."""
    context["body"] = accessible(context.get("body", ""))
    if "toctree" in context:
        context["pages"] = accessible(context["toctree"](maxdepth=1, titles_only=True, collapse=True))


def setup(app: Any) -> None:
    """Connect the function that changes the context of a page."""
    app.connect("html-page-context", _context)
