"""Kinds of training: preflights and adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from punie_build.artifacts.base import start, trainings
from punie_build.artifacts.data import datasets_read
from punie_build.artifacts.reference import references_of
from punie_build.artifacts.tokens import rows_for_base, tokens_of
from punie_build.data.sources import Answers
from punie_build.data.spec import Stage
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind, GridRules
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.spec import Eval
from punie_build.models.environment import mlx_environment
from punie_build.preflight.spec import Preflight
from punie_build.schema.spec import digest
from punie_build.training.adapter_files import FILES, WEIGHTS
from punie_build.training.adapter_files import NAME as CONFIG
from punie_build.training.adopted import RECORD, AdoptedAdapter
from punie_build.training.spec import ITERS, Adapter, AdapterDetails, Lora

if TYPE_CHECKING:
    from punie_build.evaluation.suite import Suite
    from punie_build.storage.locks import Lock

LOSSES = [
    f"{split}_{name}"
    for split in ("valid", "train")
    for name in ("loss", "loss_start", "loss_last", "accuracy", "margin")
]
METRICS = frozenset(("rows", "epochs", "updates", "iterations", "best_at", "went_on_after", "memory_rung", *LOSSES))
METHODS = {"lora": "LoRA", "dora": "DoRA", "full": "full training"}


class PreflightDetails(Struct, frozen=True):
    """The digest of each suite that the adapters of this base and data are asked."""

    suites: dict[str, str]


def preflight_of(entry: Entry[Any]) -> Entry[Preflight]:
    """Return the check of rows that the adapters of one base and data share."""
    of = entry.spec
    spec = Preflight(base=of.base, data=of.data, chat_template_args=of.chat_template_args, pairs=of.compares)
    return Entry(PREFLIGHT, spec.name, spec, entry.file, table=entry.origin)


def _preflight_inputs(recipe: Recipe, entry: Entry[Preflight]) -> TaskInputs:
    suites = _suites_asked(recipe, entry.spec)
    return rows_for_base(
        recipe,
        entry,
        f"problems of {entry.spec.data}, as {entry.spec.base} reads it",
        details=PreflightDetails(suites={name: digest(suite) for name, suite in suites.items()}),
        uses=suites,
    )


def _suites_asked(recipe: Recipe, spec: Preflight) -> dict[str, Suite]:
    """Return the suites that adapters of this base and data are asked: by themselves, in a grid, or fused into a
    model.

    A suite that is only asked for answers to train on is practice: it is returned without cases, which are no leak.
    """
    trained = [
        entry
        for entry in recipe.of_role("trained")
        if any(
            (other.spec.base, getattr(other.spec, "data", None)) == (spec.base, spec.data)
            for other in trainings(recipe, entry)
        )
    ]
    adapters = {entry.name for entry in trained}
    fused = {e.name for e in recipe.of_role("arm") if getattr(e.spec, "adapter", None) in adapters}
    fused |= {e.name for e in recipe.of_role("arm") if getattr(e.spec, "arm", None) in adapters | fused}
    sources = [getattr(entry.spec, "source", None) for entry in recipe.of_role("data")]
    practice = {source.eval for source in sources if isinstance(source, Answers)}
    measured: dict[str, bool] = {}
    for entry in recipe.entries.values():
        suite = getattr(entry.spec, "suite", None)
        arms = getattr(entry.spec, "arms", None) or (getattr(entry.spec, "arm", None),)
        if suite and (adapters | fused).intersection(arms):
            is_practice = isinstance(entry.spec, Eval) and entry.name in practice
            measured[suite] = measured.get(suite, False) or not is_practice
    suites = {name: recipe.content(recipe.resolve("suite", name)) for name in sorted(measured)}
    return {name: suite if measured[name] else structs.replace(suite, cases=()) for name, suite in suites.items()}


def _has_order(recipe: Recipe, data: str) -> bool:
    """Return whether the training rows of data are in the order of a mix; a stage keeps it."""
    spec = recipe.resolve("data", data).spec
    return _has_order(recipe, spec.from_) if isinstance(spec, Stage) else bool(getattr(spec, "order", None))


def _adapter_mistakes(_root: Path, recipe: Recipe, entry: Entry[Adapter]) -> Iterator[str]:
    """Yield the mistakes of an adapter's data, before a build: data of another form than its loss, and an order that
    its batching would change."""
    spec, where = entry.spec, f"{entry.file}: {'.'.join(entry.origin)}"
    for dataset in datasets_read(recipe, recipe.resolve("data", spec.data)):
        has_pairs = dataset.spec.form == "preference"
        if has_pairs and not spec.compares:
            yield (
                f"{where}.data: {dataset.label} is preference data, and an adapter trains on one answer per row - "
                'set loss = "dpo" or "orpo"; or remove its `form`, and name the wanted answer: '
                'columns = { prompt = "user", chosen = "assistant" }'
            )
        elif spec.compares and not has_pairs:
            yield (
                f'{where}.loss: "{spec.loss}" compares the answers of pairs, and {dataset.label} has one answer per '
                'row - set form = "preference" there, or leave out the loss'
            )
    if spec.batching not in ("auto", "bucket", "file") and _has_order(recipe, spec.data):
        yield (
            f'{entry.where}.batching: "{spec.batching}" puts rows of similar length together, and the rows of '
            f'{spec.data} have an order - use "file"'
        )
    if spec.init:
        initial = recipe.resolve("trained", spec.init)
        for field in ("base", "fine_tune_type", "num_layers", "lora"):
            value = getattr(initial.spec, field, None)
            if value is not None and not _is_same(value, getattr(spec, field)):
                yield (
                    f"{entry.where}.init: {initial.label} has another `{field}` - a training goes on with the layers, "
                    f"the rank and the scale of its weights: give both the same `{field}`"
                )


def _is_same(value: Any, other: Any) -> bool:
    """Return whether two values of a field belong to the same weights: the dropout of LoRA may differ."""
    return bool(value == (structs.replace(other, dropout=value.dropout) if isinstance(value, Lora) else other))


def _adapter_inputs(recipe: Recipe, entry: Entry[Adapter]) -> TaskInputs:
    spec, tokens = entry.spec, tokens_of(entry)
    base, first = start(recipe, spec.base)
    initial = (recipe.resolve("trained", spec.init),) if spec.init else ()
    reference = references_of(entry)
    rank = f"rank {spec.lora.rank}, " if spec.fine_tune_type != "full" else ""
    return TaskInputs(
        doc=f"{METHODS[spec.fine_tune_type]} of {spec.base} on {spec.data}, {rank}{spec.duration}"
        + (f", from {spec.init}" if spec.init else "")
        + (f", {spec.loss.upper()}" if spec.compares else ""),
        needs=(tokens, preflight_of(entry), *reference, *first, *initial),
        inputs=(tokens.target, *(need.target for need in (*reference, *first, *initial))),
        reads=("train.safetensors", "valid.safetensors", *((WEIGHTS["mlx-lm"], CONFIG) if initial else ())),
        external={"base": base},
        details=_adapter_details(recipe, spec),
    )


def _adapter_details(recipe: Recipe, spec: Adapter) -> AdapterDetails | None:
    ordered, drawn = _has_order(recipe, spec.data), spec.grad_checkpoint and spec.lora.dropout > 0
    if not ordered and not drawn:
        return None
    return AdapterDetails(batching="file" if ordered else None, dropout_masks="drawn once" if drawn else "")


def _work_ratio(spec: Adapter, lock: Lock) -> float:
    """Return how many times as long a training is as the one of a lock, by its iterations or epochs."""
    recorded = lock.key_inputs.recipe
    if all(recorded.get(name) == getattr(spec, name) for name in ("iters", "epochs", "tokens")):
        return 1.0
    amounts = {"epochs": spec.epochs, "iterations": None if spec.tokens or spec.epochs else spec.iters or ITERS}
    ratios = [now / last for name, now in amounts.items() if now and (last := lock.metrics.get(name))]
    return ratios[0] if ratios else 1.0


def _adoption_mistakes(_root: Path, recipe: Recipe, entry: Entry[AdoptedAdapter]) -> Iterator[str]:
    """Yield why the folder of an adopted adapter cannot be one: a build writes it."""
    path = str(PurePosixPath(entry.spec.path))
    if path == entry.target:
        yield f"{entry.where}.path: {path} is the folder that a build writes it to - move it to another folder"
    elif (builder := recipe.builder_of(path)) is not None:
        yield f"{entry.where}.path: {path} is the target of {builder.kind.name}.{builder.name} - name that instead"


def _adoption_inputs(recipe: Recipe, entry: Entry[AdoptedAdapter]) -> TaskInputs:
    base, first = start(recipe, entry.spec.base)
    return TaskInputs(
        doc=f"{entry.spec.path}, adopted for {entry.spec.base}, not trained here",
        needs=first,
        inputs=(entry.spec.path, *(need.target for need in first)),
        reads=FILES,
        external={"base": base},
    )


PREFLIGHT = ArtifactKind(
    name="preflight",
    plural="Preflights",
    references={"base": "any-base", "data": "data"},
    folder="data",
    suffix="@preflight",
    inputs=_preflight_inputs,
    step="punie_build.preflight.steps:preflight",
    version=1,
    page="punie_build.reports.pages.preflight:PREFLIGHT_PAGE",
)
ADOPTED = ArtifactKind(
    name="adapter",
    plural="Adapters",
    spec=AdoptedAdapter,
    roles=("trained", "arm"),
    references={"base": "any-base"},
    namespace="arm",
    folder="adapters",
    cross_check=_adoption_mistakes,
    inputs=_adoption_inputs,
    step="punie_build.training.steps:adopt",
    outputs={
        "adapter_config.json": "punie_build.training.verify:AdapterConfig",
        RECORD: "punie_build.training.adopted:AdoptionRecord",
    },
    verify="punie_build.training.adoption:verify",
    preview="punie_build.preflight.preview:preview_adoption",
    page="punie_build.reports.pages.adopted:ADOPTED_PAGE",
    summary=(("parameters", "adopted, {:,.0f} parameters"),),
)
ADAPTER = ArtifactKind(
    name=ADOPTED.name,
    plural="Adapters",
    spec=Adapter,
    roles=("trained", "arm"),
    references={"base": "any-base", "data": "data", "init": "trained"},
    namespace="arm",
    folder="adapters",
    grid=GridRules(
        fixed=dict.fromkeys(
            ("base", "chat_template_args", "data", "mask", "max_seq_length", "too_long", "val_batches"),
            "losses over different tokens cannot be ranked - describe an adapter for each, and a comparison of them",
        )
        | dict.fromkeys(
            ("loss", "beta"),
            "losses of different formulas cannot be ranked - describe an adapter for each, and a comparison of them",
        ),
        ranked_by=("metrics.jsonl",),
        replicate="seed",
    ),
    cross_check=_adapter_mistakes,
    variants={"path": ADOPTED},
    inputs=_adapter_inputs,
    step="punie_build.training.steps:adapter",
    check_first="punie_build.preflight.steps:check_training",
    work_ratio=_work_ratio,
    done_share="punie_build.training.launch:done_share",
    exclusive="training",
    version=4,
    environment=mlx_environment,
    not_in_key=(*NOT_IN_KEY, "allow", "project_name", "report_to", "save_every"),
    metrics=METRICS,
    history=frozenset(("went_on_after",)),
    measured="punie_build.training.history:metrics",
    outputs={
        "adapter_config.json": "punie_build.training.verify:AdapterConfig",
        "metrics.jsonl": "punie_build.training.launch:TrainEvent",
    },
    verify="punie_build.training.verify:adapter",
    preview="punie_build.preflight.preview:preview_adapter",
    page="punie_build.reports.pages.adapter:ADAPTER_PAGE",
    summary=(("valid_loss", "validation loss {:.3f}"),),
)
