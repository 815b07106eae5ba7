"""A GGUF file as a base: converted once into `.punie`, with the weights, the config and the tokenizer of mlx-lm.

Quantized weights are expanded as llama.cpp expands them, and rounded to bfloat16. What is not known of a file is
refused by its name: an architecture, a tensor, a tokenizer, a scaling of rotary frequencies.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from punie_build.errors import ModelError
from punie_build.models import gguf_names, gguf_rope, gguf_tokenizer, tensor_file
from punie_build.models.gguf_names import ARCHITECTURES, READABLE
from punie_build.models.tensor_file import DeferredTensor, Tensor
from punie_build.storage import atomic

BLOCK = 2**18  # values that are expanded at a time
DTYPES = {"F32": "F32", "F16": "F16"}  # of the matrices of a file -> of the base; BF16 for all others


def convert(path: Path, out: Path) -> None:
    """Convert a GGUF file into the folder `out`, unless that exists. Raises ModelError."""
    if (out / "config.json").exists():
        return
    require_package(path.name)
    from gguf import GGUFReader

    try:
        reader = GGUFReader(str(path))
    except (ValueError, OSError, IndexError) as error:
        raise ModelError(f"{path.name}: not a GGUF file that can be read ({error}) - copy it again") from None
    metadata = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    staging = out.with_name(f"{out.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        tensors = _tensors(reader, metadata)
        config = _config(metadata, tensors, _divisors(reader))
        gguf_tokenizer.write(metadata, staging)
    except ModelError as error:
        raise ModelError(f"{path.name}: {error}") from None
    tensor_file.save_deferred(staging / "model.safetensors", tensors, {"format": "mlx"})
    (staging / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2))
    atomic.replace_folder(staging, out)


def require_package(name: str) -> None:
    """Raise ModelError if the package that reads and writes GGUF is not installed."""
    if not find_spec("gguf"):
        raise ModelError(f"{name}: the package gguf is not installed - pip install 'punie-build[gguf]'")


def _architecture(metadata: dict[str, Any]) -> str:
    name = metadata.get("general.architecture")
    if name not in READABLE:
        known = ", ".join(READABLE)
        raise ModelError(
            f"its architecture is {name}, converted are {known} - convert the original with mlx_lm.convert"
        )
    return str(name)


def _tensors(reader: Any, metadata: dict[str, Any]) -> dict[str, DeferredTensor]:
    """Return the tensors under the names of mlx-lm. They are expanded while they are written, a block at a time."""
    from gguf.quants import dequantize

    arch = _architecture(metadata)
    architecture = ARCHITECTURES[READABLE[arch]]
    heads = int(metadata[f"{arch}.attention.head_count"])
    key_heads = int(metadata.get(f"{arch}.attention.head_count_kv", heads))
    tensors = [tensor for tensor in reader.tensors if tensor.name != gguf_rope.FREQS]
    names = {tensor.name: gguf_names.mlx_name(architecture, tensor.name) for tensor in tensors}
    if unknown := [name for name, own in names.items() if own is None]:
        raise ModelError(f"{len(unknown)} tensors have no place in {arch}, such as {unknown[0]} - use another file")
    matrices = {tensor.tensor_type.name for tensor in tensors if len(tensor.shape) > 1}
    dtype = DTYPES.get(next(iter(matrices)), "BF16") if len(matrices) == 1 else "BF16"

    def deferred(tensor: Any) -> DeferredTensor:
        count = gguf_names.heads_of(architecture, tensor.name, heads, key_heads)
        adds_one = architecture.norms_add_one and tensor.name.endswith("norm.weight")
        shape = tuple(int(size) for size in reversed(tensor.shape))
        rows = len(tensor.data) if count or len(shape) == 1 else max(1, BLOCK // math.prod(shape[1:]))

        def blocks() -> Iterator[Tensor]:
            for start in range(0, len(tensor.data), rows):
                values = dequantize(tensor.data[start : start + rows], tensor.tensor_type).astype(np.float32)
                values = gguf_names.separate(values, count) if count else values
                yield tensor_file.of_floats(values - 1 if adds_one else values, dtype)

        return DeferredTensor(dtype, shape, blocks)

    for tensor in tensors:
        try:
            dequantize(tensor.data[:1], tensor.tensor_type)
        except NotImplementedError:
            raise ModelError(
                f"{tensor.name} is {tensor.tensor_type.name}, which cannot be expanded - use a file in Q8_0"
            ) from None
    return {str(names[tensor.name]): deferred(tensor) for tensor in tensors}


def _divisors(reader: Any) -> NDArray[np.float32] | None:
    """Return the tensor that divides the rotary frequencies, None if the file has none."""
    tensor = next((each for each in reader.tensors if each.name == gguf_rope.FREQS), None)
    return None if tensor is None else np.asarray(tensor.data, np.float32)


def _config(
    metadata: dict[str, Any], tensors: dict[str, DeferredTensor], divisors: NDArray[np.float32] | None
) -> dict[str, Any]:
    """Return config.json. Raises ModelError for a missing value, and for rotary frequencies of an unknown scaling."""
    arch = _architecture(metadata)
    own = {name.removeprefix(f"{arch}."): value for name, value in metadata.items()}
    embedding = tensors.get("model.embed_tokens.weight")
    if embedding is None:
        raise ModelError("it has no token_embd.weight - is it one part of several? merge them with llama-gguf-split")
    try:
        config = {
            "model_type": READABLE[arch],
            "architectures": [f"{READABLE[arch].capitalize()}ForCausalLM"],
            "hidden_size": own["embedding_length"],
            "num_hidden_layers": own["block_count"],
            "intermediate_size": own["feed_forward_length"],
            "num_attention_heads": own["attention.head_count"],
            "num_key_value_heads": own.get("attention.head_count_kv", own["attention.head_count"]),
            "rms_norm_eps": float(own["attention.layer_norm_rms_epsilon"]),
            "max_position_embeddings": own["context_length"],
        }
    except KeyError as error:
        raise ModelError(f"its metadata lack {arch}.{error.args[0]} - use another file") from None
    width = own["embedding_length"] // own["attention.head_count"]
    config |= {
        "head_dim": own.get("attention.key_length", width),
        "rope_theta": float(own.get("rope.freq_base", 10000.0)),
        "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "attention_bias": "model.layers.0.self_attn.q_proj.bias" in tensors,
        "mlp_bias": "model.layers.0.mlp.up_proj.bias" in tensors,
        "torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[embedding.dtype],
    }
    if scaling := gguf_rope.read(own, divisors, int(config["head_dim"]), config["rope_theta"]):
        if READABLE[arch] in gguf_rope.UNSCALED:
            raise ModelError(f"its rotary frequencies are scaled, which mlx-lm cannot for {arch} - use the original")
        config["rope_scaling"] = scaling
    for name, key in (("bos_token_id", "bos"), ("eos_token_id", "eos")):
        if (number := metadata.get(f"tokenizer.ggml.{key}_token_id")) is not None:
            config[name] = number
    if license_name := metadata.get("general.license"):
        config["license"] = license_name
    return config
