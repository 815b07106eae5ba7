"""Budgets of the code: structure, words, prose, width and size. `benchmarks/house.py` prints and explains the figures.

A budget may be lowered whenever the code allows it, and raised only with a reason in the commit.
"""

from __future__ import annotations

import ast

import pytest

from benchmarks import house

pytestmark = pytest.mark.slow

MOST = {  # figure -> its ceiling
    "entries": 25,
    "everyday": 6.0,
    "riddles": 2.0,
    "wide_sources": 0,
    "wide_docs": 0,
    "recipe_keys": 350,
    "lines": 57_000,
    "code": 40_300,
}
MOST_FILES = dict.fromkeys(house.KINDS, 3)  # kind of artifact -> how many modules may name it in a string
LEAST_VERB_FIRST = 60.0
MOST_DUPLICATE_CLASSES = 0


@pytest.fixture(scope="module")
def figures() -> house.House:
    return house.house()


@pytest.mark.parametrize("name", MOST)
def test_a_figure_of_the_house_is_within_its_budget(figures, name):
    assert getattr(figures, name) <= MOST[name]


@pytest.mark.parametrize("kind", MOST_FILES)
def test_few_modules_name_a_kind_of_artifact(figures, kind):
    assert figures.files_of_kind[kind] <= MOST_FILES[kind]


def test_a_share_of_docstrings_begins_with_a_verb(figures):
    assert figures.verb_first >= LEAST_VERB_FIRST


def test_class_names_are_unique(figures):
    assert len(figures.duplicate_classes) <= MOST_DUPLICATE_CLASSES, figures.duplicate_classes


def test_modules_are_named_by_nouns(figures):
    assert figures.gerunds == []


@pytest.mark.parametrize(
    "line",
    [
        'kind.name == "eval"',
        'kind.name in ("eval", "grid")',
        '{"eval": 1, "adapter": 2}.get(kind.name)',
        'entries["eval", name]',
        'recipe.of_kind("eval")',
        'table(references={"arm": "eval"})',
        'COLUMNS = (("eval", "passed"),)',
        'needs[f"eval:{name}"]',
        'PATTERN = "eval:*"',
        'f"{file}: eval.{name}"',
        "match kind.name:\n    case 'eval': pass",
        "def f(kind='eval'): pass",
    ],
)
def test_a_string_that_may_mean_a_kind_counts(line):
    assert "eval" in house.strings_of(ast.walk(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        '{"eval": 1, "passed": 2}',
        'key in ("eval", "passed")',
        'for key in ("eval", "passed"): pass',
        'frozenset(["eval", "passed"])',
        'getattr(spec, "eval", None)',
        'count: int = msgspec.field(name="eval")',
        'table(references={"eval": role})',
        'Batching = Literal["eval", "passed"]',
        'class A(Spec, tag="eval"): pass',
    ],
)
def test_a_string_whose_syntax_proves_another_meaning_does_not_count(line):
    assert "eval" not in house.strings_of(ast.walk(ast.parse(line)))


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("Return the rows of a file.", True),
        ("Tries each format in order.", True),
        ("Name of the split.", False),
        ("Store: a folder of blobs.", False),
        ("The rows of a file.", False),
    ],
)
def test_a_docstring_begins_with_a_verb_or_a_noun(text, verb):
    assert house.begins_with_verb(text) is verb


def test_wide_lines_of_markdown_are_counted_but_for_tables_and_json(tmp_path):
    wide = "x" * 121
    path = tmp_path / "a.md"
    path.write_text(f"{wide}\n| {wide} |\n```json\n{wide}\n```\n```python\n{wide}\n```\n{wide}\n")
    assert house.wide_lines(path) == [1, 7, 9]
