"""Training in the graph: tokens, preflights and adapters."""

from __future__ import annotations

from punie_build.artifacts.task import ROWS, Task, label, start, task
from punie_build.preflight.spec import Preflight
from punie_build.recipes.recipe import ADAPTERS, DATA, Described, Recipe
from punie_build.storage import paths
from punie_build.training.spec import Adapter, Tokenized, tokenized

NAMES = {"lora": "LoRA", "dora": "DoRA", "full": "full training"}


def tokens_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The data that is written in tokens, or looked at, and its base where that is made."""
    return [recipe.find(DATA, described.spec.data), *start(recipe, described.spec.base)[1]]


def adapter_needs(recipe: Recipe, described: Described) -> list[Described]:
    """The tokens it is trained on, a look at the rows before, and its base where that is made."""
    return [tokens_of(described), preflight_of(described), *start(recipe, described.spec.base)[1]]


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
        inputs=(paths.target("dataset", spec.data),),
        reads=ROWS,
        on=start(recipe, spec.base),
    )


def preflight_of(described: Described) -> Described:
    """The look at the rows that adapters of one base and data share."""
    spec = Preflight(base=described.spec.base, data=described.spec.data)
    return Described("preflight", spec.name, spec, described.file)


def preflight(recipe: Recipe, described: Described) -> Task:
    """What is asked later of whoever learns these rows decides it, too."""
    spec: Preflight = described.spec
    return task(
        described,
        f"what is odd about {spec.data}, as {spec.base} reads it",
        needs=(label(recipe, spec.data),),
        inputs=(paths.target("dataset", spec.data),),
        reads=ROWS,
        on=start(recipe, spec.base),
        config={"suites": {name: recipe.suite_digest(name) for name in _asked(recipe, spec)}},
    )


def _asked(recipe: Recipe, spec: Preflight) -> list[str]:
    """The suites that the adapters of this base and data are asked, by themselves, in a grid, or fused into a model."""
    trained = [described for kind in ADAPTERS for described in recipe.of(kind)]
    adapters = {d.name for d in trained if (d.spec.base, d.spec.data) == (spec.base, spec.data)}
    arms = adapters | {d.name for d in recipe.of("model") if d.spec.adapter in adapters}
    found = set()
    for described in recipe.artifacts.values():
        suite = getattr(described.spec, "suite", None)
        named = getattr(described.spec, "arms", None) or (getattr(described.spec, "arm", None),)
        found |= {suite} if suite and arms.intersection(named) else set()
    return sorted(found)


def adapter(recipe: Recipe, described: Described) -> Task:
    spec: Adapter = described.spec
    how = f"rank {spec.lora.rank}, " if spec.fine_tune_type != "full" else ""
    doc = f"{NAMES[spec.fine_tune_type]} of {spec.base} on {spec.data}, {how}{spec.long}"
    read = tokens_of(described)
    return task(
        described,
        doc,
        needs=(read.label, preflight_of(described).label),
        inputs=(paths.target("tokens", read.name),),
        reads=("train.safetensors", "valid.safetensors"),
        on=start(recipe, spec.base),
    )
