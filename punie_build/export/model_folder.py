"""The folder of a model, read from headers and JSON alone, and compared with its recipe and its base.

The weight of a layer is quantized if there are `scales` beside it: `weight` (out, in * bits / 32) as uint32, `scales`
(out, in / group_size). `config.json` has bits, group size and mode of all layers, other values for single layers by
name, and `false` for a layer that is not quantized.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.errors import join_first
from punie_build.export.spec import FULL_PRECISION_BITS, Model
from punie_build.models.safetensors import TensorHeader, json_as, read, read_header
from punie_build.models.weights import BYTES, FLOATS, Weight, read_tensors, settings, weight_files, weights
from punie_build.storage import digests

INDEX = "model.safetensors.index.json"
COMPANION_SUFFIXES = (
    ".json",
    ".jinja",
    ".model",
    ".txt",
    ".tiktoken",
)  # of tokenizer, chat template, generation config
WEIGHT_FILES = ("config.json", INDEX, "hf_quant_config.json")  # JSON files that describe the weights of the base
DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
EIGHT_BITS = {"bits": 8, "group_size": 64, "mode": "affine"}
OWN_QUANTIZATION: dict[Any, tuple[str, dict[str, Any] | None]] = {  # model type or class -> modules, their quantization
    "granite": (r"self_attn\.o_proj$|mlp\.down_proj$|^lm_head$", EIGHT_BITS),
    "granitemoe": (r"router\.layer$|self_attn\.o_proj$|mlp\.down_proj$|^lm_head$", EIGHT_BITS),
    **dict.fromkeys(
        ("bailing_moe_v3", "BailingMoeV3ForCausalLM"),
        (r"word_embeddings$|^lm_head$|attention\.(q_[ab]_proj|kv_a_\w+|(un)?embed_\w+|b_proj)$", None),
    ),
}
MAX_NAMES = 5  # in a message
GGUF_MAGIC = b"GGUF"

Tensors = dict[str, TensorHeader]
Config = dict[str, Any]


class SafetensorsIndex(Struct):
    """`model.safetensors.index.json`: `total_size` in bytes, and the file of each tensor."""

    metadata: dict[str, int]
    weight_map: dict[str, str]


def companion_files(folder: Path) -> list[str]:
    """Return the files of a base that a model needs besides its weights, by their path in the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in COMPANION_SUFFIXES)
    names = (path.relative_to(folder).as_posix() for path in files)
    return [name for name in names if name not in WEIGHT_FILES and not name.startswith(".")]


def read_config(folder: Path) -> Config:
    """Read config.json. Raises ValueError."""
    return read(folder / "config.json", json_as(Config))


def eos_token_ids(folder: Path) -> list[int]:
    """Return the tokens that end a completion: from generation_config.json, else config.json, as mlx-lm does."""
    path = folder / "generation_config.json"
    value = read(path, json_as(Config)).get("eos_token_id") if path.exists() else None
    value = value or read_config(folder).get("eos_token_id")
    return sorted(value) if isinstance(value, list) else [] if value is None else [value]


def estimate_bytes(folder: Path, spec: Model) -> int:
    """Return about how many bytes the weights of a model take that is exported from the base in a folder."""
    config, total = read_config(folder), 0.0
    for weight in weights(read_tensors(folder), config):
        if weight.kind == "foreign":
            continue
        width = BYTES[DTYPES[spec.dtype]] if spec.dtype and weight.dtype in FLOATS else _full_width(weight)
        own = _own_quantization(config, weight.module, spec.quantization) if spec.quantized else None
        if own and _is_quantizable(weight, own["group_size"]):
            total += weight.count * _bytes_per_weight(own, width)
        elif weight.bits < FULL_PRECISION_BITS and spec.bits is None and not spec.quantized:
            total += weight.size
        else:
            total += weight.count * width
        total += weight.count * width if spec.gguf else 0
    return int(total)


def _own_quantization(config: Config, module: str, quantization: Config) -> Config | None:
    """Return the quantization of a module: mlx-lm gives some modules of some models more bits, or none."""
    for name in (config.get("model_type"), *(config.get("architectures") or ())):
        if name in OWN_QUANTIZATION and re.search(OWN_QUANTIZATION[name][0], module):
            return OWN_QUANTIZATION[name][1]
    return quantization


