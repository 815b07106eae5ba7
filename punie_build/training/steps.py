"""Steps of training: tokens, preflights and adapters."""

from __future__ import annotations

import math

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.models.dropped_parts import DROPPED
from punie_build.models.rendered_row import NOTES
from punie_build.runtime import blas
from punie_build.runtime.console import message
from punie_build.storage import paths
from punie_build.storage.locks import KeyInputs
from punie_build.training import adoption, checkpoints, history, launch, memory_ladder
from punie_build.training.adopted import AdoptedAdapter
from punie_build.training.spec import Adapter, Tokenized
from punie_build.training.token_file import TokenStats


def tokens(work: Work[Tokenized]) -> StepResult:
    """Render and tokenize a dataset, in a process of its own: mlx-lm's tokenizers import mlx."""
    stats = launch.tokenize(work.external("base"), work.inputs()[0], work.spec, work.out, work.logs)
    return StepResult(token_counts(stats), token_metrics(stats))


@message
def token_counts(stats: TokenStats) -> str:
    """Return one line on a dataset in tokens."""
    train = stats.train
    text = f"{train.rows} rows, {train.tokens:,} tokens, {train.trained_tokens:,} of them trained"
    problems = (("truncated", "truncated"), ("dropped", "too long"), ("fully_masked", "without a trained token"))
    for name, words in problems:
        if count := sum(getattr(counts, name) for counts in stats.splits):
            text += f"; {count} {words}"
    for note, words in NOTES.items():
        if count := sum(counts.notes.get(note, 0) for counts in stats.splits):
            text += f"\n   {count} {words}"
    for part in DROPPED:
        if count := sum(counts.dropped_parts.get(part, 0) for counts in stats.splits):
            text += f"\n   {count} {part} dropped by the chat template"
    return text


def token_metrics(stats: TokenStats) -> dict[str, float]:
    """Return the numbers of the training split, for gates."""
    counts = msgspec.to_builtins(stats.train)
    parts: dict[str, int] = counts.pop("dropped_parts")
    more = counts.pop("notes") | ({"dropped_parts": sum(parts.values())} if parts else {})
    return {name: float(value) for name, value in (counts | more).items()}


def spec_of_key(spec: Adapter, key_inputs: KeyInputs) -> Adapter:
    """Return the spec with the batching of its key: that of data with an order, or the default of an older lock."""
    return msgspec.structs.replace(spec, batching=key_inputs.recipe.get("batching", spec.batching))


def adapter(work: Work[Adapter]) -> StepResult:
    """Train an adapter in a process of its own."""
    assert work.key_inputs is not None
    tokens, spec = work.inputs()[0], spec_of_key(work.spec, work.key_inputs)
    count = launch.count_train_rows(tokens)
    if count < launch.MIN_EXAMPLES:
        work.say(f"only {count} training examples - fewer than {launch.MIN_EXAMPLES} are mostly memorized")
    if advice := blas.advice():
        work.say(advice)
    checkpoint_dir = work.root / paths.checkpoints(launch.checkpoint_key(work.key_inputs, spec))
    if work.afresh:
        checkpoints.remove_older(checkpoint_dir, work.since)
    resumed = launch.train(
        launch.TrainingRun(
            root=work.root,
            base=work.external("base"),
            tokens=tokens,
            spec=spec,
            out=work.out,
            checkpoint_dir=checkpoint_dir,
            log=work.logs / "training.log",
            init=work.inputs()[-1] if spec.init else None,
            reference=work.root / work.task.needed("reference") if spec.loss == "dpo" else None,
        ),
        work.say,
    )
    note = f"; resumed after {resumed.iteration} batches" if resumed.iteration else ""
    metrics = history.metrics(work.out) | {"went_on_after": resumed.iteration}
    report = memory_ladder.read_report(work.logs / "memory.json")
    if report.rung:
        note += f"; {memory_ladder.rungs(spec.batch_size)[report.rung]}, to fit into {report.limit / 2**30:.1f} GiB"
        metrics |= {"memory_rung": report.rung}
    return StepResult(history.summary(work.out) + note, metrics, resumed.seconds)


def adopt(work: Work[AdoptedAdapter]) -> StepResult:
    """Take over an adapter of another program as mlx-lm loads it."""
    where = f"{work.task.file}: {work.task.kind.name}.{work.task.name}: {work.spec.path}"
    fitted = adoption.adopt(where, work.inputs()[0], work.external("base"), work.out)
    for note in fitted.notes:
        work.say(note)
    config, tensors = fitted.adapter.config, fitted.adapter.tensors.values()
    parameters = sum(math.prod(tensor["shape"]) for tensor in tensors)
    lora = config.lora_parameters
    text = f"rank {lora.rank}, scale {lora.scale:g}" if lora else "whole weights"
    return StepResult(
        f"adopted from {fitted.adapter.format}, not trained here: {config.fine_tune_type}, {text}, "
        f"{parameters:,} parameters",
        {"parameters": parameters, "layers": config.num_layers or 0, "notes": len(fitted.notes)}
        | ({"rank": lora.rank or 0} if lora else {}),
    )
