"""Conformance: read back from an artifact's own files what its recipe asked for. Headers only: no mlx, no weights.

To look at another kind of artifact: a function that yields what is not as it should be, and its row in `OF`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from punie_build import digests
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


def bits(folder: Path) -> int:
    """Bits of a model's weights by its config.json; 16 where it names no quantisation."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int((config.get("quantization") or {}).get("bits", 16))


def base(folder: Path) -> dict[str, Any]:
    """What an adapter must know of the base it was trained on: another tokenizer makes other numbers of the same words."""
    return {"bits": bits(folder), "tokenizer": digests.of_file(folder / "tokenizer.json")}


def adapter(folder: Path, spec: Adapter, model: Path | None = None) -> Iterator[str]:
    """Lines on what the trained adapter has that its recipe did not ask for; none if it is what the recipe says.

    `model` is the folder of its base, where that is at hand.
    """
    try:
        tensors = header(folder / "adapters.safetensors")
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, struct.error) as error:
        yield f"adapters.safetensors: {error}"
        return
    yield from _tensors(tensors, config, spec)
    yield from _config(config, spec)
    trained = config.get("base", {})
    for name, value in (base(model) if model else {}).items():
        if trained.get(name) != value:
            yield f"base.{name}: {spec.base} has {str(value)[:12]}, the adapter was trained on {str(trained.get(name))[:12]}"


def _tensors(tensors: dict[str, Any], config: dict[str, Any], spec: Adapter) -> Iterator[str]:
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
    modules = {name.rsplit(".", 1)[0].split(".", 3)[-1] for name in tensors}
    if spec.lora.keys and modules != set(spec.lora.keys):
        yield f"keys: recipe {sorted(spec.lora.keys)}, file {sorted(modules)}"


def _config(config: dict[str, Any], spec: Adapter) -> Iterator[str]:
    if config.get("fine_tune_type") != "lora":
        yield f"fine_tune_type: recipe lora, adapter_config.json {config.get('fine_tune_type')}"
    written = config.get("lora_parameters", {})
    for name, value in (("scale", spec.lora.scale), ("dropout", spec.lora.dropout), ("rank", spec.lora.rank)):
        if written.get(name) != value:
            yield f"{name}: recipe {value}, adapter_config.json {written.get(name)}"


def lines(path: Path) -> int:
    """How many lines a file has, in constant memory."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(b"\n")
    return count


def data(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where a data folder's files do not have the rows its stats.json says."""
    try:
        splits = json.loads((folder / "stats.json").read_text(encoding="utf-8"))["splits"]
        dropped = sum(counts["seen"] - counts["kept"] for counts in splits.values())
        for name, rows in [*((split, counts["rows"]) for split, counts in splits.items()), ("dropped", dropped)]:
            found = lines(folder / f"{name}.jsonl")
            if found != rows:
                yield f"{name}.jsonl: stats.json says {rows} rows, the file has {found}"
    except (OSError, ValueError, KeyError) as error:
        yield f"stats.json: {error}"


def scores(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where an eval's answers and scores are not of the same cases."""
    try:
        judged = [case["case"] for case in json.loads((folder / "scores.json").read_text(encoding="utf-8"))["cases"]]
        given = [json.loads(line)["case"] for line in (folder / "answers.jsonl").read_bytes().splitlines()]
    except (OSError, ValueError, KeyError) as error:
        yield f"scores.json: {error}"
        return
    if sorted(judged) != sorted(given):
        yield f"scores.json: {len(judged)} cases are judged, {len(given)} were answered"


OF: dict[str, Callable[[Path, Any, Path | None], Iterator[str]]] = {
    "dataset": data,
    "stage": data,
    "mix": data,
    "adapter": adapter,
    "eval": scores,
}
