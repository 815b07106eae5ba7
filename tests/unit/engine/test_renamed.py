"""Renamed entries: what was built under other names is restored, and nothing that differs in more than names."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from punie_build.engine import build
from punie_build.engine import state as states
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.plan import plan
from punie_build.engine.task import AnyTask, Task
from punie_build.engine.work import StepResult
from punie_build.storage import locks, paths, store

KIND = ArtifactKind(name="model", folder="models", version=1, references={"adapter": "trained"}, nameless=True)


def write(work):
    (work.out / "weights").write_text("weights")
    return StepResult("made", {"size": 7.0})


def model(name: str, adapter: str, kind: ArtifactKind = KIND, **recipe: object) -> AnyTask:
    """Return the task of a model of an adapter, with the tokens that both read."""
    inputs = (f"adapters/{adapter}", "data/all@tokens")
    return Task(
        kind=structs.replace(kind, step=write),
        name=name,
        spec=None,
        recipe={"adapter": adapter, **recipe},
        inputs=inputs,
    )


@pytest.fixture
def root(tmp_path) -> Path:
    """Return a project in which the model `old` of the adapter `v1` is built; `v2` has the same bytes, `v3` others."""
    for name, text in (("adapters/v1", "a"), ("adapters/v2", "a"), ("adapters/v3", "b"), ("data/all@tokens", "t")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(text)
    assert build.build(tmp_path, model("old", "v1", bits=4)).action == "ran"
    return tmp_path


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_result_of_renamed_entries_is_restored_with_the_key_of_today(root, name):
    task = model(name, "v2", bits=4)
    [planned] = plan(root, [task])
    assert (planned.action, planned.last_seconds) == ("restore", locks.read(root / "models/old.lock.json").seconds)
    outcome = build.build(root, task)
    assert (outcome.action, outcome.message) == ("restored", "restored from the store, where it is models/old")
    assert (root / task.target / "weights").read_text() == "weights"
    lock = locks.read(root / paths.lock(task.target))
    assert (lock.key_inputs.recipe["adapter"], lock.metrics) == ("v2", {"size": 7.0})
    assert states.state(root, task) == "current"
    (root / paths.lock("models/old")).unlink(missing_ok=True)
    shutil.rmtree(root / task.target)
    assert build.build(root, task).message == "restored from the store"


def rename(folder, spec):
    (folder / "weights").write_text(f"weights of {spec}")


def test_a_name_in_the_files_is_rewritten_and_what_the_store_has_is_not(root):
    task = structs.replace(model("new", "v2", bits=4, kind=structs.replace(KIND, rename=rename)), spec="v2")
    assert build.build(root, task).message == "restored from the store, where it is models/old"
    assert (root / "models/new/weights").read_text() == "weights of v2"
    assert states.state(root, task) == "current"
    shutil.rmtree(root / "models/new")
    assert build.build(root, task).message == "restored from the store"
    assert (root / "models/new/weights").read_text() == "weights of v2"
    shutil.rmtree(root / "models/old")
    assert build.build(root, model("old", "v1", bits=4)).action == "restored"
    assert (root / "models/old/weights").read_text() == "weights"


@pytest.mark.parametrize(
    "task",
    [
        model("new", "v3", bits=4),
        model("new", "v2", bits=8),
        model("new", "v2", bits=4, kind=structs.replace(KIND, version=2)),
        model("new", "v2", bits=4, kind=structs.replace(KIND, nameless=False)),
        model("new", "v2", bits=4, kind=structs.replace(KIND, name="other")),
    ],
    ids=["another adapter", "another value", "another version", "files with names", "another kind"],
)
def test_what_differs_in_more_than_names_is_built(root, task):
    [planned] = plan(root, [task])
    assert planned.action == "run"
    assert build.build(root, task).action == "ran"


def test_files_that_a_person_accepted_are_not_taken_for_another_name(root):
    path = root / "models/old.lock.json"
    locks.write(path, structs.replace(locks.read(path), accepted=("recipe.bits: 8 -> 4",)))
    assert build.build(root, model("new", "v2", bits=4)).action == "ran"


def test_a_lost_store_or_a_forgotten_target_is_built(root):
    states.forget(root, model("new", "v2", bits=4))
    assert build.build(root, model("new", "v2", bits=4)).action == "ran"
    shutil.rmtree(root / "models/new")
    (root / paths.lock("models/new")).unlink()
    shutil.rmtree(store.blob(root, "0" * 64).parents[2])
    [planned] = plan(root, [model("new", "v2", bits=4)])
    assert planned.action == "run"
    assert build.build(root, model("new", "v2", bits=4)).action == "ran"


def test_damaged_locks_in_the_folder_are_passed_over(root):
    (root / "models/a.lock.json").write_bytes(b"{")
    (root / "models/b.lock.json").mkdir()
    (root / "models/c.lock.json").write_bytes(msgspec.json.encode({"key": 3}))
    assert build.build(root, model("new", "v2", bits=4)).action == "restored"
