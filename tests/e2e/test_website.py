"""The documentation as a site: complete, built without a warning, offline, and free of accessibility violations."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support.browser import AVAILABLE, browser
from tests.support.project import ROOT

AXE = importlib.util.find_spec("axe_playwright_python")
INSTALLED = all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser"))
needs_sphinx = pytest.mark.skipif(not INSTALLED, reason="punie-build[docs] is not installed")
PAGES = ["index.html", "docs/ci.html", "docs/glossary.html", "search.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    process = subprocess.run(
        [sys.executable, "-m", "website.build", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    return folder


@needs_sphinx
def test_the_pages_of_the_site_load_nothing_from_a_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        text = page.read_text()
        assert re.findall(r'(?:src=|<link[^>]*href=)"(?:https?:)?//', text) == [], page
    for sheet in site.rglob("*.css"):
        assert "http" not in sheet.read_text()


@needs_sphinx
def test_every_link_of_the_site_has_its_page_and_its_anchor(site):
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in site.rglob("*.html")}
    for page in anchors:
        for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text()):
            if re.match(r"\w+:", link):
                continue
            name, _, anchor = unquote(link).partition("#")
            target = (page.parent / name.partition("?")[0]).resolve() if name else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors[target], f"{page.name}: {link}"


@needs_sphinx
@pytest.mark.skipif(not (AVAILABLE and AXE), reason="needs chromium, chromedriver and axe")
@pytest.mark.parametrize("everything", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_axe_finds_no_violation_on_the_site(site, tmp_path, everything):
    script = (Path(AXE.origin).parent / "axe.min.js").read_text()
    pages = sorted(site.rglob("*.html")) if everything else [site / name for name in PAGES]
    with browser(tmp_path) as chromium:
        chromium.driver.set_script_timeout(600)
        for page in pages:
            for scheme, width in (("light", 1280), ("dark", 390)):
                chromium.scheme(scheme)
                chromium.width(width)
                chromium.driver.get(page.as_uri())
                chromium.run(script)
                result = chromium.driver.execute_async_script("axe.run({preload: false}).then(arguments[0])")
                found = [(each["id"], each["nodes"][0]["html"]) for each in result["violations"]]
                assert found == [], f"{page.name}, {scheme}"
                assert chromium.run("return document.documentElement.scrollWidth <= innerWidth"), (
                    f"{page.name}: {width}"
                )


@needs_sphinx
@pytest.mark.skipif(not AVAILABLE, reason="needs chromium and chromedriver")
def test_the_search_of_the_site_finds_a_page_without_a_server(site, tmp_path):
    with browser(tmp_path) as chromium:
        chromium.driver.get(f"{(site / 'search.html').as_uri()}?q=quantized")
        chromium.driver.set_script_timeout(30)
        chromium.driver.execute_async_script(
            "var done = arguments[0]; (function check() { "
            "if (document.querySelector('#search-results li a')) done(); else setTimeout(check, 50); })();"
        )
        assert chromium.all("#search-results li a")
