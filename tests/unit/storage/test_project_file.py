from __future__ import annotations

import os
import time

import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.errors import RecipeError
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite_file import read_suite
from punie_build.recipes import loader
from punie_build.storage import digests, locks, project_file, settings

BOMBS = {
    "arrays": "[stage.a]\nfilters = " + "[" * 5000 + "]" * 5000,
    "arrays that can be parsed": "[stage.a]\nfilters = " + "[" * 200 + "]" * 200,
    "tables": "[stage.a]\nx = " + "{a=" * 5000 + "1" + "}" * 5000,
    "digits": "[dataset.a]\nx = " + "9" * 5000,
    "key": "a." * 100_000 + "b = 1",
    "quoted key": '" ".' * 100_000 + "b = 1",
    "header": "[a" + ".a" * 100_000 + "]",
    "key in a table": "x = { a" + " . 'a'" * 50_000 + " = 1 }",
    "letters": "a" * 1_000_000,
    "bytes": b"\xff\xfe",
}


def put(kind: str, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        content = BOMBS[kind]
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("kind", [*BOMBS, "pipe", "device", "folder"])
def test_recipes_settings_and_suites_that_no_parser_survives_are_one_sentence(tmp_path, kind):
    started = time.monotonic()
    put(kind, tmp_path / "recipes/bomb.toml")
    with pytest.raises(RecipeError) as caught:
        loader.load(tmp_path, KINDS)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("recipes/bomb.toml: ")
    assert len(caught.value.problems[0]) < 200
    put(kind, tmp_path / "pyproject.toml")
    with pytest.raises(RecipeError, match=r"^pyproject\.toml: (not TOML|cannot be read)"):
        settings.load(tmp_path)
    put(kind, tmp_path / "suite.toml")
    suite, problems = read_suite(SuiteFile(file="suite.toml"), tmp_path, "recipes/x.toml: suite.s")
    assert suite is None
    assert len(problems) == 1
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("source", ["-" * 100_000 + "1", "1" + "+1" * 100_000, "(" * 1000, "\0"])
def test_a_hook_that_no_parser_survives_is_one_sentence(tmp_path, source):
    (tmp_path / "hook.py").write_text(source)
    (tmp_path / "s.toml").write_text(
        '[[case]]\nid = "a"\ncategory = "c"\nprompt = "x"\nchecks = [{ type = "python", function = "hook:f" }]\n'
    )
    suite, problems = read_suite(SuiteFile(file="s.toml"), tmp_path, "recipes/x.toml: suite.s")
    assert suite is not None, problems
    assert len(problems) == 1
    assert "hook.py is not Python" in problems[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_lock_or_an_input_that_is_no_file_is_none(tmp_path, kind):
    put(kind, tmp_path / "x.lock.json")
    assert locks.read(tmp_path / "x.lock.json") is None
    if kind != "folder":
        assert digests.of_tree(tmp_path / "x.lock.json") == "absent"


def test_a_file_is_read_up_to_a_limit(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert project_file.read(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        project_file.read(tmp_path / "x", 4)


def test_tables_that_people_write_are_read(tmp_path):
    text = 'a.b."c d" = "x.y.z"\r\n[t.u]\nv = [[1, [2]], {w = 1.5}]\n'
    assert project_file.parse_toml(b"\xef\xbb\xbf" + text.encode()) == {
        "a": {"b": {"c d": "x.y.z"}},
        "t": {"u": {"v": [[1, [2]], {"w": 1.5}]}},
    }


def test_a_folder_in_the_place_of_a_file_is_named_by_its_path(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        project_file.read(tmp_path)
    assert caught.value.filename == str(tmp_path)
