from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import punie_build
from punie_build.artifacts.data import STAGE
from punie_build.artifacts.registry import KINDS
from punie_build.data.filters.union import AnyFilter, Language, MinMessages
from punie_build.data.sources import AnySource
from punie_build.data.spec import Stage
from punie_build.data.transforms import AnyTransform
from punie_build.engine import fingerprint, meaning
from punie_build.engine.gates import Gate
from punie_build.engine.kind import symbol
from punie_build.evaluation.checks.matchers import AnyMatcher
from punie_build.evaluation.checks.union import AnyCheck
from punie_build.schema.spec import classes
from punie_build.storage import sealed_file
from punie_build.training.optimizer_spec import AnyOptimizer, AnySchedule

PACKAGE = Path(punie_build.__file__).parent
MODULE = """
import re
from punie_build.data import jsonl
from punie_build.data.example import Row
LIMIT = 3
Other = int
AnyThing = First | Second
def used(): "Doc."; return LIMIT  # why
def free(row): return AnyThing
class First:
    def keep(self): return used() and jsonl.read(1) and Row
def complains(): raise ValueError(f"no {LIMIT}")
"""


def meaning_of(source: str, name: str) -> str:
    return meaning.Module("filters", source).definition(name).meaning


def test_comments_docstrings_layout_and_error_messages_do_not_change_the_meaning():
    other = (
        MODULE.replace('"Doc."; ', "")
        .replace("  # why", "")
        .replace("3", "(\n3\n)")
        .replace('f"no {LIMIT}"', '"sorry"')
    )
    assert other != MODULE
    for name in ("used", "First", "LIMIT", "complains"):
        assert meaning_of(MODULE, name) == meaning_of(other, name)


def test_messages_and_progress_do_not_change_the_meaning():
    old = (
        "def step(work):\n    work.say('old')\n    return Made(line(work), {})\n"
        "@message\ndef line(work): return 'old'\n"
    )
    for new in (old.replace("old", "new"), old.replace("    work.say('old')\n", "")):
        assert meaning_of(old, "step") == meaning_of(new, "step")
        assert meaning.Module("steps", new).definition("line") is None


def test_names_and_places_of_modules_do_not_change_the_meaning():
    """A function may be called by its module, by its name, by an alias, or imported in a function."""
    texts = (
        "from punie_build.data import jsonl\ndef step(): return jsonl.byte_ranges(1)",
        "from punie_build.data.jsonl import byte_ranges\ndef step(): return byte_ranges(1)",
        "from punie_build.data.jsonl import byte_ranges as cut\ndef step(): return cut(1)",
        "def step():\n    from punie_build.data import jsonl as lines\n    return lines.byte_ranges(1)",
    )
    assert len({meaning_of(text, "step") for text in texts}) == 1
    assert {meaning.Module("steps", text).definition("step").uses for text in texts} == {
        (("data.jsonl", "byte_ranges"),)
    }


EDITS = {  # file, old, new -> which stages are built anew
    ("evaluation/suite.py", "return tuple(", "return () and tuple("): {"decontaminate"},
    ("runtime/console.py", "bar_width=24", "bar_width=30"): set(),
    ("data/steps.py", " kept (", " stayed ("): set(),
    ("data/filters/structure.py", "len(example.messages) >= self", "len(example.messages) > self"): {"min-messages"},
    ("data/filter_chain.py", "if not (passes(line, example)", 'if not (passes(line + b"", example)'): {
        "decontaminate",
        "min-messages",
    },
}
CODES = """
from punie_build.artifacts.data import STAGE
from punie_build.engine import fingerprint
from punie_build.data.filters.union import Decontaminate, MinMessages
from punie_build.data.spec import Stage
from punie_build.evaluation.suite import Case, Suite
from punie_build.schema.spec import classes
suite = Suite(tools="editor", cases=(Case(id="a", category="c", prompt="p", checks=()),))
for filter_, uses in ((Decontaminate(suites=("s",)), (suite,)), (MinMessages(), ())):
    print(fingerprint.code(STAGE, classes((Stage(from_="a", filters=(filter_,)), *uses))))
"""


