"""The peak memory of a training, predicted before its first batch.

Activations grow with the tokens of a batch, attention with the square of its rows' length, and both depend on the
architecture. So a model is measured instead: the gradients of one row of the largest length. Rows of a batch add up,
beside a constant that two short measurements give. The logits of a loss in chunks are the same for all lengths, and
are added. On the tiny bases of all architectures the prediction is within 15 %
(benchmarks/memory.py).
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from msgspec import Struct, structs

from punie_build.runtime import machine_memory
from punie_build.training.batch_sampler import padded_length
from punie_build.training.loop import gradient_trial, shared_prefix
from punie_build.training.loop.chunked_loss import WHOLE
from punie_build.training.loop.collate import Batch
from punie_build.training.loop.shared_prefix import checkpoint_layers
from punie_build.training.loop.trainer import Trainer
from punie_build.training.memory_ladder import USABLE, MemoryReport, Rung, rungs

FLOAT_BYTES = 4
ROUGH_ACTIVATIONS, ROUGH_HEAD = 60, 32  # floats per token and layer in hidden sizes; the width of an attention head
SAFETY = 3  # a prediction is left out where this many times the rough estimate fits
CHUNK_COPIES = 6  # arrays of the size of a chunk's logits that are in memory at a time (measured: 5.7)


class LargestBatch(Struct, frozen=True, kw_only=True):
    """The largest batch of a training: sequences of `length` tokens (the first of a shared prefix counts its
    whole length, the others their remainders), and the share of their tokens that is `trained`."""

    sequences: float
    length: int
    trained: float

    def part(self, rows: int) -> LargestBatch:
        """Return the largest part of this batch, if it is computed by so many rows at a time; 0 for all."""
        return structs.replace(self, sequences=min(self.sequences, float(rows))) if rows else self


def settle(trainer: Trainer, first: int, write: Callable[[MemoryReport], object]) -> None:
    """Put a training on the first rung from `first` on that is predicted to fit into the memory.

    `write` takes the report of each rung before it is measured, and the last one. There is no prediction where
    a rough estimate is far below the limit. Exits if the last rung does not fit.
    """
    ladder, limit, batch = rungs(trainer.spec.batch_size), machine_memory.limit(), largest_batch(trainer)
    if limit.bytes and machine_memory.pressure() == "critical":
        first += 1
    first = min(first, len(ladder) - 1)
    resident = resident_bytes()
    rough = int(resident + rough_bytes(trainer, batch))
    must_fit = limit.bytes and resident + SAFETY * (rough - resident) > limit.bytes
    for number, rung in enumerate(ladder[first:], first):
        write(MemoryReport(rung=number, predicted=rough if must_fit else 0, limit=limit.bytes))
        apply(trainer, rung)
        if not must_fit:
            return
        predicted = int(resident + predict(trainer, batch.part(rung.rows)))
        write(MemoryReport(rung=number, predicted=predicted, limit=limit.bytes))
        if predicted <= USABLE * limit.bytes:
            return
    if predicted > limit.bytes:
        raise SystemExit(
            f"punie: memory: this process with the weights of {trainer.spec.base} and one layer of a row of "
            f"{batch.length} tokens needs {predicted / 2**30:.2f} GiB, and {limit.source} is "
            f"{limit.bytes / 2**30:.2f} GiB - lower max_seq_length, or use a smaller or quantized base"
        )


def apply(trainer: Trainer, rung: Rung) -> None:
    """Let a training compute as a rung says. A rung is applied once, after the ones below it."""
    spec, model = trainer.spec, trainer.model
    if rung.grad_checkpoint and not spec.grad_checkpoint:
        layer_type: Any = type(model.layers[0])
        as_it_is = layer_type.__call__
        checkpoint_layers(model.layers[0])
        if problem := _checkpointing_problem(trainer, as_it_is):
            layer_type.__call__ = as_it_is
            print(f"punie-build: {spec.base}: gradient checkpointing is left out: {problem}", flush=True)
        trainer.spec = structs.replace(spec, grad_checkpoint=True)
        mx.set_cache_limit(0)  # of a GPU: freed buffers go back to the system
    if rung.chunked_loss and trainer.chunked_loss.whole == WHOLE:
        trainer.chunked_loss.whole = trainer.chunked_loss.chunk
        ids = mx.array(trainer.rows["train"].row(0)[0][:64].tolist())
        if problem := trainer.chunked_loss.try_out(2**30, ids):
            print(f"punie-build: {spec.base}: the loss is computed at once: {problem}", flush=True)
    trainer.rows_at_a_time = rung.rows


def _checkpointing_problem(trainer: Trainer, as_it_is: Any) -> str:
    """Return why recomputed layers have other gradients than layers `as_it_is`, the function of their class, or an
    empty string. It is tried with a shared prefix too, because the trial of prefixes had no recomputed layers."""
    model, rows = trainer.model, trainer.rows["train"]
    layer_type: Any = type(model.layers[0])
    recomputed, ids = layer_type.__call__, mx.array(rows.row(0)[0][None, :64].astype("int32"))

    def loss(call: Any) -> Callable[[Any], mx.array]:
        def function(_: Any) -> mx.array:
            mx.random.seed(0)
            layer_type.__call__ = call
            try:
                logits = model(ids[:, :-1]).astype(mx.float32)
            finally:
                layer_type.__call__ = recomputed
            summed: mx.array = nn.losses.cross_entropy(logits, ids[:, 1:]).sum()
            return summed

        return function

    model.train()
    try:
        if problem := gradient_trial.problem(model, loss(as_it_is), loss(recomputed)):
            return problem
    except Exception as error:  # a model with its own idea of its layers may fail in any way
        return f"its layers cannot be computed again ({type(error).__name__}: {error})"
    if trainer.spec.batching != "prefix":
        return ""
    return shared_prefix.problem(model, rows, shared_prefix.sliding_window(model, trainer.rows))


def rough_bytes(trainer: Trainer, batch: LargestBatch) -> float:
    """Return a rough estimate of the memory of a step beside the weights, in bytes: only its magnitude counts."""
    width = trainer.sparse_model.width
    layers, tokens = len(trainer.model.layers), batch.sequences * batch.length
    per_token = layers * (ROUGH_ACTIVATIONS * width + batch.length * max(1, width / ROUGH_HEAD))
    return FLOAT_BYTES * tokens * (per_token + CHUNK_COPIES * batch.trained * trainer.sparse_model.vocabulary)


def resident_bytes() -> int:
    """Return the resident memory of this process; on a Mac its largest so far."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def largest_batch(trainer: Trainer) -> LargestBatch:
    """Return the largest batch of the first epoch of a training."""
    rows, sampler = trainer.rows["train"], trainer.samplers["train"]
    lengths, texts = rows.input_lengths, 1 if rows.rejected is None else 2
    largest, trained = (0.0, 0, 0.0), float(np.mean(rows.loss_mask)) if len(rows.loss_mask) else 1.0
    for batch in sampler.epoch(lengths, 0):
        own = batch[:: trainer.world.size()]
        length = padded_length(max(sum(lengths[row] for row in sequence) for sequence in own))
        rest = (length - sampler.shared(batch)) / length
        largest = max(
            largest, ((1 + (len(own) * texts - 1) * rest) * length, length, 1 + (len(own) * texts - 1) * rest)
        )
    _, length, sequences = largest
    return LargestBatch(sequences=sequences, length=length, trained=trained)


