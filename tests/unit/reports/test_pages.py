"""Pages as values and as text. In a browser they are opened by test_pages.py."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from punie_build.artifacts.graph import tasks

from punie_build.engine import state
from punie_build.errors import IdentityError
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation.comparison import Compared, compared, sentence
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import Scored
from punie_build.recipes.loader import load
from punie_build.reports import charts, draw, html, lineage, markdown
from punie_build.reports.freshness import behind
from punie_build.reports.html import Page, Texts, cut, render, visible
from punie_build.reports.lineage import Node
from punie_build.reports.pages import cases
from punie_build.reports.section import Section, asked, plain
from punie_build.storage import locks, paths
from tests.support import sample_project as drawing

EVIL = "<script>document.title='owned'</script></pre></textarea></details><img src=x onerror=alert(1)>\x1b[31m\u202eevil\x00 & \"quotes\"\n"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A project whose models say evil things, with all its pages."""
    root = drawing.project(tmp_path_factory.mktemp("drawn"), says=EVIL)
    assert [*draw.refresh(project := draw.project_of(root, load(root)), project.tasks)] == []
    return root


def read(root: Path, name: str) -> str:
    return (root / "reports" / f"{name}.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Tags and attributes of a page, to see what a browser would make of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


NAMES = ("index", "dataset-sample", "stage-english", "mix-all", "adapter-tuned", "tokens-all@nano-assistant-2048",
         "answers-tuned@tool-calling", "eval-tuned@tool-calling", "comparison-tuned")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_page_stands_alone_and_holds_nothing_that_acts(drawn, name):
    page = read(drawn, name)
    outline = Outline(page)
    assert "://" not in page
    assert not outline.handlers
    assert "img" not in outline.tags
    assert outline.tags.count("h1") == outline.tags.count("main") == 1
    assert all((drawn / "reports" / link.replace("%40", "@")).exists() for link in outline.links), "links lead to pages"
    assert not re.search(r"[\x00-\x08\x1b\u202a-\u202e\ud800-\udfff]", page)
    assert "Content-Security-Policy" in page
    assert str(drawn) not in page


def compared_of(root: Path) -> Compared:
    return msgspec.json.decode((root / "reports/tuned/comparison.json").read_bytes(), type=Compared)


def test_what_came_out_is_said_first_and_with_its_interval(drawn):
    page, found = read(drawn, "comparison-tuned"), compared_of(drawn)
    total, delta = found.totals[2], found.deltas[1]
    low, high = total.interval
    assert (
        page.index(f"Improved: tuned +{delta.difference:.0%}")
        < page.index(f"Of the {found.n} cases on confirm")
        < page.index("1 of 4 gates shut")
        < page.index(f"{total.passed:g} of {found.n} cases, 95 % interval {low:.0%} to {high:.0%}")
        < page.index("Against nano")
        < page.index("By category")
        < page.index("Every case")
        < page.index("How they answer")
        < page.index("Training")
        < page.index("Who answered")
    )
    cases = len(load(drawn).suites["tool-calling"].case)
    assert page.count('<details class="case') == cases > found.n
    assert page.index("▼ worse</span>") < page.index("▲ better</span>") < page.index("✗ both fail</span>")
    assert "doit comparison:tuned" in page
    assert msgspec.json.decode(re.search(r'id="facts">(.*?)</script>', page)[1].encode(), type=Compared) == found


def test_a_data_page_tells_what_went_and_shows_it(drawn):
    page = read(drawn, "stage-english")
    stats = json.loads((drawn / "data/english/stats.json").read_text())
    lost = {reason: count for side in stats["splits"].values() for reason, count in side["dropped"].items()}
    assert lost
    for reason in lost:
        assert f'<span class="tag">{reason}</span>' in page
    assert page.count('<article class="row">') >= len(lost)
    assert "Nobody looked for" in page
    assert "<rect" in page
    mixed = read(drawn, "mix-all")
    assert mixed.index("dataset:sample") < mixed.index("stage:english") < mixed.index("mix:all")
    assert "hand-authored</th>" in mixed


def test_an_adapter_page_marks_what_was_published(drawn):
    page = read(drawn, "adapter-tuned")
    assert "published: 0.611" in page
    assert "last: 0.657" in page
    assert "after 250 of 300 batches: the best" in page
    scores = evaluating.scores(drawn / "reports/tuned@tool-calling")
    assert f'{scores.passed}</td><td class="number">{len(scores.cases)}</td><td class="number">' in page
    assert page.index("lora.rank") < page.index("fields the recipe leaves as they are") < page.index("grad_checkpoint")


def test_the_index_names_every_artifact_with_its_state(drawn, tmp_path):
    project = draw.project_of(drawn, load(drawn))
    page = read(drawn, "index")
    assert f"All {len(project.tasks)} artifacts are current" in page
    for task in project.tasks:
        assert f'href="{lineage.href(project, task)}"' in page
    state.forget(drawn, project.planned["adapter:tuned"].task)
    try:
        assert [*draw.refresh(draw.project_of(drawn, load(drawn)))] == []
        page = read(drawn, "index")
        assert "artifacts are not current" in page
        assert "adapter, stale" in page
    finally:
        (drawn / paths.forgotten("adapters/tuned")).unlink()
        [*draw.refresh(draw.project_of(drawn, load(drawn)))]


def test_what_is_not_current_is_not_shown_with_what_is(drawn):
    """An eval of other weights says nothing of the adapter that is here."""
    place = drawn / "answers/tuned@tool-calling/answers.jsonl"
    kept = place.read_bytes()
    place.write_bytes(kept.replace(b"look into", b"look onto", 1))
    try:
        project = draw.project_of(drawn, load(drawn))
        assert "No current eval has asked tuned" in draw.page(project, project.planned["adapter:tuned"].task)
    finally:
        place.write_bytes(kept)


def times(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / "reports").glob("*.html")}


