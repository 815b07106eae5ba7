"""References as Markdown, made from the code: commands from their parsers, fields of recipes from the Structs."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

Schema = dict[str, Any]
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def commands() -> str:
    """Return the reference of all commands: usage, text, arguments and options of each."""
    from punie_build.cli.main import EXIT_CODES
    from punie_build.cli.registry import MODULES

    parts = [
        "# Commands",
        "Every command takes `-C DIR` (run in this folder), `--debug` (print the traceback of an error) and `--help`.",
        EXIT_CODES,
    ]
    for name in dict.fromkeys(module for module, _ in MODULES.values()):
        for command, (function, add_options) in import_module(f"punie_build.cli.{name}").COMMANDS.items():
            parser = argparse.ArgumentParser(f"punie-build {command}", add_help=False)
            parser.color = False  # type: ignore[attr-defined]  # from Python 3.14 on
            add_options(parser)
            usage = " ".join(parser.format_usage().removeprefix("usage:").split())
            parts += [f"## {command}", inspect.getdoc(function) or "", f"`{usage}`"]
            rows = [_argument_row(action) for action in parser._actions if action.help != argparse.SUPPRESS]
            if rows:
                parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _argument_row(action: argparse.Action) -> str:
    """Return a row of a table: the spellings of an argument, and its help with its choices."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    names = ", ".join(f"`{flag}`" if action.nargs == 0 else f"`{flag} {value}`" for flag in action.option_strings)
    choices = f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}" if action.choices else ""
    required = "; required" if action.required and action.option_strings else ""
    return f"| {names or f'`{value}`'} | {_cell(f'{action.help or str()}{choices}{required}')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def fields(links: bool = False) -> str:
    """Return the reference of all tables of recipes, with the type, default and limits of each field.

    With `links`, a table that a field takes is a link to its section."""
    from punie_build.artifacts.registry import KINDS
    from punie_build.recipes.json_schema import recipe_schema
    from punie_build.sweeps.spec import GridOptions

    schema = recipe_schema(KINDS)
    definitions: dict[str, Schema] = schema["$defs"]
    grid_options = set(definitions[GridOptions.__name__]["properties"])
    parts = [
        "# Fields of recipes",
        "Every field of every table, from the code. *required* has no default; a star marks fields that also take a",
    ]
    parts[-1] += "\nlist of values, which makes the table a grid. `type` selects one of several tables."
    of_kinds = set()
    for name, kind in KINDS.items():
        if kind.spec is None:
            continue
        for spec in dict.fromkeys((kind.spec, *(variant.spec for variant in kind.variants.values() if variant.spec))):
            title = f"## {name}" if spec is kind.spec else f"## {name} ({spec.__name__})"
            leave_out = grid_options if spec is kind.spec and kind.grid else set()
            parts += [title, *_definition(definitions[spec.__name__], leave_out, links)]
            of_kinds.add(spec.__name__)
    parts.append("## Tables inside tables")
    for name in sorted(set(definitions) - of_kinds):
        tag = definitions[name].get("properties", {}).get("type", {}).get("enum", [""])[0]
        title = f"### {name}: type `{tag}`" if tag else f"### {name}"
        parts += [title, *_definition(definitions[name], set(), links)]
    return "\n\n".join(parts) + "\n"


def _definition(definition: Schema, leave_out: set[str], links: bool) -> Iterator[str]:
    """Yield the description of a Struct and the table of its fields, without those of grids."""
    yield inspect.cleandoc(definition.get("description", ""))
    required = set(definition.get("required", ()))
    rows = []
    for name, schema in definition.get("properties", {}).items():
        if name not in leave_out:
            value, is_grid = _without_list(schema)
            default = "*required*" if name in required else _default(value)
            rows.append(f"| `{name}`{' *' if is_grid else ''} | {_type(value, links)} | {default} |")
    if rows:
        yield "\n".join(["| field | type | default |", "|---|---|---|", *rows])


def _without_list(value: Schema) -> tuple[Schema, bool]:
    """Return the schema of one value of a field, and whether the field also takes a list of these, for a grid."""
    match value:
        case {"anyOf": [one, {"type": "array", "items": other}]} if one == other:
            return one, True
    return value, False


def _default(value: Schema) -> str:
    """Return the default of a field as JSON, empty where the field is left out by default."""
    import msgspec

    default = value.get("default")
    return "" if default is None else f"`{_cell(msgspec.json.encode(default).decode())}`"


def _type(value: Schema, links: bool) -> str:
    """Return the type of a value in words, with its limits."""
    match value:
        case {"discriminator": {"mapping": mapping}}:
            tags = (
                f"[`{tag}`](#{reference.rpartition('/')[2].lower()}-type-{tag})" if links else f"`{tag}`"
                for tag, reference in mapping.items()
            )
            return f"table by `type`: {', '.join(tags)}"
        case {"anyOf": options}:
            return " or ".join(_type(option, links) for option in options if option.get("type") != "null")
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"table [{name}](#{name.lower()})" if links else f"table {name}"
        case {"enum": values}:
            return ", ".join(f"`{word}`" for word in values)
        case {"type": "array", "prefixItems": items}:
            return f"list of {len(items)} values"
        case {"type": "array", "items": Mapping() as items}:
            return f"list of {_type(dict(items), links)}"
        case {"type": "object", "additionalProperties": Mapping() as items}:
            return f"table of {_type(dict(items), links)}"
        case {"type": "object"}:
            return "table"
        case {"type": kind}:
            limits = ", ".join(f"{sign} {value[key]:g}" for key, sign in LIMITS.items() if key in value)
            return f"{kind} {limits}".rstrip()
    return "any value"