@pytest.mark.slow
def test_an_edit_of_the_package_changes_the_stages_that_run_that_code(tmp_path):
    def codes() -> list[str]:
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        run = subprocess.run([sys.executable, "-P", "-c", CODES], capture_output=True, text=True, check=True, env=env)
        return run.stdout.split()

    package = tmp_path / "punie_build"
    shutil.copytree(meaning.ROOT, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = codes()
    for (file, old, new), changed in EDITS.items():
        text = (package / file).read_text()
        assert old in text, file
        (package / file).write_text(text.replace(old, new))
        names = ("decontaminate", "min-messages")
        assert {name for name, *two in zip(names, before, codes(), strict=True) if two[0] != two[1]} == changed, file
        (package / file).write_text(text)


def test_every_tag_is_written_out():
    """A tag enters keys: one that follows the name of its class would retrain at a renaming."""
    missing = [
        kind.__name__
        for union in (AnyFilter, AnyTransform, AnySource, AnyCheck, AnyMatcher, AnyOptimizer, AnySchedule)
        for kind in get_args(union)
        if f'tag="{kind.__struct_config__.tag}"' not in inspect.getsource(kind).partition(":\n")[0]
    ]
    assert not missing


def test_logic_changes_the_meaning():
    for name, old, new in (
        ("LIMIT", "3", "4"),
        ("used", "return LIMIT", "return -LIMIT"),
        ("complains", "ValueError", "OSError"),
    ):
        assert meaning_of(MODULE, name) != meaning_of(MODULE.replace(old, new), name)


def test_uses_are_followed_into_other_modules_but_not_into_unions():
    module = meaning.Module("filters", MODULE)
    assert module.definition("First").uses == (
        ("data.example", "Row"),
        ("data.jsonl", "read"),
        ("filters", "used"),
    )
    assert module.definition("used").uses == (("filters", "LIMIT"),)
    assert module.definition("AnyThing") is None


def test_the_code_of_a_stage_depends_on_its_own_filters_only():
    reached = fingerprint.reachable([("data.steps", "stage"), ("data.filters.union", "MinMessages")])
    assert ("data.filters.structure", "MinMessages") in reached
    assert ("data.filters.filter", "Filter") in reached
    assert ("data.example", "Row") in reached
    assert not {module for module, _ in reached} & {"engine.gates", "data.filters.score_cache", "engine.fingerprint"}
    assert not {"Language", "MaxTokens", "AnyFilter", "mix", "Suite"} & {name for _, name in reached}
    one, two = (Stage(from_="a", filters=(f,)) for f in (MinMessages(messages=2), Language(languages=("en",))))
    assert fingerprint.code(STAGE, classes(one)) != fingerprint.code(STAGE, classes(two))
    other = Stage(from_="b", filters=(MinMessages(messages=9),))
    assert fingerprint.code(STAGE, classes(one)) == fingerprint.code(STAGE, classes(other))


def test_every_kind_has_a_fingerprint():
    assert all(fingerprint.code(kind, frozenset()) for kind in KINDS.values() if kind.is_built)


def test_every_step_of_the_package_is_reachable():
    for kind in KINDS.values():
        if kind.is_built and kind.version is None:
            module, name = symbol(kind.step)
            step = (module.removeprefix("punie_build."), name)
            assert step in fingerprint.reachable([step])


@pytest.mark.slow
def test_fingerprints_are_cached_while_the_package_does_not_change(tmp_path):
    """A cache of another version of the package, or a damaged one, is not used."""
    program = (
        "import sys; from pathlib import Path; from punie_build.engine import fingerprint; "
        "from punie_build.artifacts.data import STAGE; fingerprint.use_cache(Path(sys.argv[1]));"
        "from punie_build.data.spec import Stage; from punie_build.data.filters.union import MinMessages;"
        "from punie_build.schema.spec import classes;"
        "print(fingerprint.code(STAGE, classes(Stage(from_='a', filters=(MinMessages(),)))))"
    )

    def computed() -> str:
        return subprocess.run(
            [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
        ).stdout.strip()

    expected = computed()
    [cache] = tmp_path.iterdir()
    content = json.loads(sealed_file.read(cache))
    [name] = content["codes"]
    assert content["codes"] == {name: expected}
    sealed_file.write(cache, json.dumps({**content, "codes": {name: "cached"}}).encode())
    assert computed() == "cached"
    cache.write_bytes(cache.read_bytes().replace(b"cached", b"flaked"))
    assert computed() == expected
    sealed_file.write(cache, json.dumps({"package": "another", "codes": {name: "cached"}}).encode())
    assert computed() == expected
    for damaged in ("torn", "[]", '"text"', '{"package": 1, "codes": []}', "[" * 100_000):
        sealed_file.write(cache, damaged.encode())
        assert computed() == expected, damaged[:30]


def test_values_of_the_engine_are_no_code_of_a_step():
    gate = Gate(metric="rows", min=1)
    assert fingerprint._symbols(classes((gate, MinMessages()))) == [("data.filters.structure", "MinMessages")]


def test_the_code_of_an_eval_depends_on_the_checks_of_its_suite_only():
    from punie_build.evaluation.checks.union import Calls, ExpectedCall, NoCall
    from punie_build.evaluation.spec import Eval
    from punie_build.evaluation.suite import Case, Suite

    call = Calls(calls=(ExpectedCall(name="read_file", arguments={"path": ["a", "b"]}),))
    suite = Suite(tools="editor", cases=(Case(id="a", category="c", prompt="p", checks=(call,)),))
    named = set(fingerprint._symbols(classes((Eval(arm="a", suite="s"), suite))))
    assert {
        ("evaluation.checks.tool_calls", "Calls"),
        ("evaluation.checks.tool_calls", "ExpectedCall"),
        ("evaluation.checks.matchers", "OneOf"),
    } <= named
    assert ("evaluation.checks.tool_calls", NoCall.__name__) not in named
    code = fingerprint.reachable([("evaluation.steps", "eval_"), *named])
    assert {
        ("evaluation.checks.union", "score_answer"),
        ("evaluation.checks.tool_calls", "Calls"),
        ("evaluation.checks.assignment", "optimal_assignment"),
    } <= set(code)
    assert ("evaluation.checks.python_code", "PythonCode") not in code


PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from punie_build.artifacts.data import STAGE
from punie_build.data.filters.union import MinMessages
from punie_build.data.spec import Stage
from punie_build.engine import fingerprint
from punie_build.engine.kind import ArtifactKind
from punie_build.schema.spec import classes
fingerprint.use_cache(Path(sys.argv[1]))
print(fingerprint.code(ArtifactKind(name="note", folder="notes", step="notes:build"), frozenset()))
print(fingerprint.code(STAGE, classes(Stage(from_="a", filters=(MinMessages(),)))))
"""


@pytest.mark.slow
def test_an_edit_of_a_step_of_the_project_is_detected_in_spite_of_the_cache(tmp_path):
    def codes(source: str) -> list[str]:
        (tmp_path / "notes.py").write_text(source)
        command = [sys.executable, "-B", "-c", PROGRAM, tmp_path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    foreign, stage = codes("def build(work): return 1\n")
    assert codes("def build(work): return 1  # a comment\n") == [foreign, stage]
    edited, same = codes("def build(work): return 2\n")
    assert (edited != foreign, same) == (True, stage)


@pytest.mark.slow
def test_no_definition_is_in_a_condition_of_a_module():
    """Fingerprints do not read inside top-level conditions: those may only import for types, or start the module."""
    bodies = {path: ast.parse(path.read_text()).body for path in PACKAGE.rglob("*.py")}
    conditions = {
        (path.name, ast.unparse(node.test) if isinstance(node, ast.If) else ast.unparse(node))
        for path, body in bodies.items()
        for node in body
        if isinstance(node, ast.If | ast.Try | ast.With)
    }
    assert {text for _, text in conditions} <= {"TYPE_CHECKING", "__name__ == '__main__'"}, conditions
