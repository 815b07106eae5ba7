"""Model files: what a folder of a model holds, read from headers and JSON alone, and held against its recipe and its base.

A layer's weight is quantised where `scales` stand beside it: `weight` (out, in * bits / 32) as uint32, `scales` (out, in /
group_size). `config.json` says bits, group size and mode for all layers, other ones for a layer by name, and `false` for a layer
that is not quantised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.export.spec import WHOLE, Model
from punie_build.models.safetensors import TensorHeader, json_as, read_header, read
from punie_build.storage import digests

INDEX = "model.safetensors.index.json"
KEPT = (".json", ".jinja", ".model", ".txt", ".tiktoken")  # files of a base, besides weights, that a model is used with
MADE = ("config.json", INDEX, "hf_quant_config.json")  # ... but not these: they speak of the weights
BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}  # fmt: skip
DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
SHOWN = 5
GGUF_MAGIC = b"GGUF"


class Index(Struct):
    """`model.safetensors.index.json`: the bytes of all tensors, and the file of each."""

    metadata: dict[str, int]
    weight_map: dict[str, str]


def kept(folder: Path) -> list[str]:
    """The files, by their path in it, that go with a base's weights into a model: tokenizer, chat template, how to generate."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in KEPT)
    names = (path.relative_to(folder).as_posix() for path in files)
    return [name for name in names if name not in MADE and not name.startswith(".")]


def config(folder: Path) -> dict[str, Any]:
    return read(folder / "config.json", json_as(dict[str, Any]))


def model_type(folder: Path) -> str | None:
    """The architecture, by its config.json."""
    found = config(folder).get("model_type")
    return found if isinstance(found, str) else None


def ends(folder: Path) -> list[int]:
    """The tokens that end an answer: generation_config.json's, else config.json's, as mlx-lm reads them."""
    place = folder / "generation_config.json"
    said = read(place, json_as(dict[str, Any])).get("eos_token_id") if place.exists() else None
    said = said or config(folder).get("eos_token_id")
    return sorted(said) if isinstance(said, list) else [] if said is None else [said]


def tensors(folder: Path) -> dict[str, TensorHeader]:
    """All tensors of all its files."""
    return {name: tensor for path in _files(folder) for name, tensor in read(path, read_header).items()}


def size(folder: Path, spec: Model) -> int:
    """About how many bytes the weights will take that the recipe makes of this base."""
    found, told = tensors(folder), _quantisation(config(folder)) or {}
    total = 0.0
    for name, tensor in found.items():
        layer, _, kind = name.rpartition(".")
        packed, before = _packed(found, layer), _layer(told, layer)
        if packed and kind in ("scales", "biases"):
            continue  # counted with the weight
        here = found[f"{layer}.scales"]["dtype"] if packed else tensor["dtype"]
        wide = BYTES.get(DTYPES[spec.dtype] if spec.dtype else here, 4)
        count = math.prod(tensor["shape"]) * (32 / before.get("bits", 4) if packed else 1)
        if spec.quantised and (packed or len(tensor["shape"]) > 1):
            total += count * _each(spec.quantisation, wide)
        elif packed and spec.bits is None:
            total += count * _each(before, wide)
        else:
            total += count * wide
        total += count * wide if spec.gguf else 0
    return int(total)


def _each(how: dict[str, Any], wide: int) -> float:
    """Bytes of a quantised weight with its share of scales, which are `wide`; only affine groups have a bias beside the scale."""
    beside = 2 * wide if how.get("mode", "affine") == "affine" else 1
    return float(how.get("bits", 4) / 8 + beside / how.get("group_size", 64))


def model(folder: Path, spec: Model, base: Path | None = None) -> Iterator[str]:
    """Lines on what the model has that its recipe did not ask for; none if it is what the recipe says.

    `base` is the folder of its base, where that is at hand.
    """
    try:
        torn = list(_whole(folder))
        yield from torn or _weights(tensors(folder), config(folder), spec)
        if base:
            yield from _against(folder, base, spec)
        if spec.gguf:
            yield from _gguf(folder)
    except ValueError as error:
        yield str(error)


def _whole(folder: Path) -> Iterator[str]:
    """Are all tensors here that the index names, in their files, each as long as its shape says?"""
    index = read(folder / INDEX, json_as(Index))
    found = {path.name: read(path, read_header) for path in _files(folder)}
    for name in sorted(set(index.weight_map.values()) - set(found)):
        yield f"{name}: the index names it, it is not here"
    places = {tensor: file for file, inside in found.items() for tensor in inside}
    if moved := {name for name, file in index.weight_map.items() if places.get(name, file) != file}:
        yield f"{some(moved)}: not in the file that the index names"
    if lost := {name for name, file in index.weight_map.items() if name not in places and file in found}:
        yield f"{some(lost)}: the index names it, no file has it"
    if more := places.keys() - index.weight_map.keys():
        yield f"{some(more)}: not in the index"
    every = [(name, tensor) for inside in found.values() for name, tensor in inside.items()]
    if short := {name for name, tensor in every if _length(tensor) != _bytes(tensor)}:
        yield f"{some(short)}: its bytes are not those of its shape"
    if (total := sum(_length(tensor) for _, tensor in every)) != index.metadata.get("total_size"):
        yield f"total_size: the index says {index.metadata.get('total_size')} bytes, the files have {total}"