def test_only_pages_of_what_was_made_since_and_of_what_shows_it_are_drawn_anew(drawn):
    targets = [task.target for task in tasks(load(drawn))]
    assert not behind(drawn, targets)
    before = times(drawn)
    path = drawn / paths.lock("adapters/tuned")
    newest = max(before.values()) + 10**9
    os.utime(path, ns=(newest, newest))
    assert behind(drawn, targets)
    [*draw.refresh(draw.project_of(drawn, load(drawn)))]
    assert {name for name, time in times(drawn).items() if time != before[name]} == {
        "index.html", "adapter-tuned.html", "mix-all.html", "stage-english.html", "dataset-sample.html",
        "dataset-hand-authored.html", "tokens-all@nano-assistant-2048.html", "answers-tuned@tool-calling.html",
        "eval-tuned@tool-calling.html", "comparison-tuned.html", "preflight-all@nano.html",
    }  # fmt: skip


def test_pages_are_no_part_of_anything(drawn):
    for task in tasks(load(drawn)):
        assert state.state(drawn, task) == "current"
        lock = locks.read(drawn / paths.lock(task.target))
        assert not any(name.endswith((".html", "README.md")) for name in lock.outputs)


def test_few_cases_are_not_sold_as_a_difference():
    def arm(name: str, passes: int, n: int, canary: str) -> Scores:
        cases = tuple(
            Scored(
                case=f"{k}",
                category="c",
                score=float(k < passes),
                passes=int(k < passes),
                failure="" if k < passes else "no call",
            )
            for k in range(n)
        )
        return Scores(arm=name, suite="s", cases=cases, canary=canary, base_canary="a")

    result = compared("c", [arm("nano", 10, 14, "a"), arm("tuned", 12, 14, "b")])
    assert result.deltas[0].verdict == "inconclusive"
    assert "no difference found" in sentence(result.deltas[0], 14, "nano")
    assert "find differences from" in sentence(result.deltas[0], 14, "nano")
    assert compared("c", [arm("tuned", 40, 60, "b"), arm("nano", 10, 60, "a")]).deltas[0].verdict == "regressed"
    with pytest.raises(IdentityError, match="answer from the same weights"):
        compared("c", [arm("nano", 1, 9, "a"), arm("tuned", 2, 9, "a")])


def test_a_comparison_has_a_twin_for_pull_requests(drawn):
    text, found = (drawn / "reports/comparison-tuned.md").read_text(), compared_of(drawn)
    assert text.startswith(f"## ▲ Improved: tuned {found.deltas[1].difference:+.0%}\n")
    low, high = found.totals[2].interval
    assert (
        f"| tuned | {found.totals[2].passed:g} of {found.n} | {found.totals[2].share:.0%} ({low:.0%} to {high:.0%}) |"
        in text
    )
    assert "| `tuned.share` | ✗" in text
    assert "cases fail that passed before" in text
    assert "<script" not in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert markdown.cell("a|b\n<i> @me *x*") == "a\\|b \\<i\\> @\u200bme \\*x\\*"


# what is said


@pytest.mark.slow
def test_much_that_is_said_is_packed_and_what_is_endless_is_cut():
    page = Page(
        title="t",
        kicker="k",
        sections=(
            Section(
                "samples",
                "Rows",
                {
                    "rows": [
                        {"side": "train", "turns": [("user", text)]}
                        for text in ("x" * 5_000_000, *(f"{k} {EVIL}" * 300 for k in range(200)))
                    ]
                },
            ),
        ),
    )
    text = render(page)
    assert len(text) < 250_000
    assert 'id="packed"' in text
    small = render(Page(title="t", kicker="k", sections=page.sections[:0]))
    assert 'id="packed"' not in small
    assert cut([("", "a" * 20_000)])[-1][1] == "\n[... 8,000 letters more ...]"
    assert cut([("", "abc"), ("", ""), ("ins", "d")]) == [("", "abc"), ("ins", "d")]


