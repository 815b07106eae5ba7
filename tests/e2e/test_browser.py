"""Pages in a browser: opened from a file, in light and dark, wide and narrow, by keyboard, with hostile text."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from punie_build.evaluation.checks.union import Answer
from punie_build.project import Project
from punie_build.reports import draw
from tests.support import sample_project
from tests.support.browser import AVAILABLE, Browser, browser
from tests.support.hostile_text import HOSTILE

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
NAMES = (
    "index", "experiments", "dataset-sample", "stage-english", "mix-all", "tokens-all@nano-assistant-2048",
    "adapter-tuned",
    "grid-sweep", "choice-sweep@1", "model-small", "answers-tuned@tool-calling", "eval-tuned@tool-calling",
    "comparison-tuned", "preflight-all@nano", "adapter-preferred", "reference-pairs@nano-assistant-2048-pairs",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with every kind of page, whose models answer with hostile text."""
    recipe = sample_project.RECIPE + sample_project.GRID
    root = sample_project.build_project(tmp_path_factory.mktemp("project"), recipe, prefix=HOSTILE)
    project = Project.load(root)
    assert [*draw.refresh(project, project.tasks)] == []
    return root


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


def page_path(root: Path, name: str) -> Path:
    return root / "reports" / f"{name}.html"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_without_network_requests_and_errors(root, chromium, name, tmp_path_factory):
    shots = tmp_path_factory.getbasetemp() / "shots"
    shots.mkdir(exist_ok=True)
    colors = set()
    for scheme, width in (("light", 1100), ("dark", 390)):
        chromium.scheme(scheme)
        chromium.width(width)
        chromium.open(page_path(root, name))
        assert chromium.driver.title != "owned"
        assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth"), (
            f"{width} pixels are enough"
        )
        chromium.driver.save_screenshot(str(shots / f"{name}-{scheme}-{width}.png"))
        colors.add(chromium.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(colors) == 2
    assert page_path(root, name).stat().st_size < 500_000


OTHER_CASES = ".case ~ .case ~ .case ~ .case"  # all cases have the same markup
AXE = importlib.util.find_spec("axe_playwright_python")


@pytest.mark.skipif(not AXE, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize(
    "name",
    [
        "comparison-tuned",
        *(pytest.param(name, marks=pytest.mark.nightly) for name in NAMES if name != "comparison-tuned"),
    ],
)
def test_axe_finds_no_accessibility_violations(root, chromium, name):
    script = (Path(AXE.origin).parent / "axe.min.js").read_text()
    chromium.width(390)
    chromium.open(page_path(root, name))
    chromium.run("document.querySelectorAll('details').forEach(function (fold, k) { fold.open = k < 8; })")
    chromium.run(f"document.querySelectorAll('{OTHER_CASES}').forEach(function (case_) {{ case_.remove(); }})")
    chromium.run(script)
    for scheme, rules in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
        chromium.scheme(scheme)
        result = chromium.driver.execute_async_script(f"axe.run({rules}).then(arguments[0])")
        assert [(v["id"], len(v["nodes"]), v["nodes"][0]["html"][:200]) for v in result["violations"]] == []
        assert result["passes"]


def visible(chromium: Browser, selector: str) -> int:
    matches = "Array.from(document.querySelectorAll(arguments[0]))"
    count = f"{matches}.filter(function (e) {{ return e.checkVisibility(); }}).length"
    return int(chromium.run(f"return {count}", selector))


def test_filters_show_only_the_selected_cases(root, chromium):
    chromium.width(1100)
    chromium.open(page_path(root, "comparison-tuned"))
    of_result = visible(chromium, ".case")
    states = chromium.run("return document.querySelector('.filters').innerText")
    assert sum(map(int, re.findall(r"\((\d+)\)", states))) == of_result
    chromium.run("document.getElementById('of-all').click()")
    before = visible(chromium, ".case")
    assert of_result < before == len(Project.load(root).recipe.contents["suite:tool-calling"].cases)
    better = len(chromium.all(".state-better"))
    assert better > 20
    [box] = chromium.all("#show-better")
    box.click()
    assert visible(chromium, ".state-better") == 0
    assert visible(chromium, ".case") == before - better
    box.send_keys(" ")
    assert visible(chromium, ".case") == before, "the filters work by keyboard"
    chromium.all("#in-1")[0].click()
    assert 0 < visible(chromium, ".case") == len(chromium.all(".c1")) < before
    chromium.all("#in-all")[0].click()
    assert visible(chromium, ".case") == before


def test_cases_are_searched_limited_to_regressions_and_linked(root, chromium):
    path = page_path(root, "comparison-tuned")
    chromium.open(path)
    [button] = chromium.all("button[data-only]")
    button.click()
    assert visible(chromium, ".case") == visible(chromium, ".state-worse") > 0
    chromium.open(path)
    [search] = chromium.all("#search")
    search.send_keys("TMP/FLAG")
    rows = [row for row in chromium.all(".case") if row.is_displayed()]
    assert 0 < len(rows) < 20
    assert all("tmp/flag" in row.get_attribute("textContent").lower() for row in rows)
    [outside, *_] = [row.get_attribute("id") for row in chromium.all(".case.outside")]
    chromium.driver.get("about:blank")
    chromium.driver.get(f"{path.as_uri()}#{outside}")
    [row] = chromium.all(f"[id='{outside}']")
    assert row.get_attribute("open") is not None
    assert row.is_displayed()


def test_a_learning_curve_is_hidden_and_shown(root, chromium):
    chromium.open(page_path(root, "experiments"))
    before = visible(chromium, "svg .l1")
    [box, *_] = chromium.all("input[data-curve='l1']")
    box.click()
    assert visible(chromium, "svg .l1") == 0 < before
    box.click()
    assert visible(chromium, "svg .l1") == before


@pytest.mark.parametrize("name", ["index", "comparison-tuned"])
def test_results_are_in_the_window_of_a_phone(root, chromium, name):
    chromium.width(390)
    chromium.open(page_path(root, name))
    cells = {"index": ".s-artifacts td:nth-child(3)", "comparison-tuned": ".s-categories td:nth-child(6)"}[name]
    ends = chromium.run(
        "return Array.from(document.querySelectorAll(arguments[0]), cell => cell.getBoundingClientRect().right)", cells
    )
    assert 0 < max(ends) <= 390


def test_a_case_opens_by_keyboard_and_shows_expected_and_actual_answer(root, chromium):
    chromium.open(page_path(root, "comparison-tuned"))
    [summary, *_] = chromium.all(".state-both-fail summary")
    case = summary.find_element("xpath", "..")
    assert case.get_attribute("open") is None
    summary.send_keys("\n")
    assert case.get_attribute("open") is not None
    text = case.text
    assert "expected" in text
    assert "read_file(" in text
    assert "<script>document.title='owned'</script>" in text
    assert "␛001b[31mred␛202edlrow␛2066 ␛0000" in text
    assert "{{ 7 * 7 }}" in text
    assert case.find_elements("css selector", "ins, del"), "tool calls are compared with the expected ones"
    assert not case.find_elements("css selector", "img, script, textarea")


def test_pages_link_to_one_another(root, chromium):
    chromium.open(page_path(root, "index"))
    [link] = [
        anchor
        for anchor in chromium.all("main table a")
        if anchor.text == "tuned" and "adapter" in anchor.get_attribute("href")
    ]
    link.click()
    assert chromium.driver.current_url == page_path(root, "adapter-tuned").as_uri()
    [box] = [node for node in chromium.all("svg a") if "mix all" in node.get_attribute("aria-label")]
    chromium.run("arguments[0].focus()", box)
    box.send_keys("\n")
    assert chromium.driver.current_url == page_path(root, "mix-all").as_uri()
    chromium.all("header a")[0].click()
    assert chromium.driver.current_url == page_path(root, "index").as_uri()


def test_printing_opens_folded_sections(root, chromium):
    chromium.open(page_path(root, "stage-english"))
    assert visible(chromium, "article.row") == 0
    chromium.run("window.dispatchEvent(new Event('beforeprint'))")
    assert visible(chromium, "article.row") > 0
    chromium.run("window.dispatchEvent(new Event('afterprint'))")
    assert visible(chromium, "article.row") == 0
    sheet = chromium.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(sheet) > 10_000


def render_large_comparison(root: Path, arms: tuple[str, ...], n: int, says: str) -> Path:
    """Render the comparison's page with `n` cases and answers as long as real ones."""
    project = Project.load(root)
    task = project.planned["comparison:tuned"].task  # plan before the files change
    suite = project.recipe.contents["suite:tool-calling"]
    cases = tuple(msgspec.structs.replace(suite.cases[k % len(suite.cases)], id=f"case-{k}") for k in range(n))
    large_suite = msgspec.structs.replace(suite, cases=cases)
    project.recipe.contents["suite:tool-calling"] = large_suite
    for arm in arms:
        answers = [
            msgspec.structs.replace(answer, raw=f"{says} {k} {answer.raw}", epoch=0)
            for k, answer in enumerate(sample_project.simulated_answers(arm, large_suite))
        ]
        (project.folder(f"answers:{arm}@tool-calling") / "answers.jsonl").write_bytes(
            b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
        )
        scores_path = project.folder(f"eval:{arm}@tool-calling") / "scores.json"
        scores = json.loads(scores_path.read_text())
        scores["cases"] = [scores["cases"][k % len(suite.cases)] | {"case": f"case-{k}"} for k in range(n)]
        scores_path.write_text(json.dumps(scores))
    path = page_path(root, "comparison-many")
    path.write_text(draw.page(project, task), encoding="utf-8")
    return path


def test_a_comparison_of_200_cases_is_below_500_kb(root, chromium, tmp_path):
    import shutil

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    words = " ".join(f"word{k * k % 97}" for k in range(90))
    path = render_large_comparison(copy, ("nano", "gentle", "tuned"), 200, words)
    assert path.stat().st_size < 500_000
    assert 'id="packed"' in path.read_text()
    chromium.open(path)
    chromium.run("document.getElementById('of-all').click()")
    assert visible(chromium, ".case") == 200
    [summary, *_] = chromium.all(".case summary")
    summary.click()
    assert words in summary.find_element("xpath", "..").text


def test_an_answer_of_five_megabytes_is_truncated(root, chromium, tmp_path):
    import shutil

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    answers = Project.load(copy).folder("answers:tuned@tool-calling") / "answers.jsonl"
    first, *rest = answers.read_bytes().splitlines(keepends=True)
    long = msgspec.structs.replace(msgspec.json.decode(first, type=Answer), raw="x" * 5_000_000)
    answers.write_bytes(msgspec.json.encode(long) + b"\n" + b"".join(rest))
    project = Project.load(copy)
    path = page_path(copy, "eval-long")
    path.write_text(draw.page(project, project.planned["eval:tuned@tool-calling"].task), encoding="utf-8")
    assert path.stat().st_size < 500_000
    chromium.width(390)
    chromium.open(path)
    chromium.run("document.querySelectorAll('details').forEach(function (fold) { fold.open = true; })")
    assert "more characters" in chromium.all("main")[0].text
    assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_experiments_are_sorted_and_their_columns_hidden(root, chromium):
    chromium.width(1100)
    chromium.open(page_path(root, "experiments"))
    table = chromium.driver.find_element("css selector", "table.sortable")
    column = len(table.find_elements("css selector", "thead th:not([hidden])")) - 1

    def names() -> list[str]:
        return [cell.text for cell in table.find_elements("css selector", "tbody th")]

    button = table.find_element("css selector", "thead button")
    button.click()
    ascending = names()
    assert ascending == sorted(ascending)
    button.click()
    assert names() == ascending[::-1]
    assert table.find_element("css selector", "thead th").get_attribute("aria-sort") == "descending"
    chromium.driver.find_element("css selector", ".columns summary").click()
    chromium.driver.find_element("css selector", ".columns input:checked").click()
    assert len(table.find_elements("css selector", "thead th:not([hidden])")) == column
