"""The plan of a build, and that the build then follows it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from punie_build.artifacts.training import ADAPTER
from punie_build.engine import state
from punie_build.engine.plan import summary
from punie_build.engine.task import with_needs
from punie_build.storage import digests, paths
from punie_build.storage.locks import KeyInputs, Lock
from punie_build.training.spec import Adapter
from tests.support.text_project import TextProject, task


@pytest.fixture
def chain(tmp_path) -> TextProject:
    """Return the graph a -> b -> c -> d."""
    return TextProject(tmp_path, task("a"), task("b", "a"), task("c", "b"), task("d", "c"))


@pytest.fixture
def diamond(tmp_path) -> TextProject:
    """Return the graph a -> left, right -> end."""
    return TextProject(tmp_path, task("a"), task("left", "a"), task("right", "a"), task("end", "left", "right"))


def summary_of(project: TextProject) -> str:
    return summary(project.plan().values())


def test_all_tasks_run_if_no_target_is_built(diamond):
    planned = diamond.plan()
    assert {(each.action, each.state, each.forecast, each.reasons) for each in planned.values()} == {
        ("run", "absent", "RUN", ())
    }
    assert summary_of(diamond) == "4 to run"


def test_targets_that_are_built_are_current(diamond):
    diamond.build()
    planned = diamond.plan()
    assert {(each.action, each.state, each.forecast) for each in planned.values()} == {
        ("current", "current", "nothing to do")
    }
    assert summary_of(diamond) == "4 artifacts, all current"
    assert diamond.build() == []


def test_tasks_behind_an_edit_may_run_and_state_their_last_duration(chain):
    chain.build()
    chain.set_seconds(75.0)
    chain.salt("b", 1)
    planned = chain.plan()
    assert [each.action for each in planned.values()] == ["current", "run", "maybe", "maybe"]
    assert (planned["b"].state, planned["b"].forecast) == ("stale", "RUN, 1 min 15 s last time")
    assert planned["b"].reasons == ("recipe.salt: 0 -> 1",)
    assert planned["c"].state == "waits"
    assert planned["c"].forecast == "RUN, 1 min 15 s last time, or nothing if its inputs come out the same"
    assert planned["c"].reasons == ("data/b is built first",)
    assert summary_of(chain) == "1 to run (about 1 min 15 s), 2 to run unless cut off (at most 2 min 30 s), 1 current"
    assert chain.build() == ["b", "c", "d"]


def test_tasks_before_an_edit_and_beside_it_stay_current(diamond):
    diamond.build()
    diamond.salt("left", 1)
    assert diamond.actions() == {"a": "current", "left": "run", "right": "current", "end": "maybe"}
    assert diamond.plan()["end"].reasons == ("data/left is built first",)


def test_a_step_with_the_same_result_cuts_the_build_off(tmp_path):
    project = TextProject(tmp_path, task("a", width=0), task("b", "a", reads=("text",)))
    project.build()
    project.salt("a", 1)
    assert project.actions() == {"a": "run", "b": "maybe"}
    assert project.build() == ["a"]
    project.salt("a", 0)
    assert project.actions() == {"a": "restore", "b": "current"}, "the files of a restored target are known"


def test_tasks_behind_a_restored_target_are_decided(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    chain.set_seconds(4.0)
    chain.salt("b", 0)
    planned = chain.plan()
    assert chain.actions() == {"a": "current", "b": "restore", "c": "restore", "d": "restore"}
    assert planned["b"].forecast == "RESTORE, 4.0 s saved"
    assert planned["b"].reasons == ("recipe.salt: 1 -> 0",)
    assert planned["d"].reasons[0].startswith("inputs.data/c: ")
    assert summary_of(chain) == "3 to restore, 1 current"
    assert chain.build() == []


def test_a_new_task_behind_a_restored_target_is_known_to_run(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    chain.salt("b", 0)
    chain.salt("c", 7)
    assert chain.actions() == {"a": "current", "b": "restore", "c": "run", "d": "maybe"}
    assert chain.build() == ["c", "d"]


def test_a_removed_or_edited_target_is_restored_and_its_users_stay_current(chain):
    chain.build()
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/c/text").write_text("edited")
    (chain.root / "data/d.lock.json").unlink()
    planned = chain.plan()
    assert {name: (each.state, each.action) for name, each in planned.items()} == {
        "a": ("current", "current"),
        "b": ("absent", "restore"),
        "c": ("edited", "restore"),
        "d": ("absent", "restore"),
    }
    assert chain.build() == []


def test_without_a_store_removed_and_edited_targets_are_built(chain):
    chain.build()
    shutil.rmtree(chain.root / paths.STATE / "store")
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/d/text").write_text("edited")
    assert chain.actions() == {"a": "current", "b": "run", "c": "maybe", "d": "run"}
    assert chain.build() == ["b", "d"], "b has the same result, so c is cut off"


def test_a_forgotten_target_is_built_though_the_store_has_it(chain):
    chain.build()
    state.forget(chain.root, chain.tasks["b"])
    state.forget(chain.root, chain.tasks["d"])
    planned = chain.plan()
    assert {name: (each.state, each.action) for name, each in planned.items()} == {
        "a": ("current", "current"),
        "b": ("forgotten", "run"),
        "c": ("waits", "maybe"),
        "d": ("forgotten", "run"),
    }
    assert chain.build() == ["b", "d"]
    assert set(chain.actions().values()) == {"current"}


def test_a_removed_target_behind_a_run_is_built_or_restored(chain):
    chain.build()
    chain.set_seconds(3.0)
    state.forget(chain.root, chain.tasks["a"])
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/c/text").write_text("edited")
    planned = chain.plan()
    assert [(each.state, each.action) for each in planned.values()] == [
        ("forgotten", "run"),
        ("absent", "maybe"),
        ("edited", "maybe"),
        ("waits", "maybe"),
    ]
    assert planned["b"].forecast == "RUN, 3.0 s last time, or RESTORE if its inputs come out the same"
    assert chain.build() == ["a"]


def test_an_edited_task_behind_a_run_may_be_restored_if_the_store_has_its_key(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    state.forget(chain.root, chain.tasks["a"])
    chain.salt("b", 0)
    assert (chain.plan()["b"].state, chain.actions()["b"]) == ("stale", "maybe")
    assert chain.plan()["b"].reasons == ("recipe.salt: 1 -> 0", "data/a is built first")
    chain.salt("b", 2)
    assert chain.actions()["b"] == "run"
    assert chain.plan()["b"].reasons == ("recipe.salt: 1 -> 2",)


def test_an_input_that_was_never_built_is_reported_as_such(chain):
    chain.build()
    chain.set_seconds(2.0)
    extended = msgspec.structs.replace(chain.tasks["d"], needs=("stage:c", "stage:new"), inputs=("data/c", "data/new"))
    chain.tasks = {"new": task("new"), **chain.tasks, "d": extended}
    planned = chain.plan()
    assert planned["d"].action == "run"
    assert planned["d"].reasons == ("inputs.data/new: (none) -> not built yet",)
    assert summary_of(chain) == "2 to run (about 2.0 s, and 1 for the first time), 3 current"


def test_the_summary_counts_tasks_that_never_ran(chain):
    chain.build()
    chain.set_seconds(60.0)
    chain.tasks["e"] = task("e", "d")
    chain.salt("d", 1)
    assert summary_of(chain) == "2 to run (about 1 min 0 s, and 1 for the first time), 3 current"
    assert summary([]) == "no artifacts"
    assert summary(list(chain.plan().values())[:1]) == "1 artifact, all current"


def test_tasks_are_selected_with_their_needs_in_order(diamond):
    tasks = list(diamond.tasks.values())

    def names(*labels: str) -> list[str]:
        return [task.name for task in with_needs(tasks, labels)]

    assert names("stage:end") == ["a", "left", "right", "end"]
    assert names("stage:right") == ["a", "right"]
    assert names("stage:right", "stage:left", "stage:a") == ["a", "left", "right"]
    assert names() == []


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in root.rglob("*")
        if not path.name.startswith("digests.db") and path != root / paths.STATE
    }


def test_a_plan_changes_no_file(chain):
    chain.build()
    chain.salt("a", 1)
    chain.build()
    chain.salt("a", 0)
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/c/text").write_text("edited")
    state.forget(chain.root, chain.tasks["d"])
    before = files(chain.root)
    digests.use_cache(chain.root)
    assert set(chain.actions().values()) == {"restore", "run"}
    assert files(chain.root) == before


def test_an_estimate_follows_the_work_of_the_recipe(chain):
    chain.build()
    chain.set_seconds(10.0)
    kind = msgspec.structs.replace(chain.tasks["b"].kind, work_ratio=lambda _spec, lock: 100 / lock.seconds)
    chain.tasks["b"] = msgspec.structs.replace(chain.tasks["b"], kind=kind)
    chain.salt("b", 1)
    planned = chain.plan()
    assert planned["b"].forecast == "RUN, about 1 min 40 s, 10 s last time for 0.1 times the work"
    assert "(about 1 min 40 s)" in summary(planned.values())


def test_an_estimate_leaves_out_what_an_interrupted_run_has_done(chain):
    chain.build()
    chain.set_seconds(10.0)
    kind = msgspec.structs.replace(chain.tasks["b"].kind, done_share=lambda _root, _spec, _inputs, _lock: 0.75)
    chain.tasks["b"] = msgspec.structs.replace(chain.tasks["b"], kind=kind)
    chain.salt("b", 1)
    assert chain.plan()["b"].forecast == "RUN, about 2.5 s, 10 s last time for 4 times the work"
    state.forget(chain.root, chain.tasks["b"])
    assert chain.plan()["b"].forecast == "RUN, 10 s last time"


def test_more_iterations_or_epochs_of_an_adapter_take_longer():
    def ratio(recorded: dict[str, Any], **now: Any) -> float:
        key_inputs = KeyInputs(kind="adapter", recipe=recorded, code="", inputs={}, tools={})
        metrics = {"iterations": 14.0, "epochs": 2.0}
        lock = Lock(key="", key_inputs=key_inputs, outputs={}, metrics=metrics, seconds=8.0)
        assert ADAPTER.work_ratio
        return ADAPTER.work_ratio(Adapter(base="b", data="d", **now), lock)

    assert ratio({"iters": 14}, iters=2000) == 2000 / 14
    assert ratio({"iters": 14}, epochs=3.0) == 1.5
    assert ratio({"iters": 14}, iters=14) == ratio({"iters": 14}, tokens=500) == 1.0
