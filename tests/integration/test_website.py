"""The source of the site: every document is listed, and links lead somewhere. `tests/e2e/test_website.py` builds it."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch

from website import build


def test_every_document_is_listed_once_in_the_index():
    names = [*build.documents(), "docs/new.md"]
    text = build.index(names)
    assert text.endswith("\ndocs/new\n```\n"), "a page that the index does not name is listed at its end"
    listed = re.findall(r"^([\w*/.-]+)$", text, re.MULTILINE)
    pages = [name.removesuffix(".md") for name in names if name.endswith(".md")]
    for page in (*pages, "docs/commands", "docs/fields"):
        assert sum(fnmatch(page, pattern) for pattern in listed) == 1, page


def test_a_link_to_a_file_outside_the_site_leads_to_the_repository():
    names = build.documents()
    text = "[a](recipes.md#mix) [b](recipe.schema.json) [c](https://x.org) [d](#here) [e](../LICENSE)"
    changed = build.with_links(text, "docs/ci.md", names)
    repository = "https://github.com/punie/punie-build/blob/main"
    assert changed == (
        f"[a](recipes.md#mix) [b]({repository}/docs/recipe.schema.json) [c](https://x.org) [d](#here) "
        f"[e]({repository}/LICENSE)"
    )


def test_a_missing_sphinx_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sphinx.cmd.build", None)
    assert build.build(tmp_path) == 2
    assert capsys.readouterr().err == "sphinx: not installed - pip install 'punie-build[docs]'\n"