def _full_width(weight: Weight) -> int:
    """Return the bytes of one weight in full precision; without scales in float, mlx computes in bfloat16."""
    is_packed = weight.bits < FULL_PRECISION_BITS or weight.dtype.startswith("F8")
    return 2 if is_packed and weight.dtype not in DTYPES.values() else BYTES.get(weight.dtype, 4)


def _is_quantizable(weight: Weight, group_size: int) -> bool:
    is_matrix = weight.kind in ("linear", "experts", "table") or (weight.kind == "other" and len(weight.shape) == 3)
    return is_matrix and weight.shape[-1] % group_size == 0


def _bytes_per_weight(settings: Config, width: int) -> float:
    """Return the bytes of a quantized weight with its share of the scales of `width` bytes; affine groups have a bias
    too."""
    per_group = 2 * width if settings["mode"] == "affine" else 1
    return float(settings["bits"] / 8 + per_group / settings["group_size"])


def model(folder: Path, spec: Model, base: Path | None = None) -> Iterator[str]:
    """Yield one line for each difference between a model and its recipe.

    `base` is the folder of its base, if that is on this machine.
    """
    try:
        damage = list(_index_differences(folder))
        yield from damage or _weight_differences(read_tensors(folder), read_config(folder), spec)
        if base:
            yield from _base_differences(folder, base, spec)
        if spec.gguf:
            yield from _gguf_differences(folder)
    except ValueError as error:
        yield str(error)


def _index_differences(folder: Path) -> Iterator[str]:
    """Compare the weight files with their index, and the length of each tensor with its shape."""
    index = read(folder / INDEX, json_as(SafetensorsIndex))
    files = {path.name: read(path, read_header) for path in weight_files(folder)}
    for name in sorted(set(index.weight_map.values()) - set(files)):
        yield f"{name}: the index names it, it does not exist"
    file_of = {tensor: file for file, tensors in files.items() for tensor in tensors}
    if moved := {name for name, file in index.weight_map.items() if file_of.get(name, file) != file}:
        yield f"{first_names(moved)}: not in the file that the index names"
    if missing := {name for name, file in index.weight_map.items() if name not in file_of and file in files}:
        yield f"{first_names(missing)}: the index names it, no file has it"
    if unindexed := file_of.keys() - index.weight_map.keys():
        yield f"{first_names(unindexed)}: not in the index"
    tensors = [(name, tensor) for content in files.values() for name, tensor in content.items()]
    if wrong_length := {name for name, tensor in tensors if _length(tensor) != _shape_bytes(tensor)}:
        yield f"{first_names(wrong_length)}: its bytes are not those of its shape"
    if (total := sum(_length(tensor) for _, tensor in tensors)) != index.metadata.get("total_size"):
        yield f"total_size: the index says {index.metadata.get('total_size')} bytes, the files have {total}"


def _weight_differences(tensors: Tensors, config: Config, spec: Model) -> Iterator[str]:
    quantization = _quantization(config) or {}
    layers = {name.removesuffix(".weight") for name in tensors if name.endswith(".weight")}
    packed = {layer for layer in layers if _is_packed(tensors, layer)}
    if spec.quantized:
        unpacked = {layer for layer in layers - packed if len(tensors[f"{layer}.weight"]["shape"]) > 1}
        yield from _quantization_differences(quantization, packed, unpacked, spec.quantization)
    elif spec.bits == FULL_PRECISION_BITS and (packed or quantization):
        bits = quantization.get("bits", "none")
        yield f"bits: recipe {FULL_PRECISION_BITS}, {len(packed)} layers are quantized, config.json says {bits}"
    problems = {layer: _layer_difference(tensors, layer, settings(config, layer)) for layer in packed}
    if differing := {layer: problem for layer, problem in problems.items() if problem}:
        yield f"{first_names(differing)}: {differing[min(differing)]}"
    if spec.dtype:
        matrices = {name for name, tensor in tensors.items() if len(tensor["shape"]) > 1}  # vectors may have another
        dtypes = {tensors[name]["dtype"] for name in matrices} & {*DTYPES.values()}
        if dtypes != {DTYPES[spec.dtype]}:
            yield f"dtype: recipe {spec.dtype}, file {', '.join(sorted(dtypes))}"