def predict(trainer: Trainer, batch: LargestBatch) -> float:
    """Return the peak of mlx's memory in the step of a batch, in bytes above that held before."""
    loss = trainer.chunked_loss
    positions = int(batch.sequences * batch.length * batch.trained)
    is_chunked = loss.applies(positions)
    trained = 0.0 if is_chunked else batch.trained
    longest, short = measure(trainer, batch.length, trained), padded_length(max(1, batch.length // 4))
    one, two = (measure(trainer, short, trained, count) for count in (1, 2))
    constant = min(max(0, 2 * one - two), longest)
    chunk = CHUNK_COPIES * FLOAT_BYTES * min(loss.chunk, positions * trainer.sparse_model.vocabulary)
    return constant + batch.sequences * (longest - constant) + (chunk if is_chunked else 0)


def measure(trainer: Trainer, length: int, trained: float, sequences: int = 1) -> int:
    """Return the peak of mlx's memory in the step of rows of a length in tokens, in bytes above that held before."""
    positions = mx.arange(0, sequences * length, max(1, round(1 / trained)) if trained else sequences * length)
    ids = mx.zeros((sequences, length), mx.int32)
    batch = Batch(ids, mx.ones_like(ids), positions, mx.zeros_like(positions), mx.ones(positions.size))
    mx.eval(batch[:5])
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    results: Any = trainer.loss_and_gradients(trainer.model, batch, trainer.spec.batching == "pack")
    mx.eval(results)
    return int(mx.get_peak_memory() - before)
