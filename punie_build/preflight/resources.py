"""Rough estimates of the disk space and memory that a training needs, and the resources of the machine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from msgspec import Struct

from punie_build.models.architecture import Architecture
from punie_build.training.spec import Adapter

FLOAT_BYTES = 4  # trained weights are in float32
DISK_COPIES = 9  # of the trained weights: two checkpoints with two moments each, the best, the adapter, the store's
MEMORY_COPIES = 4  # of the trained weights: weights, gradients, two moments
ACTIVATIONS = 40  # floats per token and layer for backpropagation, in units of the hidden size (nano: 36 to 44)
LOGITS = 5  # floats per token and word of the vocabulary (nano: 4 to 5)
USABLE_MEMORY = 0.8  # share of the memory: the rest is the system's


class Resources(Struct, frozen=True, kw_only=True):
    """Bytes of free `disk` and of total `memory` (0: unknown). `cpu`: whether mlx computes on the CPU."""

    disk: int
    memory: int
    cpu: bool


def available(root: Path) -> Resources:
    """Return the resources of this machine, with the disk of a project."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    return Resources(disk=shutil.disk_usage(root).free, memory=memory, cpu=sys.platform != "darwin")


def lora_modules(spec: Adapter, base: Architecture) -> list[str]:
    """Return the modules of a layer that get a LoRA."""
    if spec.fine_tune_type == "full":
        return []
    return [name for name in base.modules if spec.lora.keys is None or name in spec.lora.keys]


def trainable_parameters(spec: Adapter, base: Architecture) -> int:
    """Return the number of parameters that are trained."""
    layers = _trained_layers(spec, base)
    if spec.fine_tune_type == "full":
        return layers * sum(outputs * inputs for outputs, inputs in base.modules.values())
    return layers * sum(spec.lora.rank * sum(base.modules[name]) for name in lora_modules(spec, base))


def disk_bytes(spec: Adapter, base: Architecture) -> int:
    """Return the disk space for checkpoints and adapter, in bytes."""
    return DISK_COPIES * FLOAT_BYTES * trainable_parameters(spec, base)


def weight_bytes(base: Architecture, cpu: bool) -> int:
    """Return the memory for the weights of a base, in bytes; a CPU computes half precision in float32."""
    return base.weight_bytes * 2 if cpu and base.half_precision else base.weight_bytes


def training_bytes(spec: Adapter, base: Architecture, longest: int) -> int:
    """Return the memory in bytes that a training needs beside the base's weights: for the trained weights with the
    optimizer's state, and for backpropagation through a batch of rows of `longest` tokens."""
    length = min(spec.max_seq_length, longest)
    tokens = max(spec.batch_tokens, length) if spec.batching in ("tokens", "pack") else spec.batch_size * length
    layers = _trained_layers(spec, base)
    # with grad_checkpoint: the activations of one layer at a time, and the inputs of all
    activations = (layers + ACTIVATIONS) if spec.grad_checkpoint else layers * ACTIVATIONS
    scores = (2 if spec.grad_checkpoint else layers) * base.attention_heads * length
    per_token = activations * base.hidden_size + scores + LOGITS * base.vocab_size
    return FLOAT_BYTES * (MEMORY_COPIES * trainable_parameters(spec, base) + tokens * per_token)


def _trained_layers(spec: Adapter, base: Architecture) -> int:
    return base.layers if spec.num_layers == -1 else min(spec.num_layers, base.layers)


def format_gib(count: float) -> str:
    """Return a number of bytes in binary units: `2.0 GiB`, `15 MiB`."""
    return f"{count / 2**30:.1f} GiB" if count >= 0.1 * 2**30 else f"{count / 2**20:.0f} MiB"
