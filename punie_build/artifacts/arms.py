"""The kinds of arms without weights of their own, and the facts of any arm: what it was trained on, and how it is
asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie_build.artifacts.base import start, trainings
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.evaluation.arm_spec import Endpoint, RecordedAnswers, Variant
from punie_build.evaluation.spec import Eval

if TYPE_CHECKING:
    from punie_build.evaluation.suite import Suite

LOCAL_ONLY = ("engine", "serving.draft", "serving.draft_tokens", "serving.kv_bits", "serving.kv_group_size",
              "serving.quantized_kv_start", "serving.max_kv_size", "serving.prompt_cache_size",
              "serving.prompt_cache_bytes")  # fmt: skip


def model_of(recipe: Recipe, arm: str) -> Entry[Any]:
    """Return the entry of the weights, the endpoint or the file that answers for an arm."""
    entry = recipe.resolve("arm", arm)
    return recipe.resolve("arm", entry.spec.arm) if isinstance(entry.spec, Variant) else entry


def weights_of(recipe: Recipe, arm: str) -> tuple[tuple[Entry[Any], ...], str, Any, tuple[Entry[Any], ...]]:
    """Return the parts that are loaded for an arm: (its adapter or none, the name of the base, the base, the entries
    that build it)."""
    model = model_of(recipe, arm)
    adapter = (model,) if "trained" in model.kind.roles else ()
    name = model.spec.base if adapter else model.name
    return adapter, name, *start(recipe, name)


def unloadable_arm(_root: Path, recipe: Recipe, entry: Entry[Any]) -> Iterator[str]:
    """Yield the mistake of an entry whose arm has no weights that a process here could load."""
    arm = recipe.resolve("arm", entry.spec.arm)
    if not {"any-base", "trained"}.intersection(arm.kind.roles):
        yield f"{entry.where}.arm: {arm.label} has no weights that are loaded here - name a base, adapter or model"


def variant_of(recipe: Recipe, arm: str) -> Variant | None:
    """Return the settings of an arm that is a variant."""
    spec = recipe.resolve("arm", arm).spec
    return spec if isinstance(spec, Variant) else None


def suite_of(recipe: Recipe, name: str, arm: str | None = None) -> Suite:
    """Return the cases of a suite, as an arm is asked them: a variant may have its own system prompt."""
    suite: Suite = recipe.content(recipe.resolve("suite", name))
    variant = variant_of(recipe, arm) if arm else None
    return suite if variant is None or variant.system is None else suite.with_system(variant.system)


def training_data(recipe: Recipe, arm: str) -> Iterator[Entry[Any]]:
    """Yield the data that an arm was trained and selected on."""
    entry = model_of(recipe, arm)
    if adapter := getattr(entry.spec, "adapter", None):
        yield from training_data(recipe, adapter)
    if "trained" in entry.kind.roles:
        names = (getattr(part.spec, "data", None) for part in trainings(recipe, entry))
        yield from (recipe.resolve("data", name) for name in dict.fromkeys(names) if name)


def has_unknown_data(recipe: Recipe, arm: str) -> bool:
    """Return whether an arm was trained elsewhere, on rows that are not known here."""
    entry = model_of(recipe, arm)
    if adapter := getattr(entry.spec, "adapter", None):
        return has_unknown_data(recipe, adapter)
    return "trained" in entry.kind.roles and any(not hasattr(part.spec, "data") for part in trainings(recipe, entry))


def trained_arguments(recipe: Recipe, arm: str) -> dict[str, Any]:
    """Return the arguments of the chat template that an arm was trained with; none for a base."""
    entry = model_of(recipe, arm)
    if adapter := getattr(entry.spec, "adapter", None):
        return trained_arguments(recipe, adapter)
    return entry.spec.chat_template_args if "trained" in entry.kind.roles else {}


def eval_mistakes(recipe: Recipe, entry: Entry[Eval]) -> Iterator[str]:
    """Yield the settings of an eval that have no effect on its arm."""
    model = model_of(recipe, entry.spec.arm)
    if not isinstance(model.spec, Endpoint | RecordedAnswers):
        return
    default = Eval(arm=entry.spec.arm, suite=entry.spec.suite)
    for field in LOCAL_ONLY:
        values = [entry.spec, default]
        for name in field.split("."):
            values = [getattr(value, name) for value in values]
        if values[0] != values[1]:
            yield f"{entry.where}.{field}: has no effect on {model.label}, which no build serves - remove it"


def _variant_mistakes(_root: Path, recipe: Recipe, entry: Entry[Variant]) -> Iterator[str]:
    arm = recipe.resolve("arm", entry.spec.arm)
    if isinstance(arm.spec, Variant | RecordedAnswers):
        yield f"{entry.where}.arm: {arm.label} cannot be asked in another way - name a base, adapter, model or endpoint"


ENDPOINT = ArtifactKind(name="endpoint", plural="Endpoints", spec=Endpoint, roles=("arm",), namespace="arm")
VARIANT = ArtifactKind(
    name="variant",
    plural="Variants",
    spec=Variant,
    roles=("arm",),
    references={"arm": "arm"},
    namespace="arm",
    cross_check=_variant_mistakes,
)
RECORDED = ArtifactKind(
    name="answers",
    plural="Answers",
    spec=RecordedAnswers,
    roles=("arm",),
    namespace="arm",
)
