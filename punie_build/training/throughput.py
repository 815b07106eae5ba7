"""Benchmarking: how fast a base trains here and how much memory that takes, told by the process that trains; and what follows for a
whole training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from punie_build.runtime.console import format_seconds
from punie_build.training import launch, token_file
from punie_build.training.launch import Training
from punie_build.training.spec import Adapter

NEVER = 10**9
VALIDATED = 4  # batches: enough to know what one takes


class Speed(Struct, frozen=True, kw_only=True):
    """What was measured over `iterations` batches: seconds of one (without the first, which warms up), useful and `computed` tokens in it
    (with padding), seconds to validate a batch; peak memory in GiB, of mlx and of the whole process."""

    iterations: int
    seconds: float
    tokens: float
    computed: float
    validation: float
    memory: float
    resident: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:.3f} s per iteration, {self.tokens / self.seconds:,.0f} tokens/s over {self.iterations} iterations; "
            f"peak memory of the training {self.memory:.2f} GiB in mlx, {self.resident:.2f} GiB in all"
        )


def shortened(spec: Adapter, iterations: int) -> Adapter:
    """The same training, so many batches long, of which nothing is kept."""
    return structs.replace(
        spec,
        iters=iterations,
        epochs=None,
        tokens=None,
        steps_per_eval=NEVER,
        save_every=NEVER,
        steps_per_report=NEVER,
        val_batches=VALIDATED,
        early_stop=None,
        keep="last",
        report_to=(),
    )


def measure(work: Training, say: Callable[[str], object]) -> Speed:
    """Train as `work` says, and what that took. Raises ModelError, with what to do."""
    launch.train(work, say)
    told = launch.last(work.log.parent / "progress.json")
    assert told is not None, "a training that ended had a batch"
    rows = token_file.load(work.tokens / "train.safetensors").lengths
    seen = work.spec.coverage([length - 1 for length in rows])
    later = max(seen.iters - 1, 1)
    asked = min(VALIDATED, validated(work.spec, work.tokens))
    return Speed(
        iterations=seen.iters,
        seconds=(told["seconds"] - told["first"]) / later if seen.iters > 1 else told["seconds"],
        tokens=seen.tokens / seen.iters,
        computed=_computed(seen.tokens, seen.padding) / seen.iters,
        validation=told["validated"] / asked,
        memory=told["peak_memory"],
        resident=told["resident"],
    )


def forecast(speed: Speed, spec: Adapter, tokens: Path) -> str:
    """How long a whole training would take, by what it computes: padding costs as much as words."""
    coverage = spec.coverage([length - 1 for length in token_file.load(tokens / "train.safetensors").lengths])
    trained = speed.seconds * _computed(coverage.tokens, coverage.padding) / speed.computed
    times = 1 + math.ceil(coverage.iters / spec.steps_per_eval)
    asked = times * validated(spec, tokens) * speed.validation
    return f"{coverage}: about {format_seconds(trained + asked)}, {format_seconds(asked)} of it for {times} validations"


def validated(spec: Adapter, tokens: Path) -> int:
    """Batches of one validation."""
    whole = math.ceil(len(token_file.load(tokens / "valid.safetensors")) / spec.batch_size)
    return whole if spec.val_batches < 0 else min(whole, spec.val_batches)


def _computed(tokens: int, padding: float) -> float:
    return tokens / (1 - padding)
