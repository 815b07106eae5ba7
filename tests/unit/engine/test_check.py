from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field, structs

from punie_build.engine import build
from punie_build.engine.check import LEVELS, ArtifactCheck, check, worst
from punie_build.engine.gates import Gate
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.schema.spec import Spec
from punie_build.storage import locks, paths
from tests.support.text_tasks import text_task, with_step

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


class Demands(Spec, frozen=True, kw_only=True):
    gates: tuple[Gate, ...] = ()
    expect: dict[str, float] = field(default_factory=dict)


def step(work: Work) -> StepResult:
    (work.out / "text").write_text(f"{work.task.recipe}")
    return StepResult("built", {"rows": 3})


def chain(**recipe: Any) -> list[Task]:
    return [text_task("a", inputs=("raw.txt",), **recipe), text_task("b", "a")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text("raw")
    for task in chain():
        build.build(tmp_path, with_step(task, step))
    return tmp_path


def states(root: Path, *tasks: Task, level: str = "recipes") -> dict[str, tuple[str, tuple[str, ...]]]:
    return {result.label: (result.state, result.lines) for result in check(root, tasks, (level,), ("data",))}


def test_what_was_built_is_current_at_each_level_that_says_something(root):
    results = check(root, chain(), LEVELS, ("data",))
    assert [(result.label, result.level) for result in results] == [
        (f"stage:{name}", level) for name in ("a", "b") for level in LEVELS
    ]
    assert {(result.level, result.state) for result in results} == {
        ("recipes", "current"),
        ("outputs", "current"),
        ("conformance", "current"),
        ("gates", "unseen"),
    }
    assert results[0].target == "data/a"
    assert worst(results) == "unseen"
    assert worst([]) == "current"


def test_only_the_levels_that_are_named_are_checked(root):
    assert {result.level for result in check(root, chain(), ("outputs",), ("data",))} == {"outputs"}


def test_another_recipe_or_input_is_stale_and_says_why(root):
    assert states(root, *chain(n=1))["stage:a"] == ("stale", ("recipe.n: (none) -> 1",))
    (root / "raw.txt").write_text("other")
    state, [line] = states(root, *chain())["stage:a"]
    assert (state, line.startswith("inputs.raw.txt: ")) == ("stale", True)


def test_an_input_that_is_absent_is_as_it_was_recorded(root):
    (root / "raw.txt").unlink()
    shutil.rmtree(root / "data/a")
    shutil.rmtree(root / "data/b")
    assert states(root, *chain()) == {"stage:a": ("current", ()), "stage:b": ("current", ())}


def test_an_artifact_that_was_never_built_is_stale(root):
    label = "stage:c"
    assert states(root, *chain(), text_task("c", "b"))[label] == (
        "stale",
        ("never built: no lock - `doit stage:c`, and commit data/c.lock.json",),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<<<<<<< ours\n", "has conflict markers - take one side whole"),
        ("torn", "damaged - restore it from git"),
    ],
)
def test_a_damaged_lock_is_broken_and_its_users_are_stale(root, text, problem):
    (root / "data/a.lock.json").write_text(text)
    result = states(root, *chain())
    assert result["stage:a"] == ("broken", (f"data/a.lock.json: {problem}, or `doit stage:a`",))
    assert result["stage:b"] == ("stale", ("data/a has no lock that can be read",))


def test_a_lock_that_no_recipe_describes_is_stale(root):
    [first] = chain()[:1]
    result = states(root, first)["data/b.lock.json"]
    assert result[0] == "stale"
    assert result[1][0].startswith("no recipe describes it any more")


def test_an_external_input_is_compared_where_it_is_present(root):
    class Model(Struct, frozen=True):
        digest: str
        path: None = None

        def identity(self, root: Path, pointers: bool = False) -> str:
            return self.digest

        def present(self, root: Path) -> None:
            return None

    def user(digest: str) -> Task:
        return structs.replace(text_task("u", inputs=("raw.txt",)), external={"base": Model(digest)})

    build.build(root, with_step(user("one"), step))
    assert states(root, *chain(), user("one"))["stage:u"][0] == "current"
    assert states(root, *chain(), user("absent"))["stage:u"][0] == "current"
    assert states(root, *chain(), user("two"))["stage:u"] == ("stale", ("inputs.base: one -> two",))


def test_files_that_differ_from_the_lock_are_broken(root):
    (root / "data/a/text").write_text("edited")
    (root / "data/a/extra").write_text("extra")
    (root / "data/b/text").unlink()
    result = states(root, *chain(), level="outputs")
    assert result["stage:a"][0] == "broken"
    extra, edited = result["stage:a"][1]
    assert extra == "data/a/extra: not in the lock"
    assert edited.startswith("data/a/text: ")
    assert edited.endswith(" is here")
    assert result["stage:b"] == ("broken", ("data/b/text: missing",))


