"""Pages of every kind as text. test_browser.py opens them in a browser."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from msgspec import structs

from punie_build.artifacts.registry import KINDS
from punie_build.engine import build, build_record, state
from punie_build.errors import IdentityError
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation.comparison import ComparisonResult, compare, verdict_sentence
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import CaseScore
from punie_build.project import Project
from punie_build.reports import build_history, draw, lineage, markdown, terminal
from punie_build.reports.freshness import is_behind
from punie_build.reports.html import Page, render
from punie_build.reports.pages import adapter, preflight
from punie_build.reports.section import recipe_fields
from punie_build.runtime.console import format_points, format_seconds
from punie_build.storage import locks, paths
from punie_build.training import history
from tests.support import sample_project
from tests.support.hostile_text import HOSTILE
from tests.support.project import DATA_ONLY, create, edit


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with all its pages, whose models answer with hostile text."""
    recipe = sample_project.RECIPE + sample_project.GRID
    root = sample_project.build_project(tmp_path_factory.mktemp("project"), recipe, prefix=HOSTILE)
    project = Project.load(root)
    assert [*draw.refresh(project, project.tasks)] == []
    return root


def read(root: Path, name: str) -> str:
    return (root / "reports" / f"{name}.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """The tags and attributes of a page, as a browser parses them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


NAMES = (
    "index", "dataset-sample", "stage-english", "mix-all", "tokens-all@nano-assistant-2048", "preflight-all@nano",
    "adapter-tuned", "grid-sweep", "choice-sweep@1", "model-small", "answers-tuned@tool-calling",
    "eval-tuned@tool-calling", "comparison-tuned", "reference-pairs@nano-assistant-2048-pairs",
)  # fmt: skip


def test_a_page_is_rendered_for_every_kind_of_artifact(root):
    kinds = {kind.name for kind in KINDS.values() if kind.folder} - {"perplexity", "likelihood"}  # elsewhere
    assert {name.partition("-")[0] for name in NAMES} == kinds | {"index"}
    assert all((root / paths.page(task.kind.name, task.name)).exists() for task in Project.load(root).tasks)


def test_the_page_of_a_training_on_pairs_has_its_accuracy_and_margin(root):
    page = read(root, "adapter-preferred")
    assert "pair accuracy" in page
    assert "mean difference of the rewards of both answers" in page
    assert "nats per pair" in page
    assert "nats per token" not in page
    assert ">margin<" not in read(root, "adapter-tuned")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_standalone_and_runs_no_foreign_code(root, name):
    page = read(root, name)
    outline = Outline(page)
    assert "://" not in page
    assert not outline.handlers
    assert "img" not in outline.tags
    assert outline.tags.count("h1") == outline.tags.count("main") == 1
    inside, outside = ([link for link in outline.links if link.startswith("#") is here] for here in (True, False))
    assert {unquote(link[1:]) for link in inside} <= {*outline.ids}
    assert all((root / "reports" / unquote(link)).exists() for link in outside), "links lead to pages"
    assert not re.search(r"[\x00-\x08\x1b\u202a-\u202e\ud800-\udfff]", page)
    assert "Content-Security-Policy" in page
    assert str(root) not in page


def read_comparison(root: Path) -> ComparisonResult:
    return msgspec.json.decode((root / "reports/tuned/comparison.json").read_bytes(), type=ComparisonResult)


def test_a_comparison_page_begins_with_the_verdict_and_its_interval(root):
    page, result = read(root, "comparison-tuned"), read_comparison(root)
    total, delta = result.totals[2], result.differences[1]
    low, high = total.interval
    assert (
        page.index(f"Improved: tuned {format_points(delta.difference)}")
        < page.index(f"Scored on {result.n} cases of the held-out split")
        < page.rindex("1 of 4 gates failed")
        < page.index(f"{total.passed:g} of {result.n} cases, 95 % interval {low:.0%} to {high:.0%}")
        < page.index("Difference from nano")
        < page.index("By category")
        < page.index(">Cases<")
        < page.index("Behavior")
        < page.index("Training")
        < page.index("Model identity")
    )
    cases = len(Project.load(root).recipe.contents["suite:tool-calling"].cases)
    assert page.count('<details class="case') == cases > result.n
    assert page.index("▼ worse</span>") < page.index("▲ better</span>") < page.index("✗ both fail</span>")
    assert "doit comparison:tuned" in page
    assert (
        msgspec.json.decode(re.search(r'id="facts">(.*?)</script>', page)[1].encode(), type=ComparisonResult) == result
    )


def test_a_data_page_shows_every_drop_reason_with_samples(root):
    page = read(root, "stage-english")
    stats = json.loads((root / "data/english/stats.json").read_text())
    dropped = {reason: count for split in stats["splits"].values() for reason, count in split["dropped"].items()}
    assert dropped
    for reason in dropped:
        assert f'<span class="tag">{reason}</span>' in page
    assert page.count('<article class="row">') >= len(dropped)
    assert "Not checked:" in page
    assert "<rect" in page
    mixed = read(root, "mix-all")
    assert mixed.index("dataset:sample") < mixed.index("stage:english") < mixed.index("mix:all")
    assert "hand-authored</th>" in mixed


def test_a_data_page_shows_the_languages_of_its_rows(root):
    [section] = re.findall(r"<h2>Languages</h2>(.*?)</section>", read(root, "dataset-sample"), re.DOTALL)
    assert re.search(r'<th scope="row">en</th>\s*<td class="number">\d+</td>', section)
    assert "training rows: what users and assistants write" in section


def test_pages_say_when_and_where_an_artifact_and_its_sources_were_built(root):
    page, project = read(root, "comparison-tuned"), Project.load(root)
    task = project.task("comparison:tuned")
    record = build_record.read(root, task.target, project.lock(task).key)
    assert f'<p class="soft small">Built {record.time[:10]}' in page
    assert record.machine in page
    [table] = re.findall(r'aria-label="Builds">(.*?)</table>', page, re.DOTALL)
    labels = re.findall(r'<th scope="row">\s*(?:<a [^>]*>)?([^<\s]+)', table)
    assert labels == [each.label for each in project.upstream(task.label, *project.recipe.kinds)]
    assert f"Built {record.time[:10]}" in (root / "reports/comparison-tuned.md").read_text()
    assert record.time[:10] in read(root, "index")


def test_the_terminal_has_the_cases_of_the_result_and_the_build(root):
    project = Project.load(root)
    task = project.task("comparison:tuned")
    result = msgspec.json.decode((project.folder(task) / "comparison.json").read_bytes(), type=ComparisonResult)
    facts = dict(terminal.facts(project, task))
    assert f"on {result.n} cases" in facts["tuned"]
    assert result.n < len(project.recipe.contents["suite:tool-calling"].cases)
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", facts["built"])


def test_a_page_without_a_record_says_since_when_git_has_the_lock(tmp_path):
    create(tmp_path, DATA_ONLY)
    project = Project.load(tmp_path)
    [task] = [task for task in project.tasks if task.label == "dataset:sample"]
    build.build(tmp_path, task)
    (tmp_path / paths.build_records(task.target)).unlink()
    assert build_history.build(project, task).text == ""
    for command in (["init", "-q"], ["add", "data/sample.lock.json"], ["commit", "-qm", "lock"]):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command]
        subprocess.run(git, cwd=tmp_path, check=True, capture_output=True)
    build_record.commit_of.cache_clear()
    commit = build_record.commit_of(project.root).name
    assert f"its lock is of commit {commit[:10]}, 20" in build_history.build(project, task).text


