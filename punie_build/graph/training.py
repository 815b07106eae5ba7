"""Training in the graph: tokens and adapters."""

from __future__ import annotations

from punie_build import layout
from punie_build.adapters import Adapter, Tokenized, tokenized
from punie_build.graph.task import ROWS, Task, label, task
from punie_build.recipe import DATA, Described, Recipe

NAMES = {"lora": "LoRA", "dora": "DoRA", "full": "full training"}


def tokens_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The data that is written in tokens."""
    return [recipe.find(DATA, described.spec.data)]


def adapter_needs(_recipe: Recipe, described: Described) -> list[Described]:
    """The tokens it is trained on."""
    return [tokens_of(described)]


def tokens_of(described: Described) -> Described:
    """The tokens an adapter is trained on; adapters that differ in nothing of it share them, as all cells of a grid do."""
    spec = described.spec.tokens if described.kind == "choice" else tokenized(described.spec)
    return Described("tokens", spec.name, spec, described.file)


def tokens(recipe: Recipe, described: Described) -> Task:
    spec: Tokenized = described.spec
    return task(
        described,
        f"{spec.data} in the tokens of {spec.base}",
        needs=(label(recipe, spec.data),),
        inputs=(layout.target("dataset", spec.data),),
        reads=ROWS,
        base=recipe.find(("base",), spec.base).spec,
    )


def adapter(recipe: Recipe, described: Described) -> Task:
    spec: Adapter = described.spec
    how = f"rank {spec.lora.rank}, " if spec.fine_tune_type != "full" else ""
    doc = f"{NAMES[spec.fine_tune_type]} of {spec.base} on {spec.data}, {how}{spec.long}"
    read = tokens_of(described)
    return task(
        described,
        doc,
        needs=(read.label,),
        inputs=(layout.target("tokens", read.name),),
        reads=("train.safetensors", "valid.safetensors"),
        base=recipe.find(("base",), spec.base).spec,
    )
