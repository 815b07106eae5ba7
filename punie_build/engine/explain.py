"""Explaining: why a target is not current, value by value, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from punie_build.storage.locks import Facts


def differences(old: Facts, new: Facts) -> Iterator[str]:
    """Lines `recipe.learning_rate: 0.001 -> 0.002` for all that decides a target and is not what it was."""
    for part in ("kind", "recipe", "inputs", "tools", "code"):
        yield from map(plain, _changes(getattr(old, part), getattr(new, part), part))


def plain(text: str) -> str:
    """One line that every terminal, log and file can show: other signs as escapes. A name on disk may hold anything."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _changes(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _changes(old.get(key, _NOTHING), new.get(key, _NOTHING), f"{where}.{key}")
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple):
        yield from _lists(old, new, where)
    elif old != new or type(old) is not type(new):  # a key tells 1 from 1.0
        yield f"{where}: {_shown(old)} -> {_shown(new)}"


def _lists(old: Sequence[Any], new: Sequence[Any], where: str) -> Iterator[str]:
    """Lists of what has a name (filters, parts of a mix, arms) are matched by it, so that one more in front is one line;
    others by place."""
    names = [[_name(item) for item in items] for items in (old, new)]
    if None in [*names[0], *names[1]] or any(len(set(some)) < len(some) for some in names):
        for index in range(max(len(old), len(new))):
            before, after = (items[index] if index < len(items) else _NOTHING for items in (old, new))
            yield from _changes(before, after, f"{where}[{index}]")
        return
    befores, afters = (dict(zip(some, items, strict=True)) for some, items in zip(names, (old, new), strict=True))
    for name in dict.fromkeys([*befores, *afters]):
        yield from _changes(befores.get(name, _NOTHING), afters.get(name, _NOTHING), f"{where}[{name}]")
    kept = [[name for name in some if name in befores and name in afters] for some in names]
    if kept[0] != kept[1]:
        yield f"{where}: another order"


def _name(item: Any) -> str | None:
    """What an item of a list is known by, if it has a name."""
    if isinstance(item, dict):
        item = item.get("type") or item.get("name")
    return item if isinstance(item, str) else None


_NOTHING = object()  # where a key or an item is on one side only


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "(none)"
    if value == "":
        return "''"
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text
