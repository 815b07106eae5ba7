"""An adapter as a GGUF file of LoRA, for llama.cpp: read back and compared value by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from punie_build.errors import ModelError
from punie_build.export import lora
from punie_build.export.lora import LoraAdapter
from punie_build.models import gguf_base, gguf_names, tensor_file
from punie_build.models.gguf_names import ARCHITECTURES, GgufArchitecture
from punie_build.models.tensor_file import Tensor


def write(adapter: LoraAdapter, path: Path) -> None:
    """Write an adapter as a GGUF file. Raises ModelError for DoRA, a scale of 0, and a difference.

    llama.cpp multiplies by alpha / rank. Values of bfloat16 become float32, and no value changes.
    """
    where = adapter.where
    gguf_base.require_package(where)
    from gguf import GGUFType, GGUFWriter

    if adapter.is_dora:
        raise ModelError(f"{where}: llama.cpp has no DoRA - fuse it to a model, and export that, or train lora")
    if adapter.scale == 0:
        raise ModelError(
            f"{where}: its scale is 0, which llama.cpp takes for 1 - export the base, which computes the same"
        )
    architecture = ARCHITECTURES[adapter.config["model_type"]]
    names = {module: gguf_names.gguf_name(architecture, f"{module}.weight") for module in adapter.modules}
    if unknown := [module for module, name in names.items() if name is None]:
        raise ModelError(f"{where}: {unknown[0]} has no place in the GGUF of {architecture.name} - fuse it to a model")
    writer = GGUFWriter(str(path), architecture.name)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(adapter.alpha))
    writer.add_name(where.rpartition(":")[2])
    for name, tensor in adapter.tensors.items():
        module, _, leaf = name.rpartition(".")
        own = str(names[module])
        values = tensor.transposed.values
        if leaf == "lora_b" and (count := _heads(architecture, own, adapter)):
            values = gguf_names.interleave(values, count)
        writer.add_tensor(f"{own}.{leaf}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    lora.compare(adapter, *_read(path, architecture, adapter))


def _heads(architecture: GgufArchitecture, name: str, adapter: LoraAdapter) -> int:
    heads = int(adapter.config["num_attention_heads"])
    return gguf_names.heads_of(architecture, name, heads, int(adapter.config.get("num_key_value_heads") or heads))


def _read(path: Path, architecture: GgufArchitecture, adapter: LoraAdapter) -> tuple[float, dict[str, Tensor]]:
    """Return the scale and the tensors of a file under the names of mlx-lm, in the dtypes of the adapter."""
    from gguf import GGUFReader

    reader: Any = GGUFReader(str(path))
    tensors, ranks = {}, set()
    for tensor in reader.tensors:
        own, _, leaf = tensor.name.rpartition(".")
        values = np.array(tensor.data)
        if leaf == "lora_b" and (count := _heads(architecture, own, adapter)):
            values = gguf_names.separate(values, count)
        ranks.add(values.shape[-1 if leaf == "lora_b" else 0])
        name = f"{str(gguf_names.mlx_name(architecture, own)).removesuffix('.weight')}.{leaf}"
        dtype = adapter.tensors[name].dtype if name in adapter.tensors else "F32"
        tensors[name] = tensor_file.of_floats(values.T, dtype)
    if ranks != {adapter.rank}:
        raise ModelError(f"{adapter.where}: read back, its ranks are {sorted(ranks)} - report a bug")
    return float(reader.fields["adapter.lora.alpha"].contents()) / adapter.rank, tensors
