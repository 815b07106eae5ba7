"""Conformance: read back from an artifact's own files what its recipe asked for. Headers only: no mlx, no weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie_build.adapters import Adapter


def header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file: name -> {dtype, shape, data_offsets}. Raises ValueError on a torn file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > size - 8:
            raise ValueError("not a whole safetensors file")
        tensors: dict[str, Any] = json.loads(file.read(length))
    tensors.pop("__metadata__", None)
    if max((t["data_offsets"][1] for t in tensors.values()), default=0) != size - 8 - length:
        raise ValueError("not a whole safetensors file")
    return tensors


def adapter(folder: Path, spec: Adapter) -> Iterator[str]:
    """Lines on what the trained adapter has that its recipe did not ask for; none if it is what the recipe says."""
    try:
        tensors = header(folder / "adapters.safetensors")
        config = json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError, struct.error) as error:
        yield f"adapters.safetensors: {error}"
        return
    ranks = {
        t["shape"][-1] if name.endswith(".lora_a") else t["shape"][-2]
        for name, t in tensors.items()
        if name.endswith((".lora_a", ".lora_b"))
    }
    if ranks != {spec.lora.rank}:
        yield f"rank: recipe {spec.lora.rank}, file {sorted(ranks)}"
    layers = {name.split(".layers.")[1].split(".")[0] for name in tensors if ".layers." in name}
    wanted = config.get("num_layers") if spec.num_layers == -1 else spec.num_layers
    if len(layers) != wanted:
        yield f"layers: recipe {wanted}, file {len(layers)}"
    written = config.get("lora_parameters", {})
    for name, value in (("scale", spec.lora.scale), ("dropout", spec.lora.dropout), ("rank", spec.lora.rank)):
        if written.get(name) != value:
            yield f"{name}: recipe {value}, adapter_config.json {written.get(name)}"
    modules = {name.rsplit(".", 1)[0].split(".", 3)[-1] for name in tensors}
    if spec.lora.keys and modules != set(spec.lora.keys):
        yield f"keys: recipe {sorted(spec.lora.keys)}, file {sorted(modules)}"
