"""What the documents show is run, and what they list is complete."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from punie_build.adapters import Adapter, Lora
from punie_build.checks import AnyCheck
from punie_build.examples import parse
from punie_build.filters import AnyFilter
from punie_build.graph import tasks
from punie_build.loading import load
from punie_build.recipe import KINDS
from punie_build.sources import AnySource

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_recipes_of_the_reference_are_a_project(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "suites").mkdir()
    for index, block in enumerate(blocks(RECIPES, "toml")):
        name = "suites/mine.toml" if "[[case]]" in block else f"recipes/{index}.toml"
        (tmp_path / name).write_text(block)
    labels = {task.label for task in tasks(load(tmp_path))}
    assert {
        "adapter:v1",
        "mix:combined",
        "stage:clean",
        "comparison:v1",
        "eval:v1-alone",
        "eval:nano@tool-calling",
    } <= labels


def test_the_defaults_the_reference_shows_are_the_defaults():
    [shown] = [tomllib.loads(block)["adapter"]["v1"] for block in blocks(RECIPES, "toml") if "[adapter.v1]" in block]
    assert msgspec.convert(shown, Adapter) == Adapter(base="nano", data="combined")
    assert set(shown) == {field.name for field in msgspec.structs.fields(Adapter)} - {"description", "gates"}
    assert set(shown["lora"]) | {"keys"} == {field.name for field in msgspec.structs.fields(Lora)}


@pytest.mark.parametrize("line", [line for block in blocks(RECIPES, "json") for line in block.splitlines()])
def test_the_chat_lines_of_the_reference_are_read(line):
    assert parse(line.encode()).example.messages


def test_the_reference_names_every_kind_and_every_parameter():
    assert all(f"[{kind}." in RECIPES for kind in KINDS)
    for union in (AnyFilter, AnySource, AnyCheck):
        for member in get_args(union):
            assert f"`{member.__struct_config__.tag}`" in RECIPES
            assert all(f"`{field.name}`" in RECIPES for field in msgspec.structs.fields(member))


def test_the_readme_has_its_two_commands_on_the_first_screen():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:40])
    assert "./run doit" in first
    assert "./run pytest" in first


def test_links_between_documents_lead_somewhere():
    for document in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "models").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_no_committed_file_names_a_host_of_packages():
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert "--index-url" not in lock
