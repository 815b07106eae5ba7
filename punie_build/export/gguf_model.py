"""A base or a fused model as a GGUF file, with tokenizer and chat template; read back as a base, and compared.

Matrices have one dtype, vectors float32. One tensor is in memory at a time.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from punie_build.errors import ModelError
from punie_build.export import gguf_vocabulary, model_folder
from punie_build.models import gguf_base, gguf_names, gguf_rope, tensor_file
from punie_build.models.architecture import IN_PYTHON, read_architecture
from punie_build.models.gguf_names import ARCHITECTURES, READABLE, GgufArchitecture
from punie_build.models.safetensors import read, read_header
from punie_build.models.tensor_file import Tensor
from punie_build.models.weights import FLOATS, read_tensors, weight_files

Precision = Literal["f32", "f16", "bf16"]
FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32}  # general.file_type
WRITABLE = [name for name, architecture in ARCHITECTURES.items() if architecture.name in READABLE
            and READABLE[architecture.name] in (name, "llama")]  # fmt: skip
NUMBERS = {  # config.json -> key of GGUF after the architecture
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "max_position_embeddings": "context_length",
}


class GgufModel(Struct, frozen=True, kw_only=True):
    """A folder with a model that GGUF can hold, its config and architecture, and the dtype of its matrices there."""

    where: str
    folder: Path
    config: model_folder.Config
    architecture: GgufArchitecture
    dtype: str

    @property
    def head_width(self) -> int:
        """Numbers of a head."""
        return int(self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"])

    @property
    def theta(self) -> float:
        """Base of the rotary frequencies."""
        nested = self.config.get("rope_parameters") or {}
        return float(self.config.get("rope_theta") or nested.get("rope_theta") or _default_theta(self.config))

    @property
    def heads(self) -> tuple[int, int]:
        """Heads of the queries, and of the keys."""
        heads = int(self.config["num_attention_heads"])
        return heads, int(self.config.get("num_key_value_heads") or heads)


def write(where: str, folder: Path, path: Path, precision: Precision | None = None) -> tuple[str, ...]:
    """Write the model of a folder as GGUF, and return notes. Raises ModelError if GGUF cannot hold it.

    `precision` is by default that of the weights.
    """
    gguf_base.require_package(where)
    try:
        model = _model(where, folder, precision)
        fields = _fields(model)
        notes = [*gguf_vocabulary.notes(folder), *_write(model, path, fields)]
        _compare(model, path)
    except (ModelError, ValueError) as error:
        raise ModelError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from None
    return tuple(notes)


def _model(where: str, folder: Path, precision: Precision | None) -> GgufModel:
    config = model_folder.read_config(folder)
    kind = config.get("model_type")
    if kind not in WRITABLE:
        raise ModelError(f"its architecture is {kind}, exported are {', '.join(WRITABLE)} - use the original")
    headers = read_tensors(folder)
    if "quantization" in config or "quantization_config" in config or any(n.endswith(".scales") for n in headers):
        bits = (config.get("quantization") or {}).get("bits", "?")
        raise ModelError(
            f"its weights are quantized by mlx to {bits} bits, which GGUF cannot hold - "
            "export a model with `bits = 16`, and quantize it with llama.cpp"
        )
    if others := {name: each["dtype"] for name, each in headers.items() if each["dtype"] not in FLOATS[:4]}:
        raise ModelError(f"{min(others)} is {others[min(others)]}, exported are floats - use the original")
    architecture = ARCHITECTURES[kind]
    problems = list(_problems(config, architecture.name))
    if unknown := [name for name in headers if gguf_names.gguf_name(architecture, name) is None]:
        problems.append(f"{len(unknown)} tensors have no place in {architecture.name}, such as {unknown[0]}")
    if problems:
        raise ModelError("\n".join(f"{problem} - use the original" for problem in problems))
    own = {each["dtype"] for each in headers.values() if len(each["shape"]) > 1} & {*FILE_TYPES}
    dtype = precision.upper() if precision else own.pop() if len(own) == 1 else "F32"
    return GgufModel(where=where, folder=folder, config=config, architecture=architecture, dtype=dtype)


def _problems(config: model_folder.Config, arch: str) -> Iterator[str]:
    """Yield the settings of a config that the file could not say, or llama.cpp would compute otherwise."""
    if problem := gguf_rope.problem(config, arch):
        yield problem
    for name, neutral in (("partial_rotary_factor", 1.0), ("rope_traditional", False), ("use_sliding_window", False)):
        if (value := config.get(name, neutral)) not in (neutral, None):
            yield f"{name} is {value}, which is not exported"
    if "sliding_attention" in (config.get("layer_types") or ()):
        yield "it has layers with a sliding window, which are not exported"
    if missing := [name for name in (*NUMBERS, "rms_norm_eps") if config.get(name) is None]:
        yield f"config.json lacks {', '.join(missing)}"


def _fields(model: GgufModel) -> dict[str, Any]:
    """Return the metadata by key; whole numbers, floats, booleans, texts and lists are written by their type."""
    arch, config, width = model.architecture.name, model.config, model.head_width
    own: dict[str, Any] = {key: int(config[name]) for name, key in NUMBERS.items()}
    own |= {
        "attention.head_count_kv": model.heads[1],
        "attention.key_length": width,
        "attention.value_length": width,
        "rope.dimension_count": width,
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "rope.freq_base": model.theta,
    } | gguf_rope.fields(config)
    size = next(each["shape"][0] for name, each in read_tensors(model.folder).items() if "embed_tokens" in name)
    fields = {f"{arch}.{key}": value for key, value in own.items()} | {
        f"{arch}.vocab_size": size,
        "general.file_type": FILE_TYPES[model.dtype],
        "general.name": model.where.rpartition(":")[2],
    }
    fields |= gguf_vocabulary.metadata(model.folder, size)
    ends = model_folder.eos_token_ids(model.folder)
    if ends:
        fields.setdefault("tokenizer.ggml.eos_token_id", ends[0])
    if others := [number for number in ends if number != fields.get("tokenizer.ggml.eos_token_id")]:
        fields["tokenizer.ggml.eot_token_id"] = others[0]
    architecture = read_architecture(model.folder)
    if architecture and architecture.chat_template not in ("", IN_PYTHON):
        fields["tokenizer.chat_template"] = architecture.chat_template
    return fields


def _default_theta(config: model_folder.Config) -> float:
    return 1e6 if config["model_type"] == "qwen2" else 1e4  # as mlx-lm has them


def _write(model: GgufModel, path: Path, fields: dict[str, Any]) -> Iterator[str]:
    """Write the file, and yield notes: how many values were rounded, and which parts of the model it lacks."""
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(str(path), model.architecture.name)
    _add_fields(writer, fields)
    for name, header in read_tensors(model.folder).items():
        dtype = model.dtype if len(header["shape"]) > 1 else "F32"
        width = math.prod(header["shape"]) * (4 if dtype == "F32" else 2)
        own = str(gguf_names.gguf_name(model.architecture, name))
        kind = GGMLQuantizationType[dtype]
        writer.add_tensor_info(own, header["shape"], np.dtype(np.float32), width, raw_dtype=kind)
    divisors = gguf_rope.divisors(model.config, model.head_width, model.theta)
    if divisors is not None:
        kind = GGMLQuantizationType["F32"]
        writer.add_tensor_info(gguf_rope.FREQS, divisors.shape, divisors.dtype, divisors.nbytes, raw_dtype=kind)
    rounded, total, largest = 0, 0, 0.0
    with closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, source in _weights(model.folder):
            stored = _stored(model, name, source)
            if count := stored.count_not_finite() - source.count_not_finite():
                raise ModelError(f"{count} values of {name} are too large for {stored.dtype} - choose bf16 or f32")
            if source.bits.ndim > 1:
                plain = tensor_file.of_floats(source.values, model.dtype).values
                rounded, total = rounded + int((plain != source.values).sum()), total + plain.size
                largest = max(largest, float(np.abs(plain.astype(np.float32) - source.values).max()))
            writer.write_tensor_data(np.ascontiguousarray(stored.bits))
        if divisors is not None:
            writer.write_tensor_data(divisors)
    if rounded:
        yield f"{rounded:,} of {total:,} values were rounded to {model.dtype}, by {largest:.1g} at most"
    if "tokenizer.chat_template" not in fields:
        yield "it has no chat template that GGUF can hold: programs use one of their own"
    ends = model_folder.eos_token_ids(model.folder)
    if len(ends) > 2:
        yield f"GGUF has two end tokens, the model has {len(ends)}: {', '.join(map(str, ends))}"


def _add_fields(writer: Any, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        else:
            add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
            add[type(value)](key, value)


def _weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a model one by one, in the order of its files."""
    for file in weight_files(folder):
        for name in read(file, read_header):
            yield from tensor_file.load(file, [name]).items()


