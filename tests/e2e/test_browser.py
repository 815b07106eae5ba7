"""Pages in a browser: opened from a file, light and dark, wide and narrow, by keyboard, with all that models may say in them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from punie_build.evaluation.checks.union import Answer
from punie_build.recipes.loader import load
from punie_build.reports import draw
from tests.support import sample_project as drawing
from tests.support.browser import THERE, Browser, browser

pytestmark = [
    pytest.mark.skipif(not THERE, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore"),
]
EVIL = (
    "<script>document.title='owned'</script></pre></textarea></details><img src=x onerror=alert(1)>"
    '\x1b[31mred\u202edlrow\u2066 \x00 & "quotes" <!-- ]]> {{ 7 * 7 }}\n'
)
NAMES = (
    "index", "dataset-sample", "stage-english", "mix-all", "tokens-all@nano-assistant-2048", "adapter-tuned", "grid-sweep",
    "choice-sweep@1", "model-small", "answers-tuned@tool-calling", "eval-tuned@tool-calling", "comparison-tuned",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with every kind of page, whose models say all that could do harm; one of them 5 MB on one line."""
    place = drawing.project(tmp_path_factory.mktemp("drawn"), drawing.RECIPE + drawing.GRID, says=EVIL)
    project = draw.project_of(place, load(place))
    assert [*draw.refresh(project, project.tasks)] == []
    return place


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def place(root: Path, name: str) -> Path:
    return root / "reports" / f"{name}.html"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_without_a_network_and_without_a_complaint(root, chromium, name, tmp_path_factory):
    shots = tmp_path_factory.getbasetemp() / "shots"
    shots.mkdir(exist_ok=True)
    colours = set()
    for scheme, width in (("light", 1100), ("dark", 390)):
        chromium.scheme(scheme)
        chromium.width(width)
        chromium.open(place(root, name))
        assert chromium.driver.title != "owned"
        assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth"), f"{width} is enough"
        chromium.driver.save_screenshot(str(shots / f"{name}-{scheme}-{width}.png"))
        colours.add(chromium.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
    assert place(root, name).stat().st_size < 500_000


AXE = importlib.util.find_spec("axe_playwright_python")


@pytest.mark.skipif(not AXE, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize(
    "name", ["index", "stage-english", "adapter-tuned", "grid-sweep", "model-small", "comparison-tuned"]
)
def test_axe_finds_nothing_that_keeps_people_out(root, chromium, name):
    script = (Path(AXE.origin).parent / "axe.min.js").read_text()
    chromium.width(390)
    chromium.open(place(root, name))
    chromium.run("document.querySelectorAll('details').forEach(function (each, k) { each.open = k < 8; })")
    chromium.run(script)
    some = "{exclude: ['.case ~ .case ~ .case ~ .case']}"  # they are all alike
    for scheme, rules in (("light", "{}"), ("dark", "{runOnly: ['color-contrast']}")):
        chromium.scheme(scheme)
        found = chromium.driver.execute_async_script(f"axe.run({some}, {rules}).then(arguments[0])")
        assert [(each["id"], len(each["nodes"]), each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
        assert found["passes"]


def visible(chromium: Browser, selector: str) -> int:
    script = "return Array.from(document.querySelectorAll(arguments[0])).filter(function (e) { return e.checkVisibility(); })"
    return int(chromium.run(f"{script}.length", selector))


def test_filters_show_the_cases_that_are_asked_for(root, chromium):
    chromium.width(1100)
    chromium.open(place(root, "comparison-tuned"))
    before = visible(chromium, ".case")
    assert before == len(load(root).suites["tool-calling"].case)
    better = len(chromium.all(".state-better"))
    assert better > 20
    [box] = chromium.all("#show-better")
    box.click()
    assert visible(chromium, ".state-better") == 0
    assert visible(chromium, ".case") == before - better
    box.send_keys(" ")
    assert visible(chromium, ".case") == before, "the keyboard works, too"
    chromium.all("#in-1")[0].click()
    assert 0 < visible(chromium, ".case") == len(chromium.all(".c1")) < before
    chromium.all("#in-all")[0].click()
    assert visible(chromium, ".case") == before


def test_a_case_opens_by_keyboard_and_shows_what_was_expected_and_said(root, chromium):
    chromium.open(place(root, "comparison-tuned"))
    [summary, *_] = chromium.all(".state-both-fail summary")
    case = summary.find_element("xpath", "..")
    assert case.get_attribute("open") is None
    summary.send_keys("\n")
    assert case.get_attribute("open") is not None
    said = case.text
    assert "expected" in said
    assert "read_file(" in said
    assert "<script>document.title='owned'</script>" in said
    assert "␛001b[31mred␛202edlrow␛2066 ␛0000" in said
    assert "{{ 7 * 7 }}" in said
    assert case.find_elements("css selector", "ins, del"), "what was called is held against what was expected"
    assert not case.find_elements("css selector", "img, script, textarea")


def test_pages_lead_to_one_another(root, chromium):
    chromium.open(place(root, "index"))
    [link] = [
        each
        for each in chromium.all("main table a")
        if each.text == "tuned" and "adapter" in each.get_attribute("href")
    ]
    link.click()
    assert chromium.driver.current_url == place(root, "adapter-tuned").as_uri()
    [box] = [each for each in chromium.all("svg a") if "mix all" in each.get_attribute("aria-label")]
    chromium.run("arguments[0].focus()", box)
    box.send_keys("\n")
    assert chromium.driver.current_url == place(root, "mix-all").as_uri()
    chromium.all("header a")[0].click()
    assert chromium.driver.current_url == place(root, "index").as_uri()


def test_print_opens_what_is_folded(root, chromium):
    chromium.open(place(root, "stage-english"))
    assert visible(chromium, "article.row") == 0
    chromium.run("window.dispatchEvent(new Event('beforeprint'))")
    assert visible(chromium, "article.row") > 0
    chromium.run("window.dispatchEvent(new Event('afterprint'))")
    assert visible(chromium, "article.row") == 0
    sheet = chromium.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(sheet) > 10_000


def many(root: Path, arms: tuple[str, ...], n: int, says: str) -> Path:
    """The comparison's page with `n` cases, each answer as long as real ones are."""
    recipe = load(root)
    project = draw.project_of(root, recipe)
    suite = recipe.suites["tool-calling"]
    cases = tuple(msgspec.structs.replace(suite.case[k % len(suite.case)], id=f"case-{k}") for k in range(n))
    project.suites = {"tool-calling": msgspec.structs.replace(suite, case=cases)}
    for arm in arms:
        for folder in (f"answers/{arm}@tool-calling", f"reports/{arm}@tool-calling"):
            assert (root / folder).is_dir()
        answers = [
            msgspec.structs.replace(each, raw=f"{says} {k} {each.raw}", epoch=0)
            for k, each in enumerate(drawing.answered(arm, project.suites["tool-calling"]))
        ]
        (root / f"answers/{arm}@tool-calling/answers.jsonl").write_bytes(
            b"".join(msgspec.json.encode(a) + b"\n" for a in answers)
        )
        scores = json.loads((root / f"reports/{arm}@tool-calling/scores.json").read_text())
        scores["cases"] = [scores["cases"][k % len(suite.case)] | {"case": f"case-{k}"} for k in range(n)]
        (root / f"reports/{arm}@tool-calling/scores.json").write_text(json.dumps(scores))
    path = place(root, "comparison-many")
    path.write_text(draw.page(project, project.planned["comparison:tuned"].task), encoding="utf-8")
    return path


def test_two_hundred_cases_of_three_arms_are_a_page_that_can_be_mailed(root, chromium, tmp_path):
    import shutil

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    words = " ".join(f"word{k * k % 97}" for k in range(90))
    path = many(copy, ("nano", "gentle", "tuned"), 200, words)
    assert path.stat().st_size < 500_000
    assert 'id="packed"' in path.read_text()
    chromium.open(path)
    assert visible(chromium, ".case") == 200
    [summary, *_] = chromium.all(".case summary")
    summary.click()
    assert words in summary.find_element("xpath", "..").text


def test_five_megabytes_on_one_line_can_be_read(root, chromium, tmp_path):
    import shutil

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    place_ = copy / "answers/tuned@tool-calling/answers.jsonl"
    first, *rest = place_.read_bytes().splitlines(keepends=True)
    long = msgspec.structs.replace(msgspec.json.decode(first, type=Answer), raw="x" * 5_000_000)
    place_.write_bytes(msgspec.json.encode(long) + b"\n" + b"".join(rest))
    project = draw.project_of(copy, load(copy))
    path = place(copy, "eval-long")
    path.write_text(draw.page(project, project.planned["eval:tuned@tool-calling"].task), encoding="utf-8")
    assert path.stat().st_size < 500_000
    chromium.width(390)
    chromium.open(path)
    chromium.run("document.querySelectorAll('details').forEach(function (each) { each.open = true; })")
    assert "letters more" in chromium.all("main")[0].text
    assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth")
