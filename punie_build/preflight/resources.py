"""Room: about how much disk and memory a training takes, and how much there is. Rough, and said to be."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from msgspec import Struct

from punie_build.models.architecture import Anatomy
from punie_build.training.spec import Adapter

FLOAT = 4  # bytes: what is trained is in float32
KEPT = 9  # times the trained weights on disk: two checkpoints with two moments each, the best, the adapter, the store's
STATE = 4  # times in memory: weights, gradients, two moments
ACTIVE = 40  # floats a token and layer, in units of the hidden size, that backpropagation needs (nano: 36 to 44)
LOGITS = 5  # floats a token and word of the vocabulary (nano: 4 to 5)
ALMOST = 0.8  # of the memory: the rest is the system's


class Room(Struct, frozen=True, kw_only=True):
    """Bytes: `disk` is what is free, `memory` what the machine has (0: not known). `cpu`: whether it computes there."""

    disk: int
    memory: int
    cpu: bool


def room(root: Path) -> Room:
    """What there is where a project is."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 0
    return Room(disk=shutil.disk_usage(root).free, memory=memory, cpu=sys.platform != "darwin")


def adapted(spec: Adapter, base: Anatomy) -> list[str]:
    """The modules of a layer that get a LoRA."""
    if spec.fine_tune_type == "full":
        return []
    return [name for name in base.modules if spec.lora.keys is None or name in spec.lora.keys]


def trained(spec: Adapter, base: Anatomy) -> int:
    """How many numbers are trained."""
    count = base.layers if spec.num_layers == -1 else min(spec.num_layers, base.layers)
    if spec.fine_tune_type == "full":
        return count * sum(outputs * inputs for outputs, inputs in base.modules.values())
    return count * sum(spec.lora.rank * sum(base.modules[name]) for name in adapted(spec, base))


def disk(spec: Adapter, base: Anatomy) -> int:
    return KEPT * FLOAT * trained(spec, base)


def weights(base: Anatomy, cpu: bool) -> int:
    """Of a base in memory; a CPU computes halves in float32."""
    return base.size * 2 if cpu and base.halves else base.size


def training(spec: Adapter, base: Anatomy, longest: int) -> int:
    """Beside the weights: what is trained with its state, and what a batch of the longest rows keeps for backpropagation."""
    length = min(spec.max_seq_length, longest)
    tokens = max(spec.batch_tokens, length) if spec.batching in ("tokens", "pack") else spec.batch_size * length
    depth = base.layers if spec.num_layers == -1 else min(spec.num_layers, base.layers)
    kept = (depth + ACTIVE) if spec.grad_checkpoint else depth * ACTIVE  # one layer at a time, and what goes into each
    scores = (2 if spec.grad_checkpoint else depth) * base.heads * length
    return FLOAT * (STATE * trained(spec, base) + tokens * (kept * base.hidden + scores + LOGITS * base.vocabulary))


def size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 0.1 * 2**30 else f"{count / 2**20:.0f} MB"