def test_an_adapter_page_marks_the_published_checkpoint(root):
    page = read(root, "adapter-tuned")
    assert "published: 0.611" in page
    assert "last: 0.657" in page
    assert "batch 250 of 300, the best checkpoint" in page
    scores = evaluating.read_scores(root / "reports/tuned@tool-calling")
    assert f'{scores.passed}</td>\n<td class="number">{len(scores.cases)}</td>' in page
    assert page.index("lora.rank") < page.index("fields with default values") < page.index("grad_checkpoint")


def test_an_adapter_page_links_its_comparisons_and_says_how_to_try_it(root):
    page = read(root, "adapter-tuned")
    [line] = re.findall(r'Comparison <a href="comparison-tuned.html">tuned</a>: (.*?)</p>', page, re.DOTALL)
    assert "pp" in line
    assert "1 gate failed" in line
    assert "<code>punie-build chat tuned</code>" in page
    assert f"perplexity {math.exp(0.610909):.3g}" in page


def test_a_selected_adapter_has_the_training_time_of_its_cell(root):
    project = Project.load(root)
    record = json.loads((project.folder("choice:sweep@1") / "choice.json").read_bytes())
    seconds = project.lock(f"adapter:{record['cell']}").seconds
    assert f">{format_seconds(seconds)}</p>" in read(root, "choice-sweep@1")
    assert seconds > project.lock("choice:sweep@1").seconds + 60