def test_what_is_said_is_marked_and_escaped():
    texts = Texts(packing=False)
    assert texts.said("") == "<pre>(nothing)</pre>"
    assert texts.said([("", "a<b"), ("ins", "<i>"), ("del", "\x1b")]) == (
        "<pre>a&lt;b<ins>&lt;i&gt;</ins><del>␛001b</del></pre>"
    )
    packing = Texts(packing=True)
    assert packing.said("a") + packing.said("b") == '<pre data-text="0"></pre><pre data-text="1"></pre>'
    assert packing.store == [[("", "a")], [("", "b")]]


def test_control_characters_are_shown():
    assert visible("a\x1b[1m\u202eb\tc\n\ud800\x00") == "a␛001b[1m␛202eb\tc\n␛d800␛0000"


def test_words_are_held_against_words():
    assert cases.words('read(path="a.py")', 'read(path="b.py")') == (
        ("", 'read(path="'), ("del", "a"), ("ins", "b"), ("", '.py")'),
    )  # fmt: skip
    assert cases.words("same", "same") == (("", "same"),)
    assert cases.words("x", "y " * 1000) == (("", "y " * 1000),)


def test_a_recipe_is_shown_field_by_field(drawn):
    fields = {field.name: field for field in asked(load(drawn).artifacts["adapter", "tuned"].spec)}
    assert (fields["lora.rank"].value, fields["lora.rank"].default) == ("16", False)
    assert (fields["lora.scale"].value, fields["lora.scale"].default) == ("20", True)
    assert "gates" not in fields
    assert plain({"type": "language", "languages": ["en"]}) == "language: languages = en"


# pictures


def test_a_chart_has_axes_a_name_and_its_points():
    line = charts.Line("v", "valid", ((0, 2.0), (300, 0.4)))
    picture = charts.lines([line], "Loss <of> v", "batch", "loss", [charts.Mark("best <1>", 300, 0.4)])
    assert "Loss &lt;of&gt; v" in picture
    assert "best &lt;1&gt;" in picture
    assert picture.count('<circle class="valid"') == 2
    assert charts.ticks(300) == [0, 100, 200, 300]
    assert charts.ticks(2.1) == [0, 0.5, 1.0, 1.5, 2.0]
    assert charts.ticks(0.00105, 3) == [0, 0.0005, 0.001]
    assert charts.lines([], "t", "x", "y") == charts.histogram([], "t", "x") == ""


def test_a_histogram_counts_every_value_once():
    values = [*range(100), 640, 640]
    picture = charts.histogram(values, "t", "tokens")
    assert sum(int(count) for count in re.findall(r": (\d+)</title>", picture)) == len(values)


def boxes(picture: str) -> dict[str, tuple[float, float]]:
    return {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'<rect x="(\d+)" y="([\d.]+)".*?class="name"[^>]*>([^<]*)<', picture)
    }


def test_lineage_goes_from_left_to_right_and_no_two_boxes_touch():
    of = {
        "a": (),
        "b": (),
        "c": ("a",),
        "d": ("a", "b"),
        "e": ("c", "d"),
        "f": ("a", "e"),
        "g": ("e",),
        "h": ("g", "b"),
    }
    nodes = [Node(label=name, kind="stage", name=name, of=some) for name, some in of.items()]
    at = boxes(lineage.facts(nodes, "t")["picture"])
    assert set(at) == set(of)
    assert all(at[name][0] > at[other][0] for name, some in of.items() for other in some)
    for one in of:
        for two in of:
            if one < two and at[one][0] == at[two][0]:
                assert abs(at[one][1] - at[two][1]) >= lineage.HEIGHT


def test_many_boxes_that_are_all_alike_are_one():
    cells = [Node(label=f"adapter:v@{k}", kind="adapter", name=f"v@{k}", of=("d",)) for k in range(9)]
    first, last = (
        Node(label="d", kind="mix", name="d"),
        Node(label="grid:v", kind="grid", name="v", of=tuple(c.label for c in cells)),
    )
    picture = lineage.facts([first, *cells, last], "t")["picture"]
    assert set(boxes(picture)) == {"d", "v × 9", "v"}
    assert picture.count("<path") == 2
    assert len(boxes(lineage.facts([first, *cells[:4], last], "t")["picture"])) == 6


def test_what_is_around_an_artifact_is_all_before_and_after_it():
    of = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",), "e": ("c", "d")}
    nodes = [Node(label=name, kind="stage", name=name, of=some) for name, some in of.items()]
    assert [node.label for node in lineage.around(nodes, "c")] == ["a", "b", "c", "e"]
    assert [node.label for node in lineage.around(nodes, "c") if node.here] == ["c"]


def test_every_template_is_drawn_by_a_section():
    folder = Path(html.__file__).parent
    sources = "".join(path.read_text() for path in folder.glob("*.py"))
    named = set(re.findall(r'Section\(\s*"([a-z]+)"', sources))
    assert {path.name.removesuffix(".html.j2") for path in folder.glob("templates/*.j2")} == named | {"page", "parts"}
