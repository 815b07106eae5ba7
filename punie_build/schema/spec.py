"""Spec: the base of every value that a recipe can hold, and its canonical text.

A spec is a frozen value: two specs are equal when their fields are, and a spec refuses fields that it does not know.
Two specs of one canonical text are one artifact, whatever the order of their keys or the comments around them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec
from msgspec import Struct


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value of a recipe. Subclasses repeat `frozen=True, kw_only=True`: type checkers do not inherit it."""


class TaggedSpec(Spec, frozen=True, kw_only=True, tag_field="type"):
    """A spec selected by `type = "..."`: one of a union of filters, sources or checks. `NOUN` names the union in
    messages.

    Each class writes its `tag` out: the tag enters keys, the name of the class does not.
    """

    NOUN: ClassVar[str] = "kind"


INNER = (Struct, tuple, dict)  # values that may have Structs inside


def canonical(value: Any) -> bytes:
    """Return the one text of a value: JSON with sorted keys. Everything that enters a key is encoded by this
    function."""
    return msgspec.json.encode(value, order="deterministic")


def digest(value: Any) -> str:
    """Return the sha256 of the canonical text, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def arguments_name(arguments: dict[str, Any]) -> str:
    """Return arguments as a part of a file name, such as `enable_thinking-false`; a digest if they are not simple."""
    text = ",".join(f"{name}-{json.dumps(value)}" for name, value in sorted(arguments.items()))
    return text if re.fullmatch(r"[\w,.-]{1,60}", text) else digest(arguments)[:12]


def toml(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)  # `inf` and `nan`, where JSON has other words
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: str) -> str:
    """Return a key as TOML writes it: bare where that is possible."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml(key)


def structs(value: Any) -> Iterator[Struct]:
    """Yield a value of a recipe and every Struct inside it: the filters of a stage, the source of a dataset."""
    pending = [value] if isinstance(value, INNER) else []
    while pending:
        value = pending.pop()
        if isinstance(value, Struct):
            yield value
            inner: Iterable[Any] = [getattr(value, field) for field in value.__struct_fields__]
        else:
            inner = value.values() if isinstance(value, dict) else value
        pending += [item for item in inner if isinstance(item, INNER)]


def classes(value: Any) -> frozenset[type[Struct]]:
    """Return the classes of a value of a recipe and of every Struct inside it."""
    return frozenset(map(type, structs(value)))
