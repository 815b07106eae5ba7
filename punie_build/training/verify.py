"""Compare the files of a trained adapter with its recipe. Reads headers and JSON only: no mlx, no weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from punie_build.models.safetensors import TensorHeader, read, read_header
from punie_build.models.verify import BaseSignature, base_signature
from punie_build.models.weights import split_layer
from punie_build.training import adapter_config
from punie_build.training.adapter_config import AdapterConfig, LoraParameters
from punie_build.training.spec import Adapter


def adapter(folder: Path, spec: Adapter, base: Path | None = None) -> Iterator[str]:
    """Yield one line for each difference between an adapter and its recipe.

    `base` is the folder of its base, if that is on this machine.
    """
    try:
        tensors = read(folder / "adapters.safetensors", read_header)
        config = adapter_config.load(folder)
        signature = read(base, base_signature) if base else BaseSignature()
    except ValueError as error:
        yield str(error)
        return
    yield from _tensor_differences(tensors, config, spec)
    yield from _config_differences(config, spec)
    recorded = config.base or BaseSignature()
    for name in signature.__struct_fields__ if base else ():
        expected, actual = getattr(signature, name), getattr(recorded, name)
        if actual != expected:
            trained = "(unknown)" if actual is None else str(actual)[:12]
            yield f"base.{name}: {spec.base} has {str(expected)[:12]}, the adapter was trained on {trained}"


def _tensor_differences(tensors: dict[str, TensorHeader], config: AdapterConfig, spec: Adapter) -> Iterator[str]:
    suffixes = {name.rpartition(".")[2] for name in tensors}
    kind = "full" if not suffixes & {"lora_a", "lora_b"} else "dora" if "m" in suffixes else "lora"
    if kind != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, file {kind}"
        return
    places = {name: split_layer(name) for name in tensors}
    layers = {place[:2] for place in places.values() if place}
    expected = config.num_layers if spec.num_layers == -1 else spec.num_layers
    if len(layers) != expected and not (spec.lora.keys and len(layers) < (expected or 0)):  # a layer may lack a key
        yield f"layers: recipe {expected}, file {len(layers)}"
    if kind == "full":
        return
    ranks = {_rank(name, tensor["shape"]) for name, tensor in tensors.items() if name.endswith((".lora_a", ".lora_b"))}
    if ranks != {spec.lora.rank}:
        yield f"rank: recipe {spec.lora.rank}, file {sorted(ranks)}"
    modules = {(place[2] if place else name).rpartition(".")[0] for name, place in places.items()}
    if spec.lora.keys and modules != set(spec.lora.keys):
        yield f"keys: recipe {sorted(spec.lora.keys)}, file {sorted(modules)}"


def _rank(name: str, shape: list[int]) -> int:
    """Return the rank of a LoRA matrix, 0 for other shapes.

    Shapes are (in, rank) and (rank, out); for experts (experts, rank, in) and (experts, out, rank).
    """
    if len(shape) not in (2, 3):
        return 0
    return shape[-1] if name.endswith(".lora_a") == (len(shape) == 2) else shape[-2]


def _config_differences(config: AdapterConfig, spec: Adapter) -> Iterator[str]:
    if config.fine_tune_type != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, adapter_config.json {config.fine_tune_type}"
    if spec.fine_tune_type == "full":
        return
    actual = config.lora_parameters or LoraParameters()
    for name in ("scale", "dropout", "rank"):
        if getattr(actual, name) != getattr(spec.lora, name):
            yield f"{name}: recipe {getattr(spec.lora, name)}, adapter_config.json {getattr(actual, name)}"
