"""Explain why a target is not current, value by value, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from punie_build.errors import printable
from punie_build.storage.locks import KeyInputs

_MISSING = object()  # a key or an item that only one of the two has


def differences(old: KeyInputs, new: KeyInputs) -> Iterator[str]:
    """Yield lines `recipe.learning_rate: 0.001 -> 0.002` for all that decides a target and has changed."""
    for part in ("kind", "recipe", "inputs", "tools", "code"):
        yield from value_changes(getattr(old, part), getattr(new, part), part)


def value_changes(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield lines on the differences of two values at a path."""
    yield from map(printable, _changes(old, new, path))


def _changes(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(old.get(key, _MISSING), new.get(key, _MISSING), f"{path}.{key}")
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _list_changes(old, new, path)
    elif repr(old) != repr(new):  # as in a key, 1 is neither 1.0 nor true, and 0.0 is not -0.0
        yield f"{path}: {_text(old)} -> {_text(new)}"


def _list_changes(old: Sequence[Any], new: Sequence[Any], path: str) -> Iterator[str]:
    """Compare lists of items that have names (filters, parts of a mix, arms) by name, so that one more item in front is
    one line; other lists by position."""
    names = [[_name(item) for item in items] for items in (old, new)]
    if None in [*names[0], *names[1]] or any(len(set(items)) < len(items) for items in names):
        for index in range(max(len(old), len(new))):
            before, after = (items[index] if index < len(items) else _MISSING for items in (old, new))
            yield from _changes(before, after, f"{path}[{index}]")
        return
    before_by_name, after_by_name = (
        dict(zip(keys, items, strict=True)) for keys, items in zip(names, (old, new), strict=True)
    )
    for name in dict.fromkeys([*before_by_name, *after_by_name]):
        before, after = before_by_name.get(name, _MISSING), after_by_name.get(name, _MISSING)
        yield from _changes(before, after, f"{path}[{name}]")
    common = [[name for name in items if name in before_by_name and name in after_by_name] for items in names]
    if common[0] != common[1]:
        yield f"{path}: another order"


def _name(item: Any) -> str | None:
    """Return the name of an item of a list, if it has one."""
    if isinstance(item, dict):
        item = item.get("type") or item.get("name")
    return item if isinstance(item, str) else None


def _text(value: Any) -> str:
    if value is _MISSING:
        return "(none)"
    if value == "":
        return "''"
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text
