"""Whether the tensors of an adapter fit the layers of a base, by their headers: one sentence for each mismatch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from punie_build.errors import did_you_mean
from punie_build.models.architecture import Architecture, read_architecture
from punie_build.models.safetensors import TensorHeader
from punie_build.models.verify import base_signature
from punie_build.models.weights import Weight, read_tensors, split_layer
from punie_build.training.adapter_config import AdapterConfig, LoraParameters
from punie_build.training.adapter_formats import AdapterFolder, read_adapter

LEAVES = {"lora": {"lora_a", "lora_b"}, "dora": {"lora_a", "lora_b", "m"}}


class FittedAdapter(Struct, frozen=True, kw_only=True):
    """An adapter with its config for one base, the mismatches that keep it from being used, and notes."""

    adapter: AdapterFolder
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def fit(folder: Path, base: Path) -> FittedAdapter:
    """Return the adapter in a folder as the base in another loads it. Raises ValueError if a file cannot be read."""
    architecture = read_architecture(base)
    if architecture is None:
        raise ValueError("the weights of the base cannot be read - are they Git LFS pointers?")
    headers = read_tensors(base)
    lists = {place[0] for name in headers if (place := split_layer(name))}
    adapter = read_adapter(folder, lists)
    config = _with_layers(adapter.config, architecture.layers)
    signature = base_signature(base)
    if config.fine_tune_type == "full":
        problems = list(_full_problems(adapter.tensors, headers))
    else:
        problems = list(_list_problems(adapter.tensors, lists))
        problems = problems or list(_lora_problems(adapter.tensors, config, architecture))
    recorded = adapter.config.base
    if recorded and recorded.tokenizer not in (None, signature.tokenizer):
        problems.append("it was trained on a base with another tokenizer - name the base that it was trained on")
    notes = list(_notes(adapter.tensors, config, architecture))
    if recorded and recorded.bits not in (None, signature.bits):
        notes.append(f"it was trained on a base of {recorded.bits} bits, this one has {signature.bits}")
    config = structs.replace(config, base=signature)
    return FittedAdapter(adapter=structs.replace(adapter, config=config), problems=tuple(problems), notes=tuple(notes))


def _with_layers(config: AdapterConfig, layers: int) -> AdapterConfig:
    """Return a config with a number of layers, and a dropout, which mlx-lm cannot load it without."""
    count = config.num_layers if config.num_layers and config.num_layers > 0 else layers
    if config.fine_tune_type == "full":
        return structs.replace(config, num_layers=count, lora_parameters=None)
    parameters = config.lora_parameters or LoraParameters()
    parameters = structs.replace(parameters, dropout=parameters.dropout or 0.0)
    return structs.replace(config, num_layers=count, lora_parameters=parameters)


def _full_problems(tensors: dict[str, TensorHeader], base: dict[str, TensorHeader]) -> Iterator[str]:
    """Yield where the weights of full training are none of the base's."""
    problems = {}
    for name, tensor in tensors.items():
        if name not in base:
            problems[name] = "the base has no tensor of this name"
        elif base[name]["shape"] != tensor["shape"]:
            problems[name] = f"its shape is {tensor['shape']}, that of the base {base[name]['shape']}"
    yield from _folded(problems)


def _list_problems(tensors: dict[str, TensorHeader], lists: set[str]) -> Iterator[str]:
    """Yield each list of layers that the base does not have; the order of its names may differ, as mlx-lm renames
    them."""
    sorted_lists = {tuple(sorted(name.split("."))) for name in lists}
    for prefix in sorted({place[0] for name in tensors if (place := split_layer(name))}):
        if tuple(sorted(prefix.split("."))) not in sorted_lists:
            yield f"{prefix}: the base has no layers there{did_you_mean(prefix, lists)}"


def _lora_problems(
    tensors: dict[str, TensorHeader], config: AdapterConfig, architecture: Architecture
) -> Iterator[str]:
    """Yield where matrices of LoRA have no place in the base, or would not be loaded."""
    assert config.lora_parameters is not None, "the reader of the config demands it"
    assert config.num_layers is not None, "the layers were counted"
    keys, first = config.lora_parameters.keys, architecture.layers - config.num_layers
    if first < 0:
        yield f"num_layers {config.num_layers}: the base has {architecture.layers} layers"
    weights = {(weight.layer, weight.module): weight for weight in architecture.weights if weight.kind != "foreign"}
    modules = sorted({module for layer, module in weights if layer is not None})
    leaves: dict[str, dict[str, TensorHeader]] = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        leaves.setdefault(module, {})[leaf] = tensor
    expected = LEAVES[config.fine_tune_type or "lora"]
    problems = {}
    for name, found in leaves.items():
        place = split_layer(f"{name}.weight")
        layer, module = (place[1], place[2].removesuffix(".weight")) if place else (None, name)
        weight = weights.get((layer, module))
        if found.keys() != expected:
            problems[name] = (
                f"it has {', '.join(sorted(found))}, {config.fine_tune_type} has {', '.join(sorted(expected))}"
            )
        elif layer is not None and layer >= architecture.layers:
            problems[name] = f"the base has {architecture.layers} layers"
        elif weight is None:
            problems[name] = f"the base has no such module{did_you_mean(module, modules)}"
        elif layer is not None and layer < first:
            problems[name] = f"num_layers {config.num_layers} loads the layers from {first} on only"
        elif (keys is None and layer is None) or (keys is not None and module not in keys):
            problems[name] = "lora_parameters.keys does not name it, and mlx-lm would not load it"
        elif problem := _shape_problem(found, weight, config.lora_parameters.rank or 0):
            problems[name] = problem
    yield from _folded(problems)


def _shape_problem(found: dict[str, TensorHeader], weight: Weight, rank: int) -> str | None:
    """Return how the matrices of one module differ from its weight, or None."""
    outputs, inputs = weight.shape[-2], weight.shape[-1]
    if weight.kind == "table":
        outputs, inputs = inputs, outputs
    expected = {"lora_a": [inputs, rank], "lora_b": [rank, outputs], "m": [outputs]}
    if weight.kind == "experts":
        expected = {"lora_a": [weight.shape[0], rank, inputs], "lora_b": [weight.shape[0], outputs, rank]}
    for leaf, tensor in sorted(found.items()):
        if tensor["shape"] != expected.get(leaf):
            size = f"{outputs} outputs and {inputs} inputs"
            return f"{leaf} is {tensor['shape']}, rank {rank} of {size} in the base needs {expected.get(leaf)}"
    return None


def _folded(problems: dict[str, str]) -> Iterator[str]:
    """Yield equal problems of one module in many layers once, with their count."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, problem in problems.items():
        place = split_layer(f"{name}.weight")
        groups.setdefault((place[2] if place else name, problem), []).append(name)
    for (_, problem), names in groups.items():
        more = f" and {len(names) - 1} more layers" if len(names) > 1 else ""
        yield f"{names[0]}{more}: {problem}"


def _notes(tensors: dict[str, TensorHeader], config: AdapterConfig, architecture: Architecture) -> Iterator[str]:
    """Yield what a reader may not expect: modules of the config that the file has no matrices for."""
    if config.fine_tune_type == "full" or config.lora_parameters is None:
        return
    loaded = architecture.adapted(config.num_layers or -1, config.lora_parameters.keys)
    names = {(place[1], place[2].rpartition(".")[0]) for name in tensors if (place := split_layer(name))}
    if absent := [weight for weight in loaded if (weight.layer, weight.module) not in names]:
        yield f"{len(absent)} of {len(loaded)} modules that its config adapts have no weights in the file"
