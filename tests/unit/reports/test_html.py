"""Rendering of pages: escaping, truncation and packing of text."""

from __future__ import annotations

import re
from pathlib import Path

from punie_build.reports import html
from punie_build.reports.html import Page, TextBlocks, breakable, prose, render, truncate, visible
from punie_build.reports.pages.cases import word_diff
from punie_build.reports.section import Section, format_value
from punie_build.runtime.console import format_points
from tests.support.hostile_text import HOSTILE


def test_much_text_is_packed_and_long_text_is_truncated():
    texts = ("x" * 5_000_000, *(f"{k} {HOSTILE}" * 300 for k in range(200)))
    rows = [{"split": "train", "turns": [("user", text)]} for text in texts]
    page = Page(title="t", label="l", sections=(Section("samples", "Sample rows", {"rows": rows}),))
    text = render(page)
    assert len(text) < 250_000
    assert 'id="packed"' in text
    small = render(Page(title="t", label="l", sections=page.sections[:0]))
    assert 'id="packed"' not in small
    assert truncate([("", "a" * 20_000)])[-1][1] == "\n[... 8,000 more characters ...]"
    assert truncate([("", "abc"), ("", ""), ("ins", "d")]) == [("", "abc"), ("ins", "d")]


def test_text_blocks_are_escaped_and_their_changes_marked():
    texts = TextBlocks(packing=False)
    assert texts.text_block("") == "<pre>(empty)</pre>"
    assert texts.text_block([("", "a<b"), ("ins", "<i>"), ("del", "\x1b")]) == (
        "<pre>a&lt;b<ins>&lt;i&gt;</ins><del>␛001b</del></pre>"
    )
    packing = TextBlocks(packing=True)
    markup = packing.text_block("a") + packing.text_block("b")
    assert markup == '<pre data-text="0"></pre><pre data-text="1"></pre>'
    assert packing.blocks == [[("", "a")], [("", "b")]]


def test_control_and_direction_characters_become_visible():
    assert visible("a\x1b[1m\u202eb\tc\n\ud800\x00") == "a␛001b[1m␛202eb\tc\n␛d800␛0000"


def test_a_word_diff_marks_deleted_and_inserted_words():
    assert word_diff('read(path="a.py")', 'read(path="b.py")') == (
        ("", 'read(path="'), ("del", "a"), ("ins", "b"), ("", '.py")'),
    )  # fmt: skip
    assert word_diff("same", "same") == (("", "same"),)
    assert word_diff("x", "y " * 1000) == (("", "y " * 1000),)


def test_values_are_formatted_as_in_a_recipe_and_differences_in_points():
    assert format_value({"type": "language", "languages": ["en"]}) == "language: languages = en"
    assert format_points(0.294) == "+29 pp"
    assert format_points(-0.07, 0.001) == "-7 to 0 pp"


def test_every_template_belongs_to_a_section():
    folder = Path(html.__file__).parent
    sources = "".join(path.read_text() for path in folder.rglob("*.py"))
    named = set(re.findall(r'Section\(\s*"([a-z_]+)"', sources))
    others = {"page", "parts", "live"}
    assert {path.name.removesuffix(".html.j2") for path in folder.glob("templates/*.j2")} == named | others


def test_prose_has_code_and_names_break_behind_separators_and_both_escape():
    assert str(prose("use `a<b>` or\n`c`")) == "use <code>a&lt;b&gt;</code> or <code>c</code>"
    assert str(prose("one ` alone <i>")) == "one ` alone &lt;i&gt;"
    assert str(breakable("a_b@<c>")) == "a_<wbr>b@&lt;c&gt;"
    assert "\u202e" not in str(prose("\u202e")) + str(breakable("\u202e"))
