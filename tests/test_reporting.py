from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from punie_build.reporting.sections import SECTIONS

from punie_build.checks import Answer, Calls, Expected, NoCall
from punie_build.comparing import compared, sentence
from punie_build.data_steps import Sifted, Stats
from punie_build.errors import IdentityError
from punie_build.evaluating import Scores
from punie_build.reporting import charts
from punie_build.reporting.material import Material
from punie_build.reporting.page import render, visible
from punie_build.scoring import Scored, score
from punie_build.suites import Case, Suite

EVIL = "<script>document.title='owned'</script></pre></details><img src=x onerror=alert(1)>\x1b[31m\u202eevil\x00\ud800 & \"quotes\""


def material(
    gained: int = 30, n: int = 60, raw: str = "fine", canaries: tuple[str, str] = ("aaaa", "bbbb")
) -> Material:
    cases = tuple(
        Case(id=f"case-{k}", category="calls" if k % 3 else "words", prompt=f"question {k}", checks=(NoCall(),))
        for k in range(n)
    )
    suite = Suite(case=cases)

    def arm(name: str, passes: int, canary: str) -> Scores:
        scored = tuple(
            Scored(
                case=case.id,
                category=case.category,
                score=float(k < passes),
                passes=int(k < passes),
                failure="" if k < passes else "wrong tool",
                reason="" if k < passes else raw,
            )
            for k, case in enumerate(cases)
        )
        return Scores(arm=name, suite="s", cases=scored, canary=canary, base_canary="aaaa")

    arms = [arm("nano", 10, canaries[0]), arm("tuned", 10 + gained, canaries[1])]
    answers = {case.id: Answer(case=case.id, raw=raw, content=raw) for case in cases}
    events = [
        {"event": "start", "rows": {"train": 9, "valid": 3}},
        *({"event": "valid", "iteration": k, "loss": 2.0 / (k + 1)} for k in (0, 10)),
        {"event": "train", "iteration": 10, "loss": 0.3},
        {
            "event": "end",
            "published": "best",
            "iteration": 0,
            "iterations": 10,
            "epochs": 2.0,
            "valid_loss": 2.0,
            "valid_loss_last": 0.2,
        },
    ]
    data = (("raw", Stats({"train": Sifted(seen=10, kept=8, dropped={"language": 2})}, categories={}, sources={})),)
    return Material(
        result=compared("cmp", arms),
        suite=suite,
        scores=tuple(arms),
        answers=(answers, answers),
        data=data,
        curves=(("tuned", events),),
    )


class Outline(HTMLParser):
    """Tags and attributes of a page, to see what a browser would make of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href") or name.startswith("on")]


def test_the_page_stands_alone_and_says_the_verdict_first():
    page = render(material())
    outline = Outline(page)
    assert not outline.links
    assert "script" not in outline.tags
    assert "://" not in page
    assert outline.tags.count("h1") == 1
    assert outline.tags.count("main") == 1
    assert (
        page.index("Improved: tuned +50%")
        < page.index("By category")
        < page.index("Every case")
        < page.index("Training")
    )
    assert page.count('class="case ') + page.count('class="case"') == 60
    assert "95 % interval" in page
    assert "bbbb" in page


def test_what_a_model_says_can_do_nothing_in_the_page():
    page = render(material(raw=EVIL))
    outline = Outline(page)
    assert "script" not in outline.tags
    assert "img" not in outline.tags
    assert not re.search(r"[\x00-\x08\x1b\u202a-\u202e\ud800-\udfff]", page)
    assert "&lt;script&gt;" in page
    page.encode("utf-8")


def test_a_megabyte_on_one_line_is_readable():
    page = render(material(raw="x" * 10**6, n=2))
    assert "overflow-wrap: anywhere" in page


def test_few_cases_are_not_sold_as_a_difference():
    result = compared("c", list(material(gained=2, n=14).scores))
    assert result.deltas[0].verdict == "inconclusive"
    assert "no difference found" in sentence(result.deltas[0], 14, "nano")
    assert "find differences from" in sentence(result.deltas[0], 14, "nano")
    worse = compared("c", list(reversed(material().scores)))
    assert worse.deltas[0].verdict == "regressed"


def test_arms_of_equal_canary_are_refused():
    with pytest.raises(IdentityError, match="answer from the same weights"):
        material(canaries=("aaaa", "aaaa"))


def test_scoring_needs_only_the_answers():
    suite = Suite(case=(Case(id="a", category="c", prompt="p", checks=(Calls(calls=(Expected(name="f"),)),)),))
    assert score(suite, {"a": Answer(case="a", raw="hm", content="hm")})[0].failure == "no call"


def test_every_section_has_its_template_and_every_template_its_section():
    from punie_build.reporting import page

    folder = page._environment().loader
    found = {name.removesuffix(".html.j2") for name in folder.list_templates() if name.endswith(".html.j2")}
    assert found == {"page"} | {section.__name__ for section in SECTIONS}


def test_a_chart_has_axes_a_name_and_its_points():
    picture = charts.lines([charts.Line("v", "valid", ((0, 2.0), (300, 0.4)))], "Loss <of> v", "iteration", "loss")
    assert "Loss &lt;of&gt; v" in picture
    assert picture.count("<circle") == 2
    assert charts.ticks(300) == [0, 100, 200, 300]
    assert charts.ticks(2.1) == [0, 0.5, 1.0, 1.5, 2.0]
    assert charts.lines([], "t", "x", "y") == ""


def test_control_characters_are_shown():
    assert visible("a\x1b[1m\u202eb\tc\n") == "a␛001b[1m␛202eb\tc\n"


@pytest.mark.skipif(
    not shutil.which("chromium") or not shutil.which("chromedriver"), reason="no Chromium on this machine"
)
@pytest.mark.filterwarnings("ignore")
def test_a_browser_opens_the_page_from_a_file_and_it_works(tmp_path):
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By

    (tmp_path / "report.html").write_text(render(material(raw=EVIL.replace("\ud800", ""))), encoding="utf-8")
    options = Options()
    options.binary_location = shutil.which("chromium")
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.get("about:blank")
        browser.get_log("performance")  # what the browser asks for itself
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.title == "cmp on s"
        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
        better = browser.find_elements(By.CSS_SELECTOR, ".state-better")
        assert len(better) == 30
        assert better[0].is_displayed()
        browser.find_element(By.ID, "show-better").click()
        assert not better[0].is_displayed()
        worst = browser.find_element(By.CSS_SELECTOR, ".state-both-fail summary")
        worst.click()
        assert "<script>document" in browser.find_element(By.CSS_SELECTOR, ".state-both-fail pre").text
        light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
        )
        assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != light
        browser.set_window_size(390, 800)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        browser.quit()
