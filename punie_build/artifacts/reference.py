"""The kind of log-probabilities that DPO compares with."""

from __future__ import annotations

from typing import Any

from punie_build.artifacts.base import start
from punie_build.artifacts.tokens import tokens_of
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.models.environment import mlx_environment
from punie_build.training.adapter_files import NAME as CONFIG
from punie_build.training.adapter_files import WEIGHTS
from punie_build.training.reference import SPLITS, PairReference
from punie_build.training.spec import tokenized_for


def references_of(entry: Entry[Any]) -> tuple[Entry[PairReference], ...]:
    """Return the log-probabilities that the training of an adapter needs, if any. The cells of a grid share them."""
    spec = entry.spec
    if spec.loss != "dpo":
        return ()
    reference = PairReference(base=spec.base, tokens=tokenized_for(spec), init=spec.init)
    return (Entry(REFERENCE, reference.name, reference, entry.file, table=entry.origin),)


def _reference_inputs(recipe: Recipe, entry: Entry[PairReference]) -> TaskInputs:
    spec, tokens = entry.spec, tokens_of(entry)
    base, first = start(recipe, spec.base)
    initial = (recipe.resolve("trained", spec.init),) if spec.init else ()
    needs = (tokens, *first, *initial)
    return TaskInputs(
        doc=f"log-probabilities of {spec.tokens.data} by {spec.init or spec.base}",
        needs=needs,
        inputs=tuple(need.target for need in needs),
        reads=(*(f"{split}.safetensors" for split in SPLITS), *((WEIGHTS["mlx-lm"], CONFIG) if initial else ())),
        external={"base": base},
    )


REFERENCE = ArtifactKind(
    name="reference",
    plural="Log-probabilities",
    references={"base": "any-base", "init": "trained"},
    folder="data",
    suffix="@reference",
    inputs=_reference_inputs,
    step="punie_build.training.reference:reference",
    exclusive="training",
    version=2,  # a prompt is computed once: rounded otherwise
    environment=mlx_environment,
    summary=(("pairs", "{:,.0f} pairs"),),
)
