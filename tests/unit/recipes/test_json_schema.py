"""The committed JSON Schema is the one of today's specs, and it knows every key of the project's own recipes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from punie_build.artifacts.registry import KINDS
from punie_build.cli.main import main
from punie_build.recipes.json_schema import recipe_schema

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "recipe.schema.json"


def test_the_committed_schema_is_current(capsys):
    with pytest.raises(SystemExit):
        main(["schema"])
    assert capsys.readouterr().out == COMMITTED.read_text(), "run `punie-build schema --into docs/recipe.schema.json`"


def test_every_kind_with_a_table_and_every_field_is_in_it():
    schema = recipe_schema(KINDS)
    tables = {name: kind.spec for name, kind in KINDS.items() if kind.spec}
    assert set(schema["properties"]) == {*tables, "defaults"}
    for spec in tables.values():
        assert set(spec.__struct_encode_fields__) <= set(schema["$defs"][spec.__name__]["properties"])


def accepts(schema: dict[str, Any], definitions: dict[str, Any], value: Any) -> bool:
    """Whether a schema of msgspec accepts a value, as far as types, tags and known keys go."""
    if "$ref" in schema:
        return accepts(definitions[schema["$ref"].rpartition("/")[2]], definitions, value)
    if "anyOf" in schema:
        return any(accepts(each, definitions, value) for each in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": int | float}
    if "type" in schema and not isinstance(value, types.get(schema["type"], type(None))):
        return False
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        return set(schema.get("required", ())) <= set(value) and all(
            accepts(properties[key], definitions, item)
            if key in properties
            else rest is True or (isinstance(rest, dict) and accepts(rest, definitions, item))
            for key, item in value.items()
        )
    if isinstance(value, list) and "items" in schema:
        return all(accepts(schema["items"], definitions, item) for item in value)
    return True


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "recipes" / "quickstart.toml").read_text(),
        (ROOT / "punie_build" / "recipes" / "builtin.toml").read_text(),
        "[adapter.g]\nbase = 'nano'\ndata = 'd'\nlearning_rate = [1e-4, 1e-3]\nlora = { rank = [4, 8] }\nbest = 2",
    ],
)
def test_it_accepts_recipes_that_load(text):
    schema = recipe_schema(KINDS)
    assert accepts(schema, schema["$defs"], tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "[adaptor.x]\nbase = 'nano'",
        "[dataset.d]\nsource = { type = 'sampel' }",
        "[dataset.d]\nsource = { type = 'sample' }\ncolour = 1",
        "[adapter.a]\nbase = ['nano', 'x']\ndata = 'd'",
    ],
)
def test_it_rejects_unknown_kinds_tags_and_keys(text):
    schema = recipe_schema(KINDS)
    assert not accepts(schema, schema["$defs"], tomllib.loads(text))
