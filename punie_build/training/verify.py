"""Compare the files of a trained adapter with its recipe. Reads headers and JSON only: no mlx, no weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.models.safetensors import Tensor, as_, header, read
from punie_build.models.verify import base
from punie_build.training.spec import Adapter


class Config(Struct):
    """What this module asks of an adapter_config.json. `base` is what its base was: bits, tokenizer."""

    fine_tune_type: str | None = None
    num_layers: int | None = None
    lora_parameters: dict[str, Any] | None = None
    base: dict[str, Any] = {}


def adapter(folder: Path, spec: Adapter, model: Path | None = None) -> Iterator[str]:
    """Lines on what the trained adapter has that its recipe did not ask for; none if it is what the recipe says.

    `model` is the folder of its base, where that is at hand.
    """
    try:
        tensors = read(folder / "adapters.safetensors", header)
        config = read(folder / "adapter_config.json", as_(Config))
        wanted = read(model, base) if model else {}
    except ValueError as error:
        yield str(error)
        return
    yield from _tensors(tensors, config, spec)
    yield from _config(config, spec)
    for name, value in wanted.items():
        if config.base.get(name) != value:
            trained = str(config.base.get(name, "(unknown)"))[:12]
            yield f"base.{name}: {spec.base} has {str(value)[:12]}, the adapter was trained on {trained}"


LAYER = re.compile(r"\.layers\.(\d+)\.")


def _tensors(tensors: dict[str, Tensor], config: Config, spec: Adapter) -> Iterator[str]:
    leaves = {name.rpartition(".")[2] for name in tensors}
    kind = "full" if not leaves & {"lora_a", "lora_b"} else "dora" if "m" in leaves else "lora"
    if kind != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, file {kind}"
        return
    layers = {found[1] for name in tensors if (found := LAYER.search(name))}
    wanted = config.num_layers if spec.num_layers == -1 else spec.num_layers
    if len(layers) != wanted and not (spec.lora.keys and len(layers) < (wanted or 0)):  # some layers may lack a key
        yield f"layers: recipe {wanted}, file {len(layers)}"
    if kind == "full":
        return
    ranks = {_rank(name, t["shape"]) for name, t in tensors.items() if name.endswith((".lora_a", ".lora_b"))}
    if ranks != {spec.lora.rank}:
        yield f"rank: recipe {spec.lora.rank}, file {sorted(ranks)}"
    modules = {LAYER.split(name)[-1].rpartition(".")[0] for name in tensors}
    if spec.lora.keys and modules != set(spec.lora.keys):
        yield f"keys: recipe {sorted(spec.lora.keys)}, file {sorted(modules)}"


def _rank(name: str, shape: list[int]) -> int:
    """The rank of a part: (in, rank) and (rank, out); of experts (experts, rank, in) and (experts, out, rank). 0: of none."""
    if len(shape) not in (2, 3):
        return 0
    return shape[-1] if name.endswith(".lora_a") == (len(shape) == 2) else shape[-2]


def _config(config: Config, spec: Adapter) -> Iterator[str]:
    if config.fine_tune_type != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, adapter_config.json {config.fine_tune_type}"
    if spec.fine_tune_type == "full":
        return
    held = config.lora_parameters or {}
    for name, value in (("scale", spec.lora.scale), ("dropout", spec.lora.dropout), ("rank", spec.lora.rank)):
        if held.get(name) != value:
            yield f"{name}: recipe {value}, adapter_config.json {held.get(name)}"
