"""An adapter in the format of PEFT: matrices transposed bit by bit, read back and compared before they are used."""

from __future__ import annotations

from pathlib import Path

import msgspec

from punie_build.errors import ModelError
from punie_build.export import lora
from punie_build.export.lora import LoraAdapter
from punie_build.models import tensor_file
from punie_build.training import adoption
from punie_build.training.adapter_files import NAME, WEIGHTS
from punie_build.training.adapter_formats import SUFFIXES

LEAVES = {own: theirs for theirs, own in SUFFIXES.items()}


def write(adapter: LoraAdapter, base: Path, base_name: str, out: Path) -> None:
    """Write an adapter into `out`, read it back, and compare. Raises ModelError for a difference."""
    tensors = {}
    for name, tensor in adapter.tensors.items():
        module, _, leaf = name.rpartition(".")
        own = f"base_model.model.{module}.{LEAVES[leaf]}"
        tensors[own if leaf == "m" else f"{own}.weight"] = tensor if leaf == "m" else tensor.transposed
    tensor_file.save(out / WEIGHTS["PEFT"], tensors, {"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": adapter.modules,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": adapter.is_dora,
        "use_rslora": False,
    }
    (out / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    fitted = adoption.check(f"{adapter.where}, read back", out, base)
    parameters = fitted.adapter.config.lora_parameters
    if parameters is None or parameters.rank != adapter.rank:
        raise ModelError(f"{adapter.where}: read back, its rank is not {adapter.rank} - report a bug")
    lora.compare(adapter, float(parameters.scale or 0.0), adoption.matrices(adapter.where, out, fitted.adapter))
