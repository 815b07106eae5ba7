"""Spec: the base of everything a recipe can say, and its one text.

A spec is a frozen value: equal when it says the same, and refuses what it does not know. Two specs of the same
canonical text are the same artifact, whatever the order of their keys or the comments around them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something a recipe says. Subclasses repeat `frozen=True, kw_only=True`: type checkers do not inherit it."""


class Kind(Spec, frozen=True, kw_only=True, tag_field="type"):
    """A spec chosen by `type = "..."`: one of a union of filters, sources or checks. Each class of a union writes its `tag` out:
    the tag enters keys, the name of the class does not."""


def canonical(value: Any) -> bytes:
    """The one text of a value: JSON with sorted keys. Everything that enters a key goes through here."""
    return msgspec.json.encode(value, order="deterministic")


def digest(value: Any) -> str:
    """sha256 of the canonical text, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def toml(value: Any) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)


def structs(value: Any) -> Iterator[Struct]:
    """A value of a recipe and every value in it, the outer before the inner: the filters of a stage, the kind of a source."""
    if isinstance(value, Struct):
        yield value
        for field in value.__struct_fields__:
            yield from structs(getattr(value, field))
    elif isinstance(value, tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from structs(item)