def _stored(model: GgufModel, name: str, source: Tensor) -> Tensor:
    """Return a tensor as the file holds it: arranged for llama.cpp, norms of gemma with 1 added."""
    own = str(gguf_names.gguf_name(model.architecture, name))
    values = source.values
    if model.architecture.norms_add_one and own.endswith("norm.weight"):
        values = values.astype(np.float32) + np.float32(1)
    if count := gguf_names.heads_of(model.architecture, own, *model.heads):
        values = gguf_names.interleave(values, count)
    return tensor_file.of_floats(values, model.dtype if values.ndim > 1 else "F32")


def _compare(model: GgufModel, path: Path) -> None:
    """Convert the file to a base, as `gguf` of a base does, and compare it. Raises ModelError for a difference."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        other = Path(scratch, "base")
        gguf_base.convert(path, other)
        if problems := list(_differences(model, other)):
            raise ModelError("\n".join(f"read back, {problem} - report a bug" for problem in problems))


def _differences(model: GgufModel, other: Path) -> Iterator[str]:
    if names := read_tensors(model.folder).keys() ^ read_tensors(other).keys():
        yield f"other names: {model_folder.first_names(names)}"
        return
    differing = set()
    for name, source in _weights(model.folder):
        [actual] = tensor_file.load(other / "model.safetensors", [name]).values()
        values = source.values.astype(np.float32)
        if model.architecture.norms_add_one and name.endswith("norm.weight"):
            values = (values + np.float32(1)) - np.float32(1)
        if not np.array_equal(actual.bits, tensor_file.of_floats(values, model.dtype).bits):
            differing.add(name)
    if differing:
        yield f"other shapes or values: {model_folder.first_names(differing)}"
    config = model_folder.read_config(other)
    for name in (*NUMBERS, "rms_norm_eps", "num_key_value_heads", "head_dim", "rope_theta"):
        expected_number = model.config.get(name)
        if expected_number is not None and not math.isclose(config[name], expected_number, rel_tol=1e-6):
            yield f"{name} is {config[name]}, it was {expected_number}"
    if gguf_rope.differ(model.config, config, model.head_width, model.theta):
        yield f"rope_scaling is {config.get('rope_scaling')}, it was {model.config.get('rope_scaling')}"
    yield from gguf_vocabulary.differences(model.folder, other)
    first, second = read_architecture(model.folder), read_architecture(other)
    if first and second and first.chat_template not in (IN_PYTHON, second.chat_template):
        yield "the chat template is another"