def test_a_preflight_page_says_which_recipes_allow_an_issue(root):
    assert "allowed by" not in read(root, "preflight-all@nano")
    project = Project.load(root)
    task = project.task("preflight:all@nano")
    page = preflight.load(project, task, lock=project.lock(task))
    [check] = {issue.check for issue in page.issues}
    section = preflight.issues(structs.replace(page, allowed={check: ["gentle", "tuned"]}))
    assert "allowed by gentle, tuned" in render(Page(title="p", label="preflight", sections=(section,)))


@pytest.mark.parametrize(("train", "remark"), [(0.4, False), (0.2, True)])
def test_a_training_loss_far_below_the_validation_loss_is_remarked(root, train, remark):
    training = history.read(Project.load(root).folder("adapter:tuned"))
    last = structs.replace(training.train[-1], loss=train)
    changed = structs.replace(training, train=(*training.train[:-1], last))
    assert ("learned its rows better" in adapter._gap(changed)) is remark


def test_the_index_links_every_artifact_and_shows_its_state(root):
    project = Project.load(root)
    page = read(root, "index")
    assert f"All {len(project.tasks)} artifacts are current" in page
    for task in project.tasks:
        assert f'href="{lineage.href(project, task)}"' in page
    state.forget(root, project.planned["adapter:tuned"].task)
    try:
        assert [*draw.refresh(Project.load(root))] == []
        page = read(root, "index")
        assert "artifacts are not current" in page
        assert "adapter, stale" in page
    finally:
        (root / paths.forgotten("adapters/tuned")).unlink()
        [*draw.refresh(Project.load(root))]


def test_an_outdated_eval_is_not_shown_on_the_page_of_its_adapter(root):
    path = Project.load(root).folder("answers:tuned@tool-calling") / "answers.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"look into", b"look onto", 1))
    try:
        project = Project.load(root)
        assert "No current eval of tuned" in draw.page(project, project.planned["adapter:tuned"].task)
    finally:
        path.write_bytes(content)


def times(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / "reports").glob("*.html")}


@pytest.mark.slow
def test_only_pages_that_show_a_rebuilt_artifact_are_rendered_again(root):
    tasks = Project.load(root).tasks
    assert not is_behind(root, tasks)
    before = times(root)
    path = root / paths.lock("adapters/tuned")
    newest = max(before.values()) + 10**9
    os.utime(path, ns=(newest, newest))
    assert is_behind(root, tasks)
    [*draw.refresh(Project.load(root))]
    assert {name for name, time in times(root).items() if time != before[name]} == {
        "index.html", "experiments.html", "adapter-tuned.html", "mix-all.html", "stage-english.html",
        "dataset-sample.html",
        "dataset-hand-authored.html", "tokens-all@nano-assistant-2048.html", "answers-tuned@tool-calling.html",
        "eval-tuned@tool-calling.html", "comparison-tuned.html", "preflight-all@nano.html", "model-small.html",
    }  # fmt: skip


def test_an_edited_gate_is_on_the_pages_though_nothing_is_built(tmp_path):
    create(tmp_path, DATA_ONLY)
    for task in Project.load(tmp_path).tasks:
        build.build(tmp_path, task)
    assert [*draw.refresh(Project.load(tmp_path))] == []
    pages = {name: tmp_path / "reports" / f"{name}.html" for name in ("stage-clean", "index")}
    assert "Gates" not in pages["stage-clean"].read_text()
    [recipe] = (tmp_path / "recipes").glob("*.toml")
    later = pages["index"].stat().st_mtime_ns + 10**9
    for text, count in (('gates = [{ metric = "rows", min = 1e6 }]', 2), ("# a remark", 0)):
        recipe.write_text(recipe.read_text() + text + "\n")
        os.utime(recipe, ns=(later, later))
        project = Project.load(tmp_path)
        assert all(project.is_current(task.label) for task in project.tasks)
        assert is_behind(tmp_path, project.tasks)
        assert len(draw._outdated(project)) == count, "a remark in a recipe draws no page"
        assert [*draw.refresh(project)] == []
    assert "is below" in pages["stage-clean"].read_text()
    assert "1 gate failed" in pages["index"].read_text()


