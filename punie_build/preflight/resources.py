"""Rough estimates of the disk space and memory that a training needs, and the resources of the machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from msgspec import Struct

from punie_build.models.architecture import MAX_EXPANDED_PARAMETERS, Architecture
from punie_build.runtime import machine_memory
from punie_build.training.memory_ladder import AS_IN_THE_RECIPE, Rung, rungs
from punie_build.training.spec import Adapter

FLOAT_BYTES = 4  # trained weights are in float32
ACTIVATIONS = 40  # floats per token and layer for backpropagation, in units of the hidden size (nano: 36 to 44)
LOGITS = 5  # floats per token and word of the vocabulary (nano: 4 to 5)
CHUNKED_LOGITS = 6 * 2**24  # floats, if the loss is computed in chunks
USABLE_MEMORY = 0.8  # share of the memory: the rest is the system's


class Resources(Struct, frozen=True, kw_only=True):
    """Bytes of free `disk` and of the `memory` that a process may use (0: unknown).

    `cpu`: whether mlx computes on the CPU.
    """

    disk: int
    memory: int
    cpu: bool


def available(root: Path) -> Resources:
    """Return the resources of this machine, with the disk of a project."""
    memory = machine_memory.limit().bytes
    return Resources(disk=shutil.disk_usage(root).free, memory=memory, cpu=sys.platform != "darwin")


def trainable_parameters(spec: Adapter, base: Architecture) -> int:
    """Return the number of parameters that are trained."""
    if spec.fine_tune_type == "full":
        return sum(weight.count for weight in base.last_layers(spec.num_layers))
    adapted = base.adapted(spec.num_layers, spec.lora.keys)
    magnitudes = sum(weight.shape[-2] for weight in adapted) if spec.fine_tune_type == "dora" else 0
    return sum(weight.lora_parameters(spec.lora.rank) for weight in adapted) + magnitudes


def checkpoint_bytes(spec: Adapter, base: Architecture) -> int:
    """Return the size of a checkpoint: the trained weights with the state of the optimizer, in bytes."""
    return FLOAT_BYTES * (1 + spec.optimizer.MOMENTS) * trainable_parameters(spec, base)


def disk_bytes(spec: Adapter, base: Architecture) -> int:
    """Return the disk space for two checkpoints and three copies of the weights: the best, the adapter, the store's."""
    return 2 * checkpoint_bytes(spec, base) + 3 * FLOAT_BYTES * trainable_parameters(spec, base)


def weight_bytes(base: Architecture, cpu: bool) -> int:
    """Return the memory for the weights of a base, in bytes. A CPU computes half precision, and small quantized
    models, in float32."""
    is_expanded = base.half_precision or base.parameters < MAX_EXPANDED_PARAMETERS
    return FLOAT_BYTES * base.parameters if cpu and is_expanded else base.weight_bytes


def training_bytes(spec: Adapter, base: Architecture, longest: int, rung: Rung = AS_IN_THE_RECIPE) -> int:
    """Return the memory in bytes that a training needs beside the base's weights: for the trained weights with the
    optimizer's state, and for backpropagation through a batch of rows of `longest` tokens, on a rung of the ladder."""
    length = min(spec.max_seq_length, longest)
    tokens = min(spec.largest_batch(longest), rung.rows * length if rung.rows else 2**62)
    layers, is_recomputed = _trained_layers(spec, base), spec.grad_checkpoint or rung.grad_checkpoint
    # with grad_checkpoint: the activations of one layer at a time, and the inputs of all
    activations = (layers + ACTIVATIONS) if is_recomputed else layers * ACTIVATIONS
    scores = (2 if is_recomputed else layers) * base.attention_heads * length
    logits = LOGITS * base.vocab_size * tokens
    if rung.chunked_loss:
        logits = min(logits, CHUNKED_LOGITS)
    floats = tokens * (activations * base.hidden_size + scores) + logits
    return FLOAT_BYTES * ((2 + spec.optimizer.MOMENTS) * trainable_parameters(spec, base) + floats)


def first_rung(spec: Adapter, base: Architecture, longest: int, room: float) -> Rung | None:
    """Return the first rung of the memory ladder that needs at most `room` bytes beside the weights, by a rough
    estimate; None if there is none."""
    ladder = rungs(spec.batch_size)
    return next((rung for rung in ladder if training_bytes(spec, base, longest, rung) <= room), None)


def _trained_layers(spec: Adapter, base: Architecture) -> int:
    return base.layers if spec.num_layers == -1 else min(spec.num_layers, base.layers)


def format_gib(count: float) -> str:
    """Return a number of bytes in binary units: `2.0 GiB`, `15 MiB`."""
    return f"{count / 2**30:.1f} GiB" if count >= 0.1 * 2**30 else f"{count / 2**20:.0f} MiB"
