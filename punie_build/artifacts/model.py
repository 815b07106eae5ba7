"""The kind of models that are made of an adapter and its base."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from punie_build.artifacts.base import start
from punie_build.artifacts.tokens import tokens_of
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.export.spec import Model, gguf_problem
from punie_build.models.environment import mlx_environment


def _model_mistakes(root: Path, recipe: Recipe, entry: Entry[Model]) -> Iterator[str]:
    """Yield why a base that is on this machine cannot become the model, or that the model would replace a base."""
    for base in recipe.of_kind("base"):
        if base.spec.path and PurePosixPath(base.spec.path) == PurePosixPath(entry.target):
            yield f"{entry.where}: {entry.target} is the folder of base.{base.name} - choose another name"
    origin: Entry[Any] = entry
    while origin.kind.is_built:
        name = origin.spec.base
        origin = recipe.resolve("any-base", name) if name else recipe.resolve("trained", origin.spec.adapter)
    folder = origin.spec.present(root)
    with suppress(OSError, ValueError):  # a folder without a model is reported where it is used
        config = json.loads((folder / "config.json").read_bytes()) if folder else None
        if isinstance(config, dict) and (problem := gguf_problem(entry.spec, config)):
            yield f"{entry.where}.{problem}"


def _model_inputs(recipe: Recipe, entry: Entry[Model]) -> TaskInputs:
    spec = entry.spec
    parts: tuple[Entry[Any], ...] = ()
    if spec.adapter is not None:
        adapter = recipe.resolve("trained", spec.adapter)
        parts = (adapter, *((tokens_of(adapter),) if hasattr(adapter.spec, "data") else ()))
    base, first = start(recipe, str(parts[0].spec.base if parts else spec.base))
    subject = f"{spec.adapter} fused into its base" if spec.adapter else str(spec.base)
    return TaskInputs(
        doc=f"{subject}, in {spec.precision}",
        needs=(*parts, *first),
        inputs=tuple(need.target for need in (*parts, *first)),
        reads=("adapters.safetensors", "adapter_config.json", "test.safetensors", "valid.safetensors") if parts else (),
        external={"base": base},
    )


MODEL = ArtifactKind(
    name="model",
    plural="Models",
    spec=Model,
    roles=("any-base", "arm"),
    references={"adapter": "trained", "base": "base"},
    namespace="arm",
    folder="models",
    cross_check=_model_mistakes,
    inputs=_model_inputs,
    step="punie_build.export.steps:model",
    exclusive="training",
    version=1,
    environment=mlx_environment,
    not_in_key=NOT_IN_KEY,
    nameless=True,
    verify="punie_build.export.model_folder:model",
    preview="punie_build.preflight.preview:preview_model",
    page="punie_build.reports.pages.model:MODEL_PAGE",
    summary=(("bits_per_weight", "{:.1f} bits a weight"), ("gain_retained", "{:.0%} of the gain kept")),
)
