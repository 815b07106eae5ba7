"""The JSON Schema of recipe files, for editors that check and complete TOML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from punie_build.engine.kind import ArtifactKind


def recipe_schema(kinds: Mapping[str, ArtifactKind]) -> dict[str, Any]:
    """Return the schema of a recipe file: a table for each kind, an entry for each name in it.

    A field of a kind that may be a grid also takes a list of its values.
    """
    tables = {name: kind.spec for name, kind in kinds.items() if kind.spec is not None}
    references, components = msgspec.json.schema_components(tables.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "punie-build recipe",
        "type": "object",
        "properties": {
            name: {"type": "object", "additionalProperties": reference}
            for name, reference in zip(tables, references, strict=True)
        },
        "additionalProperties": False,
        "$defs": components,
    }
