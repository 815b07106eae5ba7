"""Fingerprint of the code that makes an artifact, as far as that code decides the artifact's bytes.

A cheap step is identified by the meaning of its code: the definitions that the step and the classes in its recipe can
reach. Packages that change no bytes (`OUTSIDE`) are not followed. An expensive step has a version that is raised by
hand, so that a refactoring never costs an hour of training."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from punie_build.engine.kind import ArtifactKind, resolve, symbol
from punie_build.storage import paths, sealed_file

if TYPE_CHECKING:
    from punie_build.engine.meaning import Symbol

PREFIX = "punie_build."
OUTSIDE = ("artifacts", "data.filters.score_cache", "engine", "runtime", "storage")  # with all modules below them

_codes: dict[str, str] = {}
_cache_file: Path | None = None


def code(kind: ArtifactKind, of: frozenset[type[Struct]]) -> str:
    """Return a short text that changes when the step of a kind does something else for a recipe with values of these
    classes."""
    if kind.version is not None:
        return f"version {kind.version}"
    symbols = _symbols(of)
    step = symbol(kind.step)
    if not step[0].startswith(PREFIX):
        return _foreign_code(kind, symbols)
    name = f"{step} {symbols}"
    if name not in _codes:
        _codes[name] = of_symbols([(step[0].removeprefix(PREFIX), step[1]), *symbols])
        if _cache_file:
            _write_cache(_cache_file)
    return _codes[name]


def use_cache(folder: Path | None) -> None:
    """Reuse the fingerprints of earlier runs in all projects while no file of the package has changed: parsing it takes
    0.4 s. Where no file can be written, or without a folder, they are computed in each run."""
    global _cache_file  # noqa: PLW0603 - one package, one cache
    _cache_file = folder / f"code-{_short_hash(str(paths.CODE))}.json" if folder else None
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        content = json.loads((_cache_file and sealed_file.read(_cache_file)) or b"{}")
        if content["package"] == _package_stamp():
            _codes.update({str(name): str(value) for name, value in content["codes"].items()})


def of_symbols(roots: Iterable[Symbol]) -> str:
    """Return 16 hex digits over the meaning of all definitions that the roots can reach, wherever they are defined."""
    parts = sorted(f"{name} {text}" for (_, name), text in reachable(roots).items())
    return _short_hash("\0".join(parts))


def reachable(roots: Iterable[Symbol]) -> dict[Symbol, str]:
    """Return the meaning of every definition of the package that the roots can reach."""
    from punie_build.engine.meaning import module  # it imports `ast`, which cached fingerprints do not need

    meanings: dict[Symbol, str] = {}
    seen: set[Symbol] = set()
    stack = list(roots)
    while stack:
        name = stack.pop()
        if name in seen or _is_outside(name):
            continue
        seen.add(name)
        source = module(name[0])
        definition = source.definition(name[1]) if source else None
        if definition is None:
            continue
        if definition.meaning:
            meanings[name] = definition.meaning
        stack += definition.uses
    return meanings


def class_symbol(cls: type) -> Symbol:
    """Return where a class of the package is defined."""
    return cls.__module__.removeprefix(PREFIX), cls.__name__


@cache
def _symbols(of: frozenset[type[Struct]]) -> list[Symbol]:
    """Return where the classes of the values in a recipe are defined, such as its filters and its source, in order."""
    return sorted(name for name in map(class_symbol, of) if not _is_outside(name))


def _foreign_code(kind: ArtifactKind, symbols: list[Symbol]) -> str:
    """Return the code of a step of a project: it is identified by the whole file that it is in.

    It is not written to the cache, whose stamp does not cover that file.
    """
    import inspect  # 10 ms that steps of this package need not pay

    file = inspect.getsourcefile(resolve(kind.step))
    return _short_hash(of_symbols(symbols) + _file_meaning(str(file)))


@cache
def _file_meaning(path: str) -> str:
    import ast

    from punie_build.engine.meaning import meaning

    return meaning(ast.parse(Path(path).read_text(encoding="utf-8")))


@cache
def _is_outside(name: Symbol) -> bool:
    return any(name[0] == outside or name[0].startswith(f"{outside}.") for outside in OUTSIDE)


@cache
def _package_stamp() -> str:
    """Return a text that changes when a file of the package does: by inode, size and times."""
    return hashlib.sha256(f"{sys.version_info[:2]} {sorted(_stamps(str(paths.CODE)))}".encode()).hexdigest()


def _stamps(folder: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield the path, inode, size and times of each Python file below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                stat = entry.stat()
                yield entry.path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _stamps(entry.path)


def _write_cache(path: Path) -> None:
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealed_file.write(path, json.dumps({"package": _package_stamp(), "codes": _codes}).encode())


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