def test_pages_of_earlier_builds_are_marked_until_they_are_current_again(tmp_path):
    root = create(tmp_path, DATA_ONLY)
    project = Project.load(root)
    for task in project.tasks:
        build.build(root, task)
    assert [*draw.refresh(Project.load(root))] == []
    gone = root / paths.page("stage", "gone")
    gone.write_text("<main>of old</main>")
    (root / "reports/my-own.html").write_text("<main></main>")
    edit(root, "messages = 2", "messages = 3")
    [*draw.refresh(Project.load(root))]
    assert "stage:clean is not current" in read(root, "stage-clean")
    assert "punie-build prune" in gone.read_text()
    assert draw.MARK not in read(root, "my-own") + read(root, "dataset-sample") + read(root, "index")
    marked = read(root, "stage-clean")
    [*draw.refresh(Project.load(root))]
    assert read(root, "stage-clean") == marked, "a page is marked once"
    edit(root, "messages = 3", "messages = 2")
    project = Project.load(root)
    assert is_behind(root, project.tasks)
    [*draw.refresh(project)]
    assert draw.MARK not in read(root, "stage-clean")
    assert not is_behind(root, project.tasks)


def test_pages_are_not_outputs_of_any_artifact(root):
    for task in Project.load(root).tasks:
        assert state.state(root, task) == "current"
        lock = locks.read(root / paths.lock(task.target))
        assert not any(name.endswith((".html", "README.md")) for name in lock.outputs)


def test_a_difference_on_few_cases_is_not_significant():
    def arm(name: str, passes: int, n: int, canary: str) -> Scores:
        cases = tuple(
            CaseScore(
                case=f"{k}",
                category="c",
                score=float(k < passes),
                passes=int(k < passes),
                failure="" if k < passes else "no call",
            )
            for k in range(n)
        )
        return Scores(arm=name, suite="s", cases=cases, canary=canary, base_canary="a")

    result = compare("c", [arm("nano", 10, 14, "a"), arm("tuned", 12, 14, "b")])
    assert result.differences[0].verdict == "inconclusive"
    assert "no difference found" in verdict_sentence(result.differences[0], 14, "nano")
    assert "minimum detectable effect" in verdict_sentence(result.differences[0], 14, "nano")
    assert compare("c", [arm("tuned", 40, 60, "b"), arm("nano", 10, 60, "a")]).differences[0].verdict == "regressed"
    with pytest.raises(IdentityError, match="have the same weights"):
        compare("c", [arm("nano", 1, 9, "a"), arm("tuned", 2, 9, "a")])


def test_a_comparison_is_written_in_markdown_for_pull_requests(root):
    text, result = (root / "reports/comparison-tuned.md").read_text(), read_comparison(root)
    total = result.totals[2]
    low, high = total.interval
    assert text.startswith(f"## ▲ Improved: tuned {format_points(result.differences[1].difference)}\n")
    assert f"| tuned | {total.passed:g} of {result.n} | {total.rate:.0%} ({low:.0%} to {high:.0%}) |" in text
    assert "| `tuned.share` | ✗" in text
    assert "regressions</summary>" in text
    assert "<script" not in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert markdown.cell("a|b\n<i> @me *x*") == "a\\|b \\<i\\> @\u200bme \\*x\\*"


def test_recipe_fields_are_listed_with_values_and_defaults(root):
    fields = {field.name: field for field in recipe_fields(Project.load(root).recipe.entries["adapter", "tuned"].spec)}
    assert (fields["lora.rank"].value, fields["lora.rank"].is_default) == ("16", False)
    assert (fields["lora.scale"].value, fields["lora.scale"].is_default) == ("20", True)
    assert "gates" not in fields


def test_a_default_that_a_kind_has_for_a_nested_field_is_a_default(recipes):
    recipe = '[dataset.a]\nsource = { type = "local", path = "a" }\n[mix.b]\nfrom = ["a"]\nsplit = { test = 0.2 }\n'
    project = Project.load(recipes(recipe))
    shown = {
        label: [field.name for field in recipe_fields(project.task(label).spec) if not field.is_default]
        for label in ("dataset:a", "mix:b")
    }
    assert shown == {"dataset:a": ["source"], "mix:b": ["from", "split.test"]}
    [source] = [field.value for field in recipe_fields(project.task("dataset:a").spec) if field.name == "source"]
    assert source == "local: path = a"


def test_the_page_is_drawn_after_the_card_so_that_its_time_speaks_for_both(root):
    """A build that is killed between them would leave the adapter without its card."""
    project = Project.load(root)
    task = project.planned["adapter:tuned"].task
    draw.draw(project, task)
    card, page = root / task.target / paths.CARD, root / paths.page("adapter", "tuned")
    assert card.stat().st_mtime_ns <= page.stat().st_mtime_ns
