"""The weights of a model as its files describe them: shapes, bits and layers, read from headers without the weights.

A quantized weight is packed into 32-bit words with `scales` beside it, so that its width is the number of scales
times the group size. The files may be those of mlx-lm or of transformers: the layers are under any list (`layers`,
`h`, `blocks`), and the experts of a layer are one tensor or one tensor each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from punie_build.models.safetensors import TensorHeader, read, read_header

Kind = Literal["linear", "experts", "table", "convolution", "vector", "other", "foreign"]
BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
GROUP_SIZES = {"affine": 64, "mxfp4": 32, "nvfp4": 16, "mxfp8": 32}  # by default, as in mlx
MAIN_LISTS = ("layers", "h", "blocks", "block")
FOREIGN = ("vision", "visual", "audio", "image", "speech", "mtp", "multi_modal", "sam_")  # what mlx-lm does not load
TABLES = re.compile(r"embed|^(wte|wpe|tok_embeddings)$")
EXPERTS = re.compile(r"(^|\.)(experts|switch_\w+|o_a_proj)(\.|$)")
EXPERT = re.compile(r"(^|\.)experts\.\d+\.")
COMPANIONS = re.compile(r"scale|bias|zero|g_idx|absmax|quant")  # what may stand beside the weight of a linear module

Tensors = Mapping[str, TensorHeader]
Config = Mapping[str, Any]


class Weight(Struct, frozen=True, kw_only=True):
    """A weight of a model, with its scales.

    `layer` is its position among all layers, None outside of them; `module` its module, within the layer as mlx-lm
    names it. `shape` counts weights, not the words that they are packed into; `bits` is 16 unless it is quantized.
    `dtype` is that of a weight or of its scales, `size` the bytes of both.
    """

    layer: int | None
    module: str
    kind: Kind
    shape: tuple[int, ...]
    bits: int
    dtype: str
    size: int

    @property
    def count(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    def lora_parameters(self, rank: int) -> int:
        """Return the number of parameters of a LoRA on this weight: experts have one each."""
        experts = self.shape[0] if self.kind == "experts" else 1
        return experts * rank * (self.shape[-2] + self.shape[-1])


def split_layer(name: str) -> tuple[str, int, str] | None:
    """Return the list of layers, the index in it and the name within the layer; None for a tensor outside of layers."""
    parts = name.split(".")
    at = next((position for position, part in enumerate(parts) if part.isdigit()), len(parts))
    return (".".join(parts[:at]), int(parts[at]), ".".join(parts[at + 1 :])) if len(parts) - at > 2 else None


def read_tensors(folder: Path) -> dict[str, TensorHeader]:
    """Return the tensors of all weight files of a model. Raises ValueError."""
    return {name: tensor for path in weight_files(folder) for name, tensor in read(path, read_header).items()}


def weight_files(folder: Path) -> list[Path]:
    """Return the files that mlx-lm loads; others, such as `consolidated.safetensors`, hold the same weights again."""
    return sorted(folder.glob("model*.safetensors"))


def weights(tensors: Tensors, config: Config, layers: int = 0) -> tuple[Weight, ...]:
    """Return the weights of a model. `layers` limits each list of layers: files may hold layers that only predict
    further tokens."""
    modules: dict[str, dict[str, TensorHeader]] = {}
    for name, tensor in tensors.items():
        module, _, parameter = name.rpartition(".")
        modules.setdefault(module, {})[parameter] = tensor
    places = {name: split_layer(f"{name}.weight") for name in modules}
    lists: dict[str, int] = {}
    for place in places.values():
        if place and not _is_foreign(place[0], place[1], layers):
            lists[place[0]] = max(lists.get(place[0], 0), place[1] + 1)
    first, total = {}, 0
    for name in sorted(lists, key=lambda each: (each.rpartition(".")[2] not in MAIN_LISTS, each)):
        first[name], total = total, total + lists[name]
    result: list[Weight] = []
    for name, parameters in modules.items():
        place = places[name]
        foreign = _is_foreign(place[0] if place else name, place[1] if place else 0, layers)
        layer = first[place[0]] + place[1] if place and not foreign else None
        module = EXPERT.sub(r"\1switch_mlp.", place[2].removesuffix(".weight")) if place else name
        result += _module_weights(name, module, layer, foreign, parameters, config)
    return tuple(result)


def _is_foreign(prefix: str, index: int, layers: int) -> bool:
    parts = prefix.split(".")
    beyond = 0 < layers <= index and parts[-1] in MAIN_LISTS
    return beyond or any(part.startswith(FOREIGN) for part in parts)


def _module_weights(
    name: str, module: str, layer: int | None, foreign: bool, parameters: dict[str, TensorHeader], config: Config
) -> Iterator[Weight]:
    """Yield the weights of a module: its `weight` or its own parameters, each with its scales."""
    rest = dict(parameters)
    while rest:
        parameter = next((each for each in ("weight", "qweight") if each in rest), "") or next(iter(rest))
        tensor = rest.pop(parameter)
        stem = parameter.removesuffix("_blocks")
        prefix = "" if parameter in ("weight", "qweight") else f"{stem}_"
        companions = {key: rest.pop(key) for key in (f"{prefix}scales", f"{prefix}biases", "qzeros") if key in rest}
        scales = companions.get(f"{prefix}scales")
        shape, bits = _unpacked(parameter, tensor, scales, settings(config, name))
        own = module if parameter in ("weight", "qweight") else f"{module}.{stem}" if module else stem
        others = [key for key in rest if not COMPANIONS.search(key) or "correction" in key]
        yield Weight(
            layer=layer,
            module=own,
            kind="foreign" if foreign else _kind(own, parameter, shape, tensor["dtype"], bits, others),
            shape=shape,
            bits=bits,
            dtype=scales["dtype"] if scales and bits < 16 else tensor["dtype"],
            size=sum(each["data_offsets"][1] - each["data_offsets"][0] for each in (tensor, *companions.values())),
        )


def settings(config: Config, module: str) -> dict[str, Any]:
    """Return the quantization of a module by config.json: its own, else that of all modules; without null values."""
    shared = config.get("quantization") or config.get("quantization_config") or {}
    shared = shared if isinstance(shared, dict) else {}
    own = shared.get(module)
    chosen = own if isinstance(own, dict) else shared
    known = {name: value for name, value in chosen.items() if value is not None and not isinstance(value, dict)}
    return {"group_size": GROUP_SIZES.get(known.get("mode", "affine"), 64)} | known


def _unpacked(
    parameter: str, tensor: TensorHeader, scales: TensorHeader | None, quantization: Mapping[str, Any]
) -> tuple[tuple[int, ...], int]:
    """Return the shape of a tensor in weights, and their bits."""
    shape = tuple(tensor["shape"])
    if not scales or not shape or not scales["shape"]:
        return shape, 16
    groups, bits = scales["shape"][-1], int(quantization.get("bits", 4))
    if parameter == "qweight":  # AWQ packs the outputs, GPTQ the inputs
        inputs = shape[0] * 32 // bits if shape[-1] == groups else shape[0]
        return (groups, inputs), bits
    if parameter.endswith("_blocks"):  # gpt-oss: 32 weights of 4 bits in 16 bytes
        return (*shape[:-2], shape[-2] * 32), 4
    if tensor["dtype"] != "U32":
        return shape, 16
    width = groups * int(quantization["group_size"])
    packed = shape[-1] * 32
    if packed % width or packed // width not in (2, 3, 4, 5, 6, 8):  # config.json gives no group size, or another
        width = packed // bits
    return (*shape[:-1], width), packed // width


def _kind(module: str, parameter: str, shape: tuple[int, ...], dtype: str, bits: int, others: list[str]) -> Kind:
    last = module.rpartition(".")[2]
    if len(shape) < 2:
        return "vector"
    if TABLES.search(last):
        return "table"
    if len(shape) == 3 and EXPERTS.search(module):
        return "experts"
    if "conv" in last or len(shape) > 3:
        return "convolution"
    if "norm" in last:
        return "other"
    named = parameter in ("weight", "qweight")
    if len(shape) == 2 and named and (bits < 16 or dtype in FLOATS) and not others:
        return "linear"
    return "other"
