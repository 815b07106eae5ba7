from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import field

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, EntryReference, Recipe, references
from punie_build.schema.spec import Spec
from tests.support.profiles import examples

FIELDS = {"from": "text", "serving.draft": "base", "filters[].base": "base", "parts[].inner[].name": "text"}
NOTE = ArtifactKind(name="note", folder="notes", references=FIELDS, roles=("text",))
SUITE = ArtifactKind(name="suite")


class NoteSpec(Spec, frozen=True, kw_only=True):
    from_: tuple[str, ...] = field(name="from", default=())


def names(table: dict) -> list[tuple[str, str, str]]:
    return [(reference.field, reference.role, reference.name) for reference in references(NOTE, table)]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, []),
        ({"from": "a"}, [("from", "text", "a")]),
        ({"from": ["a", "b"]}, [("from[0]", "text", "a"), ("from[1]", "text", "b")]),
        ({"from": ("a",)}, [("from[0]", "text", "a")]),
        ({"from": {"name": "a", "weight": 2}}, [("from", "text", "a")]),
        ({"from": [{"name": "a"}, "b", {"weight": 2}, 3]}, [("from[0]", "text", "a"), ("from[1]", "text", "b")]),
        ({"serving": {"draft": "small"}}, [("serving.draft", "base", "small")]),
        ({"filters": [{"type": "x"}, {"base": "b"}]}, [("filters[1].base", "base", "b")]),
        ({"parts": [{"inner": [{"name": "a"}]}]}, [("parts[0].inner[0].name", "text", "a")]),
    ],
)
def test_a_reference_is_read_from_a_field_a_list_or_a_nested_table(table, expected):
    assert names(table) == expected


@pytest.mark.parametrize(
    "table",
    [{"serving": "no table"}, {"serving": None}, {"serving": {}}, {"filters": {}}, {"filters": [3]}, {"filters": "x"}],
)
def test_a_table_with_mistakes_has_no_reference_at_the_mistake(table):
    assert names(table) == []


values = st.recursive(
    st.none() | st.integers() | st.sampled_from(("a", "b")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("name", "base", "draft", "inner")), inner, max_size=3)
    ),
    max_leaves=6,
)


@examples(200)
@given(st.dictionaries(st.sampled_from(("from", "serving", "filters", "parts")), values))
def test_every_reference_of_any_table_is_a_name_at_the_path_that_it_states(table):
    for reference in references(NOTE, table):
        value = table
        for key in reference.field.replace("[", ".[").split("."):
            value = value[int(key[1:-1])] if key.startswith("[") else value[key]
        assert reference.name == (value["name"] if isinstance(value, dict) else value)
        assert reference.role in ("text", "base")


def recipe(*entries: Entry, contents: dict | None = None) -> Recipe:
    return Recipe(
        kinds={"note": NOTE, "suite": SUITE},
        entries={(entry.kind.name, entry.name): entry for entry in entries},
        contents=contents or {},
    )


def test_an_entry_is_found_by_its_kind_or_by_a_role_of_its_kind():
    note, suite = Entry(NOTE, "a", NoteSpec(), "r.toml"), Entry(SUITE, "a", None, "r.toml")
    entries = recipe(note, suite)
    assert entries.find("note", "a") is entries.find("text", "a") is entries.resolve("text", "a") is note
    assert entries.find("suite", "a") is suite
    assert entries.find("text", "b") is None
    assert entries.find("base", "a") is None
    assert list(entries.of_role("text")) == list(entries.of_kind("note")) == [note]
    assert list(entries.of_kind("text")) == []


def test_the_content_of_an_entry_is_found_by_its_label():
    suite = Entry(SUITE, "a", None, "r.toml")
    assert recipe(suite, contents={"suite:a": "cases"}).content(suite) == "cases"


def test_an_entry_names_its_place_its_target_and_its_table():
    note = Entry(NOTE, "a", NoteSpec(from_=("b",)), "recipes/r.toml")
    assert (note.label, note.where, note.target) == ("note:a", "recipes/r.toml: note.a", "notes/a")
    assert note.origin == ("note", "a")
    assert Entry(NOTE, "a", None, "r.toml", table=("grid", "g")).origin == ("grid", "g")
    assert list(note.references) == [EntryReference("from[0]", "text", "b")]
    assert list(Entry(SUITE, "a", None, "r.toml").references) == []


@pytest.mark.parametrize(
    ("path", "builder"),
    [
        ("notes/a", "note:a"),
        ("notes/a/train.jsonl", "note:a"),
        ("notes/b", None),
        ("notes", None),
        ("other/a", None),
        ("notes/a@checked", "check:a"),
    ],
)
def test_the_builder_of_a_path_is_the_entry_whose_target_holds_it(path, builder):
    checks = ArtifactKind(name="check", folder="notes", suffix="@checked")
    entries = [Entry(kind, "a", NoteSpec(), "r.toml") for kind in (NOTE, checks, SUITE)]
    recipe = Recipe(
        kinds={kind.name: kind for kind in (SUITE, checks, NOTE)},
        entries={(entry.kind.name, entry.name): entry for entry in entries},
    )
    entry = recipe.builder_of(path)
    assert (entry and entry.label) == builder
