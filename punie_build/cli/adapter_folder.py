"""A folder with an adapter, as `serve` and `eval` use it without a recipe: its base, and its form for mlx-lm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from punie_build.artifacts.base import BASE
from punie_build.engine.recipe import Recipe
from punie_build.errors import UseError
from punie_build.models.spec import Base
from punie_build.models.verify import base_signature
from punie_build.runtime.program import build_command
from punie_build.storage import atomic, digests, paths
from punie_build.training import adapter_config, adapter_formats, adoption
from punie_build.training.adapter_files import FILES, NAME
from punie_build.training.adapter_formats import is_adapter

STATE = f"{paths.STATE}/adopted"


def base_of_adapter(root: Path, recipe: Recipe | None, name: str) -> str:
    """Return the base of the adapter in a folder: the one that its config names, or the only base of the recipes with
    the signature in it. Raises UseError."""
    folder = root / name
    original = adapter_formats.original_config(folder)
    bases = {entry.name: entry.spec for entry in recipe.of_kind(BASE.name)} if recipe else {}
    bases.setdefault("nano", Base(embedded="nano"))
    named = adapter_formats.named_base(original)
    if named in bases or (named and (root / named / "config.json").exists()):
        return named
    if fitting := [base for base, spec in bases.items() if named and named in (spec.hub, spec.path, spec.base_model)]:
        return fitting[0]
    fitting = list(_with_signature(root, folder, bases)) if not named and "peft_type" not in original else []
    if len(fitting) == 1:
        return fitting[0]
    reason = f"its config names {named}, which is no base of the recipes and no folder" if named else (
        f"its config fits {', '.join(fitting)}" if fitting else "its config names no base"
    )  # fmt: skip
    raise UseError(f"{name}: an adapter, and {reason} - name its base: --model BASE")


def _with_signature(root: Path, folder: Path, bases: dict[str, Base]) -> Iterator[str]:
    """Yield the bases on this machine that have the signature in an adapter's config."""
    signature = adapter_config.load(folder).base
    for name, spec in bases.items():
        present = spec.present(root)
        if signature and present and (present / "tokenizer.json").exists() and base_signature(present) == signature:
            yield name


def loadable(root: Path, name: str, base: Path) -> Path:
    """Return a folder that mlx-lm loads the adapter of another from, after it is held against its base.

    Raises ModelError with a line for each mismatch.
    """
    folder = root / name
    if not is_adapter(folder):
        raise UseError(f"{name}: no adapter in this folder, {NAME} missing - `{build_command()} adapter:{folder.name}`")
    if adoption.check(name, folder, base).adapter.format == "mlx-lm":
        return folder
    out = root / STATE / digests.of_tree(folder, FILES)[:32]
    if not is_adapter(out):
        staging = out.with_name(f"{out.name}.new")
        staging.mkdir(parents=True, exist_ok=True)
        adoption.adopt(name, folder, base, staging)
        atomic.replace_folder(staging, out)
    return out
