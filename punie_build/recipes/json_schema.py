"""The JSON Schema of recipe files, for editors that check and complete TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.engine.kind import ArtifactKind
from punie_build.recipes.defaults import TABLE
from punie_build.sweeps.spec import GridOptions

Schema = dict[str, Any]


def recipe_schema(kinds: Mapping[str, ArtifactKind]) -> Schema:
    """Return the schema of a recipe file: a table for each kind, and in it an entry for each name.

    Fields of a kind that may be a grid take a list of values as well. The loader is stricter than the schema.
    """
    tables = {name: kind for name, kind in kinds.items() if kind.spec is not None}
    specs = {name: [kind.spec, *(each.spec for each in kind.variants.values())] for name, kind in tables.items()}
    every = [spec for of_table in specs.values() for spec in of_table]
    references, definitions = msgspec.json.schema_components([*every, GridOptions], ref_template="#/$defs/{name}")
    by_spec = dict(zip(every, references, strict=False))
    _allow_tags_alone(definitions)
    for kind in tables.values():
        if kind.grid is not None:
            _allow_lists(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "punie-build recipe",
        "type": "object",
        "properties": {
            name: {
                "type": "object",
                "additionalProperties": by_spec[of_table[0]]
                if len(of_table) == 1
                else {"anyOf": [by_spec[spec] for spec in of_table]},
            }
            for name, of_table in specs.items()
        }
        | {TABLE: {"type": "object", "properties": {name: {"type": "object"} for name in specs}}},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _allow_tags_alone(definitions: Schema) -> None:
    """Let a tag stand for a table with only this tag: `optimizer = "adamw"`."""
    for definition in definitions.values():
        for value in definition.get("properties", {}).values():
            for part in (value, value.get("items", {})):
                if isinstance(part, dict) and "discriminator" in part:
                    part["anyOf"].append({"enum": [*part["discriminator"]["mapping"]]})


def _allow_lists(kind: ArtifactKind, definitions: Schema) -> None:
    """Let every field that may differ between the cells of a grid be a list of its values, and add the options of a
    grid."""
    assert kind.spec is not None, "a kind with grids has tables"
    assert kind.grid is not None, "the caller asks that"
    for cls in _nested(kind.spec):
        properties = definitions[cls.__name__]["properties"]
        for field, value in properties.items():
            if field not in (*kind.grid.fixed, *kind.not_in_key) and "$ref" not in value:
                properties[field] = {"anyOf": [value, {"type": "array", "items": value}]}
    definitions[kind.spec.__name__]["properties"] |= definitions["GridOptions"]["properties"]


def _nested(cls: type[Struct]) -> Iterator[type[Struct]]:
    """Yield a spec and the specs in its fields that no tag selects."""
    yield cls
    for field in structs.fields(cls):
        if isinstance(field.type, type) and issubclass(field.type, Struct) and not field.type.__struct_config__.tag:
            yield from _nested(field.type)