def _quantization_differences(
    actual: Config, packed: Collection[str], unpacked: Collection[str], expected: Config
) -> Iterator[str]:
    """Compare the quantization in config.json with the recipe; `packed` layers are quantized, `unpacked` ones are
    not."""
    for name, value in expected.items():
        if (configured := actual.get(name, "affine" if name == "mode" else "none")) != value:
            yield f"{name}: recipe {value}, config.json {configured}"
    if not packed:
        yield f"bits: recipe {expected['bits']}, no layer is quantized"
    elif undeclared := {layer for layer in unpacked if actual.get(layer, True)}:
        yield f"{first_names(undeclared)}: not quantized, and config.json does not say so"


def _layer_difference(tensors: Tensors, layer: str, own: Config) -> str | None:
    """Return how the shapes of a quantized layer differ from its settings in config.json, or None."""
    weight, scales = tensors[f"{layer}.weight"], tensors[f"{layer}.scales"]
    group_size, mode = own.get("group_size", 0), own.get("mode", "affine")
    width = scales["shape"][-1] * group_size
    bits = weight["shape"][-1] * 32 / width if width else 0
    if bits != own.get("bits"):
        configured = own.get("bits")
        return f"config.json says {configured} bits in groups of {group_size}, its shapes are those of {bits:g} bits"
    is_affine = mode == "affine"
    if (scales["dtype"] == "U8") == is_affine or (f"{layer}.biases" in tensors) != is_affine:
        return f"config.json says {mode}, its tensors are of another mode"
    return None


def _base_differences(folder: Path, base: Path, spec: Model) -> Iterator[str]:
    if (actual := eos_token_ids(folder)) != (expected := eos_token_ids(base)):
        yield f"eos_token_id: base {expected}, model {actual}"
    for name in companion_files(base):
        path = folder / name
        if not path.is_file():
            yield f"{name}: the base has it, the model does not"
        elif digests.of_pointed(path) != digests.of_pointed(base / name):
            yield f"{name}: differs from the file of the base"
    config = read_config(base)
    if spec.bits is None and not spec.quantized and ("quantization" in config or "quantization_config" not in config):
        quantization, base_quantization = _quantization(read_config(folder)), _quantization(config)
        if quantization != base_quantization:
            yield f"quantization: base {_json(base_quantization)}, model {_json(quantization)}"


def _gguf_differences(folder: Path) -> Iterator[str]:
    """Compare the number of tensors in the GGUF file with that of the model."""
    path = folder / "model.gguf"
    if not path.exists():
        yield "model.gguf: No such file or directory"
        return
    with path.open("rb") as file:
        header = file.read(16)
    count, expected = int.from_bytes(header[8:16], "little"), len(read_tensors(folder))
    if header[:4] != GGUF_MAGIC or len(header) < 16:
        yield "model.gguf: not a GGUF file"
    elif count != expected:
        yield f"model.gguf: {count} tensors, the model has {expected}"


def _quantization(config: Config) -> Config | None:
    value = config.get("quantization")
    return value if isinstance(value, dict) else None


def _is_packed(tensors: Tensors, layer: str) -> bool:
    weight = tensors.get(f"{layer}.weight")
    return bool(weight and weight["dtype"] == "U32" and f"{layer}.scales" in tensors)


def _length(tensor: TensorHeader) -> int:
    return tensor["data_offsets"][1] - tensor["data_offsets"][0]


def _shape_bytes(tensor: TensorHeader) -> int:
    return math.prod(tensor["shape"]) * BYTES.get(tensor["dtype"], 0)


def _json(quantization: Config | None) -> str:
    return msgspec.json.encode(quantization, order="sorted").decode() if quantization else "none"


def first_names(names: Iterable[str]) -> str:
    """Return the first of some names in alphabetical order, and how many others there are."""
    return join_first(sorted(names), MAX_NAMES)
