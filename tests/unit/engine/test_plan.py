"""What a build would do, told before it runs; and that a build then does it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.engine import build, state
from punie_build.engine.plan import Planned, plan, summary
from punie_build.engine.task import Task, with_needs
from punie_build.engine.work import StepResult, Work
from punie_build.storage import digests, locks, paths
from tests.support.profiles import examples
from tests.support.text_tasks import text_task, with_step


def task(name: str, *needs: str, salt: int = 0, width: int = 64, reads: tuple[str, ...] = ()) -> Task:
    """A task that reads the targets of `needs`, or `raw.txt` if it needs none."""
    inputs = () if needs else ("raw.txt",)
    task = text_task(name, *needs, inputs=inputs, name=name, salt=salt, width=width)
    return msgspec.structs.replace(task, reads=reads)


class Project:
    """Tasks by name, a folder, and a step that writes the digest of what it was made from; `width` cuts it."""

    def __init__(self, root: Path, *tasks: Task) -> None:
        self.root, self.tasks, self.ran = root, {task.name: task for task in tasks}, list[str]()
        (root / "raw.txt").write_text("raw")

    def step(self, work: Work) -> StepResult:
        self.ran.append(work.task.name)
        places = [self.root / place for place in work.task.inputs]
        texts = [(place / "text" if place.is_dir() else place).read_text() for place in places]
        made = hashlib.sha256(f"{work.task.recipe}{texts}".encode()).hexdigest()
        (work.out / "text").write_text(made[: work.task.recipe["width"]])
        (work.out / "beside").write_text(str(work.task.recipe["salt"]))
        return StepResult("")

    def build(self) -> list[str]:
        """What ran."""
        self.ran.clear()
        for each in self.tasks.values():
            build.build(self.root, with_step(each, self.step))
        return self.ran

    def plan(self) -> dict[str, Planned]:
        return {each.task.name: each for each in plan(self.root, list(self.tasks.values()))}

    def hows(self) -> dict[str, str]:
        return {name: each.action for name, each in self.plan().items()}

    def salt(self, name: str, value: int) -> None:
        old = self.tasks[name]
        self.tasks[name] = msgspec.structs.replace(old, recipe=old.recipe | {"salt": value})

    def took(self, seconds: float) -> None:
        """As if every task had taken so long: the recorded time enters no key."""
        for path in [*locks.present(self.root, ["data"]), *(self.root / paths.STATE / "store" / "actions").glob("*/*")]:
            lock = locks.read(path)
            assert lock
            locks.write(path, msgspec.structs.replace(lock, seconds=seconds))


@pytest.fixture
def chain(tmp_path) -> Project:
    """a -> b -> c -> d"""
    return Project(tmp_path, task("a"), task("b", "a"), task("c", "b"), task("d", "c"))


@pytest.fixture
def diamond(tmp_path) -> Project:
    """a -> left, right -> end"""
    return Project(tmp_path, task("a"), task("left", "a"), task("right", "a"), task("end", "left", "right"))


def told(project: Project) -> str:
    return summary(project.plan().values())


def test_nothing_is_built_and_all_of_it_runs(diamond):
    planned = diamond.plan()
    assert {(each.action, each.state, each.forecast, each.reasons) for each in planned.values()} == {
        ("run", "absent", "RUN", ())
    }
    assert told(diamond) == "4 to run"


def test_what_is_built_is_current(diamond):
    diamond.build()
    planned = diamond.plan()
    assert {(each.action, each.state, each.forecast) for each in planned.values()} == {
        ("current", "current", "nothing to do")
    }
    assert told(diamond) == "4 artifacts, all current"
    assert diamond.build() == []


def test_behind_an_edit_a_task_runs_perhaps_and_says_how_long_it_took(chain):
    chain.build()
    chain.took(75.0)
    chain.salt("b", 1)
    planned = chain.plan()
    assert [each.action for each in planned.values()] == ["current", "run", "maybe", "maybe"]
    assert (planned["b"].state, planned["b"].forecast) == ("stale", "RUN, 1 min 15 s last time")
    assert planned["b"].reasons == ("recipe.salt: 0 -> 1",)
    assert planned["c"].state == "waits"
    assert planned["c"].forecast == "RUN, 1 min 15 s last time, or nothing if its inputs come out the same"
    assert planned["c"].reasons == ("data/b is built first",)
    assert told(chain) == "1 to run (about 1 min 15 s), 2 to run unless cut off (at most 2 min 30 s), 1 current"
    assert chain.build() == ["b", "c", "d"]


def test_what_is_before_an_edit_and_beside_it_stays(diamond):
    diamond.build()
    diamond.salt("left", 1)
    assert diamond.hows() == {"a": "current", "left": "run", "right": "current", "end": "maybe"}
    assert diamond.plan()["end"].reasons == ("data/left is built first",)


def test_a_step_that_gives_the_same_bytes_cuts_the_build_off(tmp_path):
    project = Project(tmp_path, task("a", width=0), task("b", "a", reads=("text",)))
    project.build()
    project.salt("a", 1)
    assert project.hows() == {"a": "run", "b": "maybe"}
    assert project.build() == ["a"]
    project.salt("a", 0)
    assert project.hows() == {"a": "restore", "b": "current"}, "what is restored is known, so nothing is left open"


def test_behind_what_is_restored_everything_is_known(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    chain.took(4.0)
    chain.salt("b", 0)
    planned = chain.plan()
    assert chain.hows() == {"a": "current", "b": "restore", "c": "restore", "d": "restore"}
    assert planned["b"].forecast == "RESTORE, 4.0 s saved"
    assert planned["b"].reasons == ("recipe.salt: 1 -> 0",)
    assert planned["d"].reasons[0].startswith("inputs.data/c: ")
    assert told(chain) == "3 to restore, 1 current"
    assert chain.build() == []


def test_a_restored_task_with_a_new_one_behind_it_is_known_to_run(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    chain.salt("b", 0)
    chain.salt("c", 7)
    assert chain.hows() == {"a": "current", "b": "restore", "c": "run", "d": "maybe"}
    assert chain.build() == ["c", "d"]


def test_a_removed_or_edited_target_is_restored_and_what_is_behind_it_stays(chain):
    chain.build()
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/c/text").write_text("mine")
    (chain.root / "data/d.lock.json").unlink()
    planned = chain.plan()
    assert {name: (each.state, each.action) for name, each in planned.items()} == {
        "a": ("current", "current"),
        "b": ("absent", "restore"),
        "c": ("edited", "restore"),
        "d": ("absent", "restore"),
    }
    assert chain.build() == []


def test_without_a_store_they_run(chain):
    chain.build()
    shutil.rmtree(chain.root / paths.STATE / "store")
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/d/text").write_text("mine")
    assert chain.hows() == {"a": "current", "b": "run", "c": "maybe", "d": "run"}
    assert chain.build() == ["b", "d"], "b gave the same bytes: c was cut off"


def test_what_was_forgotten_runs_whatever_comes_before_it_and_whatever_the_store_has(chain):
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
    assert set(chain.hows().values()) == {"current"}


def test_behind_a_run_a_target_that_is_gone_runs_or_is_restored(chain):
    chain.build()
    chain.took(3.0)
    state.forget(chain.root, chain.tasks["a"])
    shutil.rmtree(chain.root / "data/b")
    (chain.root / "data/c/text").write_text("mine")
    planned = chain.plan()
    assert [(each.state, each.action) for each in planned.values()] == [
        ("forgotten", "run"),
        ("absent", "maybe"),
        ("edited", "maybe"),
        ("waits", "maybe"),
    ]
    assert planned["b"].forecast == "RUN, 3.0 s last time, or RESTORE if its inputs come out the same"
    assert chain.build() == ["a"]


def test_behind_a_run_an_edited_task_runs_unless_the_store_has_what_it_would_be(chain):
    chain.build()
    chain.salt("b", 1)
    chain.build()
    state.forget(chain.root, chain.tasks["a"])
    chain.salt("b", 0)
    assert (chain.plan()["b"].state, chain.hows()["b"]) == ("stale", "maybe")
    assert chain.plan()["b"].reasons == ("recipe.salt: 1 -> 0", "data/a is built first")
    chain.salt("b", 2)
    assert chain.hows()["b"] == "run"
    assert chain.plan()["b"].reasons == ("recipe.salt: 1 -> 2",)


def test_an_input_that_was_never_made_is_called_that(chain):
    chain.build()
    chain.took(2.0)
    more = msgspec.structs.replace(chain.tasks["d"], needs=("stage:c", "stage:new"), inputs=("data/c", "data/new"))
    chain.tasks = {"new": task("new"), **chain.tasks, "d": more}
    planned = chain.plan()
    assert planned["d"].action == "run"
    assert planned["d"].reasons == ("inputs.data/new: (none) -> not built yet",)
    assert told(chain) == "2 to run (about 2.0 s, and 1 for the first time), 3 current"


def test_the_sum_says_what_is_new(chain):
    chain.build()
    chain.took(60.0)
    chain.tasks["e"] = task("e", "d")
    chain.salt("d", 1)
    assert told(chain) == "2 to run (about 1 min 0 s, and 1 for the first time), 3 current"
    assert summary([]) == "no artifacts"
    assert summary(list(chain.plan().values())[:1]) == "1 artifact, all current"


def test_needed_is_what_was_asked_for_and_all_before_it_in_order(diamond):
    every = list(diamond.tasks.values())

    def names(*wanted: str) -> list[str]:
        return [task.name for task in with_needs(every, wanted)]

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
    (chain.root / "data/c/text").write_text("mine")
    state.forget(chain.root, chain.tasks["d"])
    before = files(chain.root)
    digests.use_cache(chain.root)
    assert set(chain.hows().values()) == {"restore", "run"}
    assert files(chain.root) == before


NAMES = "abcde"
edits = st.tuples(
    st.sampled_from(("salt", "raw", "remove", "damage", "forget", "drop")),
    st.sampled_from(NAMES),
    st.integers(0, 2),
)


def apply(project: Project, what: str, name: str, value: int) -> None:
    each = project.tasks[name]
    match what:
        case "salt":
            project.salt(name, value)
        case "raw":
            (project.root / "raw.txt").write_text(str(value))
        case "remove":
            state.clean(project.root, each)
        case "damage":
            (project.root / each.target).mkdir(parents=True, exist_ok=True)
            (project.root / each.target / "text").write_text("mine")
        case "forget":
            state.forget(project.root, each)
        case "drop":
            shutil.rmtree(project.root / paths.STATE / "store", ignore_errors=True)


@pytest.mark.slow
@examples(40)
@given(st.lists(st.lists(edits, min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_build_does_what_the_plan_says(rounds):
    """Steps give other bytes for other inputs here: a plan then names exactly the tasks that the build runs."""
    with tempfile.TemporaryDirectory() as place:
        graph = (task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"), task("e", "d"))
        project = Project(Path(place), *graph)
        project.build()
        for some in rounds:
            for edit in some:
                apply(project, *edit)
            said = project.hows()
            ran = set(project.build())
            assert {name for name, how in said.items() if how == "run"} <= ran
            assert not {name for name, how in said.items() if how in ("current", "restore")} & ran
            assert set(project.hows().values()) == {"current"}
