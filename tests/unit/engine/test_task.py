from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, field, structs

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import Task, TaskInputs, closure, graph, key_values, select, with_needs
from punie_build.errors import UseError
from punie_build.schema.spec import Spec
from tests.support.profiles import examples
from tests.support.text_tasks import text_task


class NoteSpec(Spec, frozen=True, kw_only=True):
    from_: tuple[str, ...] = field(name="from", default=())
    description: str = ""
    temporary: bool = False
    width: int = 80


class NoteDetails(Struct, frozen=True):
    digest: str


def note_inputs(recipe: Recipe, entry: Entry[NoteSpec]) -> TaskInputs:
    needs = tuple(recipe.resolve(reference.role, reference.name) for reference in entry.references)
    return TaskInputs(doc=f"note of {len(needs)}", needs=needs, inputs=tuple(need.target for need in needs))


NOTE = ArtifactKind(
    name="note", folder="notes", spec=NoteSpec, references={"from": "note"}, inputs=note_inputs, version=1
)
SUITE = ArtifactKind(name="suite")


def recipe(*entries: Entry[Any]) -> Recipe:
    kinds = {"note": NOTE, "suite": SUITE}
    return Recipe(kinds=kinds, entries={(entry.kind.name, entry.name): entry for entry in entries})


def note(name: str, *needs: str, builtin: bool = False, **fields: Any) -> Entry[NoteSpec]:
    return Entry(NOTE, name, NoteSpec(from_=needs, **fields), "recipes/r.toml", builtin)


def names(tasks: list[Task[Any]]) -> list[str]:
    return [task.name for task in tasks]


def test_a_task_follows_the_tasks_that_it_needs():
    tasks = graph(recipe(note("end", "left", "right"), note("left", "first"), note("right", "first"), note("first")))
    assert names(tasks) == ["first", "left", "right", "end"]
    assert tasks[-1].needs == {"note:left": "notes/left", "note:right": "notes/right"}
    assert tasks[-1].needed("note") == "notes/left"
    assert (tasks[0].label, tasks[0].target, tasks[0].doc) == ("note:first", "notes/first", "note of 0")


def test_a_builtin_entry_is_built_only_where_a_task_needs_it():
    entries = recipe(note("used", builtin=True), note("unused", builtin=True), note("mine", "used"))
    assert names(graph(entries)) == ["used", "mine"]


def test_an_entry_of_a_kind_that_is_not_built_has_no_task():
    assert names(graph(recipe(Entry(SUITE, "s", None, "r.toml"), note("a")))) == ["a"]


def test_a_long_chain_does_not_exhaust_the_stack():
    chain = [note(f"n{n}", *([f"n{n + 1}"] if n < 2999 else [])) for n in range(3000)]
    assert names(graph(recipe(*chain))) == [f"n{n}" for n in reversed(range(3000))]


@examples(100)
@given(
    st.lists(st.sets(st.integers(0, 9), max_size=4), min_size=1, max_size=10),
    st.sets(st.integers(0, 9)),
    st.randoms(use_true_random=False),
)
def test_the_graph_has_each_entry_once_and_after_its_needs(edges, builtin, rng):
    needs = {n: sorted(need for need in found if need < n) for n, found in enumerate(edges)}
    entries = [note(f"n{n}", *(f"n{need}" for need in needs[n]), builtin=n in builtin) for n in needs]
    rng.shuffle(entries)
    order = names(graph(recipe(*entries)))
    roots = {f"n{n}" for n in needs if n not in builtin}
    assert set(order) == closure(roots, lambda name: [f"n{need}" for need in needs[int(name[1:])]])
    assert len(order) == len(set(order))
    for n, required in needs.items():
        if f"n{n}" in order:
            assert all(order.index(f"n{need}") < order.index(f"n{n}") for need in required)


def test_the_inputs_that_are_temporary_are_marked():
    tasks = graph(recipe(note("a", temporary=True), note("b"), note("c", "a", "b")))
    assert [task.temporary for task in tasks] == [True, False, False]
    assert tasks[-1].temporary_inputs == ("notes/a",)


def test_the_description_of_a_recipe_is_the_doc_of_its_task():
    [task] = graph(recipe(note("a", description="the first")))
    assert task.doc == "the first"
    assert (task.file, task.table) == ("recipes/r.toml", ("note", "a"))


def test_key_values_leave_out_the_fields_that_decide_no_byte_and_add_details():
    spec = NoteSpec(from_=("a",), description="x", temporary=True)
    assert key_values(NOTE, spec) == {"from": ("a",), "width": 80}
    assert key_values(NOTE, spec, NoteDetails("d")) == {"from": ("a",), "width": 80, "digest": "d"}


class Folder(Struct, frozen=True):
    """An external input in the project."""

    path: str | None

    def locate(self, root: Path) -> Path:
        return root / str(self.path)


def test_the_files_that_are_read_do_not_restrict_an_external_input():
    task = Task(kind=NOTE, name="a", spec=None, reads=("text",), external={"base": Folder("models/own")})
    assert task.files_read("notes/b") == ("text",)
    assert task.files_read("models/own") == ()


def test_a_closure_has_the_labels_and_all_that_they_need():
    needs = {"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a"]}
    assert closure(["a"], needs.__getitem__) == {"a", "b", "c"}
    assert closure([], needs.__getitem__) == set()


def test_the_tasks_of_labels_with_their_needs_stay_in_order():
    tasks = [text_task("a"), text_task("b", "a"), text_task("c"), text_task("d", "b")]
    assert names(with_needs(tasks, ["stage:d"])) == ["a", "b", "d"]
    assert names(with_needs(tasks, ["stage:c", "stage:a"])) == ["a", "c"]
    assert with_needs(tasks, []) == []


def test_select_returns_the_tasks_of_labels_and_rejects_unknown_ones():
    tasks = [text_task("first"), text_task("second")]
    assert names(select(tasks, ["stage:second", "stage:first"])) == ["second", "first"]
    with pytest.raises(UseError, match=r"^stage:frst: no such artifact - did you mean 'stage:first'\?$"):
        select(tasks, ["stage:first", "stage:frst"])


def test_an_artifact_is_selected_by_its_name_alone_if_no_other_has_it():
    tasks = [text_task("first"), text_task("second")]
    assert names(select(tasks, ["second", "stage:first"])) == ["second", "first"]
    with pytest.raises(UseError, match=r"^frst: no such artifact - did you mean 'stage:first'\?$"):
        select(tasks, ["frst"])
    note = structs.replace(text_task("first"), kind=NOTE)
    with pytest.raises(UseError, match=r"^first: several artifacts .* - name one of stage:first, note:first$"):
        select([*tasks, note], ["first"])
    assert select([*tasks, note], ["note:first"]) == [note]


def test_the_table_of_a_grid_is_selected_as_its_ranking():
    ranking = structs.replace(text_task("sweep"), table=("adapter", "sweep"))
    cell = structs.replace(text_task("sweep@a"), table=("adapter", "sweep"))
    assert select([cell, ranking], ["adapter:sweep"]) == select([cell, ranking], ["sweep"]) == [ranking]