def test_files_that_are_absent_are_unseen(root):
    shutil.rmtree(root / "data/a")
    tasks = [*chain(), text_task("c", "b")]
    assert states(root, *tasks, level="outputs")["stage:a"] == ("unseen", ("data/a is not here",))
    assert states(root, *tasks, level="outputs")["stage:c"] == ("unseen", ())
    assert states(root, *tasks, level="conformance")["stage:a"] == ("unseen", ())


def test_conformance_is_what_the_kind_verifies_in_the_files(root):
    class Model(Struct, frozen=True):
        path: None = None

        def identity(self, root: Path, pointers: bool = False) -> str:
            return "absent"

        def present(self, root: Path) -> Path:
            return root / "models/base"

    def verify(folder: Path, spec: Any, base: Path | None) -> Iterator[str]:
        if spec == "other":
            yield f"{folder.name} is not {spec}; base {base.name if base else None}"

    def verified(spec: str, **external: Any) -> Task:
        task = chain()[0]
        return structs.replace(task, kind=structs.replace(task.kind, verify=verify), spec=spec, external=external)

    assert states(root, verified("same"), level="conformance")["stage:a"] == ("current", ())
    assert states(root, verified("other"), level="conformance")["stage:a"] == (
        "broken",
        ("a is not other; base None",),
    )
    assert states(root, verified("other", base=Model()), level="conformance")["stage:a"][1] == (
        "a is not other; base base",
    )
    (root / "data/a/text").write_text(POINTER)
    assert states(root, verified("other"), level="conformance")["stage:a"] == (
        "unseen",
        ("data/a/text: a Git LFS pointer - `git lfs pull`",),
    )


def test_gates_and_expectations_hold_the_metrics_of_the_lock(root):
    def demanding(**demands: Any) -> Task:
        return structs.replace(chain()[0], spec=Demands(**demands))

    def gates(task: Task) -> tuple[str, tuple[str, ...]]:
        return states(root, task, level="gates")["stage:a"]

    assert gates(demanding(gates=(Gate(metric="rows", min=3),), expect={"rows": 3})) == ("current", ())
    assert gates(demanding(gates=(Gate(metric="rows", min=4),), expect={"rows": 5})) == (
        "broken",
        ("gate 'rows': 3 is below 4", "expect.rows: 3, but the recipe expects 5"),
    )
    (root / "data/a.lock.json").unlink()
    assert gates(demanding(expect={"rows": 3})) == ("unseen", ())


def test_a_name_that_no_terminal_can_show_is_escaped(root):
    (root / paths.lock("data/\x1b")).write_text("torn")
    labels = [result.label for result in check(root, chain(), ("recipes",), ("data",))]
    assert r"data/\x1b.lock.json" in labels


def test_the_worst_state_decides():
    results = [ArtifactCheck(label="", level="", state=state) for state in ("stale", "current", "broken", "unseen")]
    assert worst(results) == "broken"
    assert worst(results[:2]) == "stale"


def measured(folder: Path) -> dict[str, float]:
    return {"rows": float((folder / "rows").read_text()), "later": 1.0}


@pytest.mark.parametrize("holder", ["target", "store"])
def test_metrics_that_are_not_those_of_the_files_are_named(tmp_path, holder):
    def count(work: Work) -> StepResult:
        (work.out / "rows").write_text("60")
        return StepResult("built", {"rows": 60, "resumed": 1})

    task = with_step(text_task("a", inputs=("raw.txt",)), count, measured=measured, history=frozenset(("resumed",)))
    task = structs.replace(task, spec=Demands(gates=(Gate(metric="rows", min=1000),)))
    (tmp_path / "raw.txt").write_text("raw")
    build.build(tmp_path, task)
    lock = locks.read(tmp_path / paths.lock("data/a"))
    locks.write(tmp_path / paths.lock("data/a"), structs.replace(lock, metrics={"rows": 5000, "resumed": 2}))
    if holder == "store":
        shutil.rmtree(tmp_path / "data/a")
    line = "metrics.rows: the lock says 5000, its files say 60 - restore the lock from git, or `doit forget stage:a`"
    state, [problem] = states(tmp_path, task, level="gates")["stage:a"]
    assert (state, problem) == ("broken", f"{line} and build it again")
    if holder == "target":
        task = structs.replace(task, kind=structs.replace(task.kind, verify=lambda folder, spec, base: iter(())))
        assert states(tmp_path, task, level="conformance")["stage:a"] == ("broken", (problem,))
        (tmp_path / "data/a/rows").write_text("a pointer")
        assert states(tmp_path, task, level="gates")["stage:a"] == ("current", ())
