"""Recipes in Python: the same Structs as in TOML, written down as a TOML file beside the others.

from punie_build.data.filters.union import Language
from punie_build.data.spec import Stage

{"stage": {"english": Stage(from_="mine", filters=(Language(languages=("en",)),))}}
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.schema.spec import toml, toml_key
from punie_build.storage import project_file
from punie_build.storage.atomic import replace_file

FILE = "recipes/dodo.toml"
HEADER = "# Written by dodo.py: change it there. Commit this file, for commands run no code of a project."


def write(path: Path, recipes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write entries to a recipe file, if it differs."""
    text = encode(recipes).encode()
    if not path.exists() or project_file.read(path) != text:
        replace_file(path, text)


def encode(recipes: Mapping[str, Mapping[str, Any]], header: str = HEADER) -> str:
    """Return entries `{kind: {name: spec}}` as TOML; fields that have their defaults are left out.

    `header` is a comment above them.
    """
    lines = [header]
    for kind, by_name in recipes.items():
        for name, spec in by_name.items():
            table = fields(spec) if isinstance(spec, Struct) else spec
            lines += ["", f"[{toml_key(kind)}.{toml_key(name)}]"]
            lines += [f"{toml_key(field)} = {toml(value)}" for field, value in table.items()]
    return "\n".join(lines) + "\n"


def fields(spec: Struct) -> dict[str, Any]:
    """Return the fields of a spec that differ from their defaults, as a recipe writes them."""
    tag = spec.__struct_config__.tag
    table: dict[str, Any] = {} if tag is None else {str(spec.__struct_config__.tag_field): tag}
    for field in _fields_of(type(spec)):
        value = getattr(spec, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value != default:
            table[field.encode_name] = _plain(value)
    return table


@cache
def _fields_of(struct: type[Struct]) -> tuple[structs.FieldInfo, ...]:
    return structs.fields(struct)


def _plain(value: Any) -> Any:
    if isinstance(value, Struct):
        return fields(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return msgspec.to_builtins(value)