def _weights(found: dict[str, TensorHeader], told: dict[str, Any], spec: Model) -> Iterator[str]:
    said = _quantisation(told) or {}
    layers = {name.removesuffix(".weight") for name in found if name.endswith(".weight")}
    packed = {layer for layer in layers if _packed(found, layer)}
    if spec.quantised:
        plain = {layer for layer in layers - packed if len(found[f"{layer}.weight"]["shape"]) > 1}
        yield from _asked(said, packed, plain, spec.quantisation)
    elif spec.bits == WHOLE and (packed or said):
        yield f"bits: recipe {WHOLE}, {len(packed)} layers are quantised, config.json says {said.get('bits', 'none')}"
    if wrong := {layer: line for layer in packed if (line := _other(found, layer, _layer(said, layer)))}:
        yield f"{some(wrong)}: {wrong[min(wrong)]}"
    if spec.dtype:
        tell = {
            name for name, tensor in found.items() if len(tensor["shape"]) > 1
        }  # a model may keep vectors as they are
        kinds = {found[name]["dtype"] for name in tell} & {*DTYPES.values()}
        if kinds != {DTYPES[spec.dtype]}:
            yield f"dtype: recipe {spec.dtype}, file {', '.join(sorted(kinds))}"


def _asked(said: dict[str, Any], packed: set[str], plain: set[str], wanted: dict[str, Any]) -> Iterator[str]:
    """The quantisation that the recipe asks for, and the layers that have none: `packed` are quantised, `plain` are not."""
    for name, value in wanted.items():
        if (told := said.get(name, "affine" if name == "mode" else "none")) != value:
            yield f"{name}: recipe {value}, config.json {told}"
    if not packed:
        yield f"bits: recipe {wanted['bits']}, no layer is quantised"
    elif silent := {layer for layer in plain if said.get(layer, True)}:
        yield f"{some(silent)}: not quantised, and config.json does not say so"


def _other(found: dict[str, TensorHeader], layer: str, said: dict[str, Any]) -> str | None:
    """What the shapes of a layer say, where config.json says something else."""
    weight, scales = found[f"{layer}.weight"], found[f"{layer}.scales"]
    group, mode = said.get("group_size", 0), said.get("mode", "affine")
    width = scales["shape"][-1] * group
    bits = weight["shape"][-1] * 32 / width if width else 0
    if bits != said.get("bits"):
        return f"config.json says {said.get('bits')} bits in groups of {group}, its shapes are of {bits:g}"
    if (scales["dtype"] == "U8") != (mode != "affine") or (f"{layer}.biases" in found) != (mode == "affine"):
        return f"config.json says {mode}, its tensors are of another mode"
    return None


def _against(folder: Path, base: Path, spec: Model) -> Iterator[str]:
    if (here := ends(folder)) != (there := ends(base)):
        yield f"eos_token_id: base {there}, model {here}"
    held = [(name, folder / name) for name in kept(base)]
    for name, path in held:
        if not path.is_file():
            yield f"{name}: the base has it, the model does not"
        elif digests.of_pointed(path) != digests.of_pointed(base / name):
            yield f"{name}: not the file of the base"
    theirs = config(base)
    if spec.bits is None and not spec.quantised and ("quantization" in theirs or "quantization_config" not in theirs):
        ours, before = _quantisation(config(folder)), _quantisation(theirs)
        if ours != before:
            yield f"quantization: base {_brief(before)}, model {_brief(ours)}"


def _gguf(folder: Path) -> Iterator[str]:
    """Is there a GGUF file with as many tensors?"""
    path = folder / "model.gguf"
    if not path.exists():
        yield "model.gguf: No such file or directory"
        return
    with path.open("rb") as file:
        head = file.read(16)
    count, wanted = int.from_bytes(head[8:16], "little"), len(tensors(folder))
    if head[:4] != GGUF_MAGIC or len(head) < 16:
        yield "model.gguf: not a GGUF file"
    elif count != wanted:
        yield f"model.gguf: {count} tensors, the model has {wanted}"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors"))


def _quantisation(told: dict[str, Any]) -> dict[str, Any] | None:
    found = told.get("quantization")
    return found if isinstance(found, dict) else None


def _layer(said: dict[str, Any], layer: str) -> dict[str, Any]:
    """What config.json says of the quantisation of a layer."""
    own = said.get(layer)
    return own if isinstance(own, dict) else said


def _packed(found: dict[str, TensorHeader], layer: str) -> bool:
    weight = found.get(f"{layer}.weight")
    return bool(weight and weight["dtype"] == "U32" and f"{layer}.scales" in found)


def _length(tensor: TensorHeader) -> int:
    return tensor["data_offsets"][1] - tensor["data_offsets"][0]


def _bytes(tensor: TensorHeader) -> int:
    return math.prod(tensor["shape"]) * BYTES.get(tensor["dtype"], 0)


def _brief(said: dict[str, Any] | None) -> str:
    return msgspec.json.encode(said, order="sorted").decode() if said else "none"


def some(names: Iterable[str]) -> str:
    """The first of some names, and how many more."""
    every = sorted(names)
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
