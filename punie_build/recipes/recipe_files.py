"""Recipe files of a project: `recipes/*.toml`, and the optional ones in folders of `recipes/`.

The artifacts of an optional file are built by name only: `doit FOLDER:FILE` builds those of `recipes/FOLDER/FILE.toml`,
`doit FOLDER` those of all files in the folder. What other recipes need of them is built with those.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from punie_build.storage.clutter import is_clutter

FOLDER = "recipes"
SEPARATOR = ":"


def recipe_files(root: Path) -> dict[str, Path]:
    """Return label -> path of every recipe file, such as `recipes/ablation/rank.toml`; optional files come last."""
    folder = root / FOLDER
    found = [
        path.relative_to(root)
        for pattern in ("*.toml", "*/*.toml")
        for path in sorted(folder.glob(pattern))
        if not any(map(is_clutter, path.relative_to(folder).parts))
    ]
    return {path.as_posix(): root / path for path in found}


def has_recipes(root: Path) -> bool:
    """Return whether a folder is a project."""
    return bool(recipe_files(root))


def group_of(label: str) -> str:
    """Return the group of an optional recipe file, such as `ablation:rank`, and "" for any other file."""
    parts = PurePosixPath(label).parts
    return f"{parts[1]}{SEPARATOR}{PurePosixPath(label).stem}" if len(parts) == 3 and parts[0] == FOLDER else ""


def folder_of(group: str) -> str:
    """Return the folder of a group."""
    return group.partition(SEPARATOR)[0]


def problems(root: Path, kinds: Iterable[str]) -> list[str]:
    """Return what is wrong with the folders of recipe files: a name that means a kind, or files too deep."""
    folder = root / FOLDER
    taken = sorted({folder_of(group) for label in recipe_files(root) if (group := group_of(label))} & {*kinds})
    deep = sorted(path.relative_to(root).as_posix() for path in folder.glob("*/*/*.toml") if not is_clutter(path.name))
    return [f"{FOLDER}/{name}/: the name of a kind of artifact - rename the folder" for name in taken] + [
        f"{label}: too deep - a recipe lies in {FOLDER}/ or in a folder of it" for label in deep
    ]
