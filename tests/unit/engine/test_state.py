from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec import Struct, field, structs

from punie_build.engine import build, state
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.runtime import versions
from punie_build.schema.spec import Spec, classes
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import KeyInputs, Lock
from tests.support.text_tasks import text_task, with_step


def step(work: Work) -> StepResult:
    (work.out / "text").write_text("text")
    return StepResult("built")


def task(**recipe: Any) -> Task:
    return text_task("s", inputs=("raw.txt",), **recipe)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    return tmp_path


def edit(root: Path) -> None:
    (root / "data/s/text").write_text("edited")


def remove(root: Path) -> None:
    shutil.rmtree(root / "data/s")


@pytest.mark.parametrize(
    ("change", "expected", "expected_if_temporary"),
    [
        (lambda root: None, "current", "current"),
        (edit, "edited", "edited"),
        (remove, "absent", "removed"),
        (lambda root: (root / "raw.txt").write_text("other"), "stale", "stale"),
        (lambda root: (root / "data/s.lock.json").unlink(), "absent", "absent"),
        (lambda root: state.forget(root, task()), "forgotten", "forgotten"),
        (lambda root: (remove(root), (root / "raw.txt").write_text("other")), "absent", "absent"),
    ],
)
def test_the_state_of_a_target_follows_its_files(root, change, expected, expected_if_temporary):
    build.build(root, with_step(task(), step))
    change(root)
    assert state.state(root, task()) == expected
    assert state.state(root, structs.replace(task(), temporary=True)) == expected_if_temporary


def test_a_target_that_has_only_notes_in_its_card_does_not_exist(tmp_path):
    adapter = ArtifactKind(name="adapter", folder="adapters", version=1)
    target = structs.replace(task(), kind=adapter)
    folder = tmp_path / "adapters/s"
    folder.mkdir(parents=True)
    assert not state.exists(tmp_path, "adapters/s")
    (folder / "README.md").write_text("notes")
    assert not state.exists(tmp_path, "adapters/s")
    (folder / "weights").write_text("weights")
    assert state.exists(tmp_path, "adapters/s")
    state.clean(tmp_path, target)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert "notes" in (folder / "README.md").read_text()


def test_to_clean_an_absent_target_is_no_error(tmp_path):
    state.clean(tmp_path, task())
    assert not (tmp_path / "data").exists()


def test_a_removed_temporary_input_has_the_digest_of_its_lock(root):
    build.build(root, with_step(task(), step))
    user = structs.replace(text_task("user", "s"), temporary_inputs=("data/s",), reads=("text",))
    present = state.input_digest(root, user, "data/s")
    shutil.rmtree(root / "data/s")
    assert state.input_digest(root, user, "data/s") == present
    assert state.input_digest(root, structs.replace(user, temporary_inputs=()), "data/s") == "absent"
    (root / "data/s.lock.json").unlink()
    assert state.input_digest(root, user, "data/s") == "absent"


class Model(Struct, frozen=True):
    """An external input that states its identity."""

    path: str | None = None

    def identity(self, root: Path, pointers: bool = False) -> str:
        return "pointers" if pointers else "files"


def test_an_external_input_that_is_built_here_is_no_second_input(tmp_path):
    hub, own = Model(), Model("models/own")
    reader = structs.replace(task(), external={"hub": hub, "own": own}, inputs=("models/own",))
    assert state.external_inputs(tmp_path, reader) == {"hub": "files"}
    assert state.external_inputs(tmp_path, reader, pointers=True) == {"hub": "pointers"}


class Filter(Spec, frozen=True, kw_only=True):
    PACKAGES: ClassVar[tuple[str, ...]] = ("msgspec",)


class Filters(Spec, frozen=True, kw_only=True):
    filters: tuple[Filter, ...] = ()


def test_tools_are_the_packages_of_the_kind_and_of_the_values_and_its_environment():
    kind = ArtifactKind(name="note", packages=("doit",), environment=lambda: {"device": "cpu"})
    assert state.tools(kind, classes(Filters(filters=(Filter(),)))) == {
        "doit": versions.version("doit"),
        "msgspec": versions.version("msgspec"),
        "device": "cpu",
    }
    assert state.tools(ArtifactKind(name="note"), classes(Filters())) == {}


class Inner(Spec, frozen=True, kw_only=True):
    old: int = 1
    new: int = 2
    table: dict[str, int] = field(default_factory=dict)


class Outer(Spec, frozen=True, kw_only=True):
    required: int
    inner: Inner = Inner()
    items: tuple[Inner, ...] = ()


def lock_of(recipe: dict[str, Any]) -> Lock:
    inputs = KeyInputs(kind="stage", recipe=recipe, code="version 1", inputs={}, tools={})
    return Lock(key=inputs.key, key_inputs=inputs, outputs={}, seconds=1.0)


@pytest.mark.parametrize(
    ("spec", "recorded", "is_same"),
    [
        (Outer(required=1), {"required": 1}, True),
        (Outer(required=1), {"required": 1, "inner": {"old": 1}}, True),
        (Outer(required=1), {"required": 1, "inner": {"old": 2}}, False),
        (Outer(required=1, inner=Inner(new=3)), {"required": 1, "inner": {"old": 1}}, False),
        (Outer(required=1, inner=Inner(table={"a": 1})), {"required": 1, "inner": {"old": 1, "new": 2}}, False),
        (Outer(required=1, items=(Inner(),)), {"required": 1, "items": [{"old": 1}]}, True),
        (Outer(required=1, items=(Inner(),)), {"required": 1, "items": [{"old": 1}, {"old": 1}]}, False),
        (Outer(required=1), {"inner": {"old": 1}}, False),
        (Outer(required=1), {"required": 1, "removed": 1}, False),
    ],
)
def test_a_field_that_a_lock_lacks_is_no_change_while_it_has_its_default(spec, recorded, is_same):
    """The recipe of a task may have values that are not in its spec: they are compared as they are."""
    both = {"details": "of the step"}
    user = structs.replace(text_task("s"), spec=spec, recipe=msgspec.to_builtins(spec) | both)
    lock = lock_of(recorded | both)
    assert (state.expected(user, {}, {}, lock).key == lock.key) is is_same
    assert bool(state.changes(user, lock, state.expected(user, {}, {}, lock))) is not is_same
    assert state.expected(user, {}, {}).recipe == user.recipe


def test_the_key_inputs_are_the_digests_of_the_inputs(root):
    found = state.key_inputs(root, task(a=1))
    assert found.inputs == {"raw.txt": digests.of_file(root / "raw.txt")}
    assert (found.kind, found.recipe, found.code, found.tools) == ("stage", {"a": 1}, "version 1", {})


def test_a_mark_of_forget_is_removed_by_the_next_build(root):
    state.forget(root, task())
    build.build(root, with_step(task(), step))
    assert not (root / paths.forgotten("data/s")).exists()
    assert locks.read(root / paths.lock("data/s"))
