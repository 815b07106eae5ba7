"""The glossary explains the terms that recipes and commands use."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.house import KINDS, recipe_structs
from punie_build.artifacts.registry import KINDS as REGISTRY

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
TERMS = re.findall(r"^\*\*(.+?)\*\*: ", GLOSSARY, re.MULTILINE)
RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def test_terms_are_unique_and_in_order():
    assert sorted(TERMS, key=str.lower) == TERMS
    assert len(TERMS) == len(set(TERMS))


def test_an_entry_is_one_to_three_sentences():
    entries = [entry for entry in GLOSSARY.split("\n\n") if entry.startswith("**")]
    assert len(entries) == len(TERMS)
    assert [entry for entry in entries if len(re.findall(r"[.](?=\s|$)", entry)) > 3] == []


@pytest.mark.parametrize("kind", sorted({*KINDS, *REGISTRY}))
def test_every_kind_of_artifact_is_in_the_glossary(kind):
    assert kind in TERMS


def test_every_key_of_a_recipe_is_in_the_glossary_or_the_reference():
    keys = {field.encode_name for struct in recipe_structs() for field in msgspec.structs.fields(struct)}
    keys -= {"embedded"}  # of suites that ship with punie-build; no recipe has it
    words = set(re.findall(r"[\w-]+", RECIPES)) | set(TERMS)
    assert sorted(keys - words) == []
