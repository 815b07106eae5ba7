"""Measure how fast a base trains on this machine and how much memory it takes, and forecast the time of a whole
training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from punie_build.runtime.console import format_seconds
from punie_build.training import launch, token_file
from punie_build.training.launch import TrainingRun
from punie_build.training.spec import Adapter

NEVER = 10**9
VALIDATION_BATCHES = 4  # enough to measure the time of one


class Throughput(Struct, frozen=True, kw_only=True):
    """Measurements over `iterations` batches.

    `seconds` per batch without the first, which warms up; `tokens` per batch, and `computed` tokens per batch with
    padding; `validation` seconds per validation batch; peak memory in GiB, of mlx (`memory`) and of the whole process
    (`resident`).
    """

    iterations: int
    seconds: float
    tokens: float
    computed: float
    validation: float
    memory: float
    resident: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.3f} s per iteration, {self.tokens / self.seconds:,.0f} tokens/s "
            f"over {self.iterations} iterations; "
            f"peak memory of the training {self.memory:.2f} GiB in mlx, {self.resident:.2f} GiB in all"
        )


def benchmark_spec(spec: Adapter, iterations: int) -> Adapter:
    """Return the same training with `iterations` batches, and without checkpoints, reports and trackers."""
    return structs.replace(
        spec,
        iters=iterations,
        epochs=None,
        tokens=None,
        steps_per_eval=NEVER,
        save_every=NEVER,
        steps_per_report=NEVER,
        val_batches=VALIDATION_BATCHES,
        early_stop=None,
        keep="last",
        report_to=(),
    )


def measure(run: TrainingRun, say: Callable[[str], object]) -> Throughput:
    """Run a training, and return its throughput. Raises ModelError."""
    launch.train(run, say)
    progress = launch.read_progress(run.log.parent / "progress.json")
    assert progress is not None, "a finished training has at least one batch"
    coverage = run.spec.coverage(token_file.load(run.tokens / "train.safetensors"))
    seconds = progress.seconds
    if coverage.iters > 1:
        seconds = (progress.seconds - progress.first_batch_seconds) / (coverage.iters - 1)
    return Throughput(
        iterations=coverage.iters,
        seconds=seconds,
        tokens=coverage.tokens / coverage.iters,
        computed=coverage.computed / coverage.iters,
        validation=progress.validation_seconds / min(VALIDATION_BATCHES, validation_batches(run.spec, run.tokens)),
        memory=progress.peak_memory,
        resident=progress.peak_resident,
    )


def forecast(throughput: Throughput, spec: Adapter, tokens: Path) -> str:
    """Return one line on the time of a whole training, in proportion to its computed tokens, padding included."""
    coverage = spec.coverage(token_file.load(tokens / "train.safetensors"))
    training = throughput.seconds * coverage.computed / throughput.computed
    count = 1 + math.ceil(coverage.iters / spec.steps_per_eval)
    validation = count * validation_batches(spec, tokens) * throughput.validation
    return (
        f"{coverage}: about {format_seconds(training + validation)}, "
        f"{format_seconds(validation)} of it for {count} validations"
    )


def validation_batches(spec: Adapter, tokens: Path) -> int:
    """Return the number of batches of one validation."""
    count = math.ceil(len(token_file.load(tokens / "valid.safetensors")) / spec.batch_size)
    return count if spec.val_batches < 0 else min(count, spec.val_batches)
