"""Texts of errors and of the console: no character of a project controls a terminal, a log or a CI service."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.errors import COMMANDS, RecipeError, printable, printable_lines
from tests.support.command import punie_build

CONTROL = "\x1b]0;evil\x07\x9b\u202e\u2066\u2028\x00\r"
HOSTILE = st.text(st.sampled_from(f"{CONTROL}\n\t :#[vsoa") | st.characters(), max_size=40) | st.builds(
    "{}{}{}".format, st.text(" \t\n\r\x0b", max_size=4), st.sampled_from(COMMANDS), st.text(max_size=10)
)


@given(HOSTILE)
def test_no_text_controls_a_terminal_or_is_a_command_of_ci(text):
    assert printable(text).isprintable()
    shown = printable_lines(text)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert not [line for line in shown.splitlines() if line.lstrip().startswith(COMMANDS)]


@pytest.mark.parametrize("text", ["plain: é - 'x'", "a\n\tb", "a::b", "  {x}: 3 ::", ""])
def test_texts_that_control_nothing_are_as_they_were(text):
    assert printable_lines(text) == text


def test_a_mistake_of_a_recipe_is_one_line_whatever_it_names():
    assert str(RecipeError(["a\n::error::b", "c"])).splitlines() == ["a\\n::error::b", "c"]


TEXT = json.dumps("a\n::error::evil\x1b]0;\u202e")
RECIPES = {
    "a key": f'[stage.s]\nfrom = "sample"\n{TEXT} = 3\n',
    "a name": f"[stage.{TEXT}]\nfilters = []\n",
    "a kind": f"[{TEXT}.s]\nx = 1\n",
    "a reference": f"[stage.s]\nfrom = {TEXT}\n",
    "a type": f'[stage.s]\nfrom = "sample"\nfilters = [{{ type = {TEXT} }}]\n',
    "a path": f'[dataset.s]\nsource = {{ type = "local", path = {TEXT} }}\n',
    "a suite": f"[suite.s]\nfile = {TEXT}\n",
    "a description": f'[stage.s]\nfrom = "sample"\ndescription = {TEXT}\nfilters = [{{ type = "python" }}]\n',
}


@pytest.mark.parametrize("place", RECIPES)
def test_no_text_of_a_recipe_reaches_a_screen_as_it_is(tmp_path, place):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/r\n::error::evil\x1b.toml").write_text(
        '[dataset.sample]\nsource = { type = "sample", max_examples = 5 }\n' + RECIPES[place]
    )
    (tmp_path / "pyproject.toml").write_text("")
    for command in (["check"], ["plan"], ["list"], ["doctor"], ["prune", "--dry-run"], ["check", "--format", "github"]):
        done = punie_build(tmp_path, *command)
        shown = done.stdout + done.stderr
        assert all(char.isprintable() or char in "\n\t" for char in shown), command
        commands = [line for line in shown.splitlines() if line.lstrip().startswith("::")]
        assert not [line for line in commands if "format" not in " ".join(command) or line.startswith("::error::")]
