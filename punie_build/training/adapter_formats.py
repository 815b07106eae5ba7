"""The formats in which adapters are shared: mlx-lm's and PEFT's. Reads JSON and headers only.

    mlx-lm   adapter_config.json, adapters.safetensors       MODULE.lora_a (in, rank), MODULE.lora_b (rank, out)
    PEFT     adapter_config.json, adapter_model.safetensors  base_model.model.MODULE.lora_A.weight (rank, in), ...

The magnitudes of DoRA are `MODULE.m` in mlx-lm, `MODULE.lora_magnitude_vector` in PEFT. A setting of PEFT that mlx-lm
cannot compute with is refused by its name, and so is one that is not known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any, Literal

import msgspec
from msgspec import Struct

from punie_build.models.safetensors import TensorHeader, json_as, read, read_header
from punie_build.models.weights import MAIN_LISTS, split_layer
from punie_build.training.adapter_config import AdapterConfig, LoraParameters
from punie_build.training.adapter_files import NAME, WEIGHTS

SUFFIXES = {"lora_A": "lora_a", "lora_B": "lora_b", "lora_magnitude_vector": "m"}  # PEFT's -> mlx-lm's
PEFT_NAME = re.compile(r"base_model\.model\.(.+)\.(lora_A|lora_B|lora_magnitude_vector)(?:\.default)?(?:\.weight)?")
HARMLESS = (
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern",
    "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type", "peft_version",
    "qalora_group_size", "r", "revision", "runtime_config", "target_modules", "use_dora", "use_rslora",
)  # fmt: skip
NEUTRAL = {  # setting of PEFT -> values that change nothing
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
    "task_type": ("CAUSAL_LM",),
}
REASONS = {
    "alpha_pattern": "mlx-lm has one scale for all modules",
    "bias": "an adapter of mlx-lm has no biases",
    "fan_in_fan_out": "its weights are transposed",
    "init_lora_weights": "it changes the weights of the base too",
    "layer_replication": "it repeats layers of the base",
    "lora_bias": "an adapter of mlx-lm has no biases",
    "modules_to_save": "an adapter of mlx-lm holds no whole modules",
    "rank_pattern": "mlx-lm has one rank for all modules",
    "target_parameters": "it adapts parameters that are no modules",
    "task_type": "it is not one of a model that generates text",
    "trainable_token_indices": "it changes embeddings of the base",
}
FACTS = (
    "model", "base_model_name_or_path", "peft_type", "peft_version", "task_type", "fine_tune_type", "r", "lora_alpha",
    "use_rslora", "use_dora", "target_modules", "lora_parameters", "num_layers", "iters", "batch_size",
    "learning_rate", "max_seq_length", "mask_prompt", "mask", "seed", "data", "valid_loss",
)  # fmt: skip

Format = Literal["mlx-lm", "PEFT"]


class AdapterFolder(Struct, frozen=True, kw_only=True):
    """An adapter as its files describe it.

    `sources` maps the names of mlx-lm to the tensors in the file; `tensors` has the headers of these, with the shapes
    of mlx-lm. `config` is what mlx-lm reads; `facts` are those of the original adapter_config.json, as text.
    """

    format: Format
    config: AdapterConfig
    tensors: dict[str, TensorHeader]
    sources: dict[str, str]
    facts: dict[str, str]


class AdapterFormatError(ValueError):
    """Every reason why a folder is no adapter that mlx-lm can compute with."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def is_adapter(folder: Path) -> bool:
    """Return whether a folder has the configuration of an adapter."""
    return (folder / NAME).is_file()


def original_config(folder: Path) -> dict[str, Any]:
    """Return adapter_config.json as it is. Raises ValueError."""
    return read(folder / NAME, json_as(dict[str, Any]))


def named_base(original: dict[str, Any]) -> str:
    """Return the base that a config names, "" if it names none."""
    return str(original.get("model") or original.get("base_model_name_or_path") or "")


def read_adapter(folder: Path, lists: Collection[str] = ()) -> AdapterFolder:
    """Return the adapter in a folder. `lists` are the lists of layers of its base, such as `model.layers`.

    Raises ValueError; AdapterFormatError has all its problems.
    """
    original = original_config(folder)
    if "peft_type" in original:
        return _of_peft(folder, original, lists)
    tensors = read(folder / WEIGHTS["mlx-lm"], read_header)
    config = _mlx_config(original)
    return AdapterFolder(
        format="mlx-lm",
        config=config,
        tensors=tensors,
        sources={name: name for name in tensors},
        facts=_facts(original),
    )


def _mlx_config(original: dict[str, Any]) -> AdapterConfig:
    """Return the config of mlx-lm. Old versions called `num_layers` `lora_layers`, and DoRA `use_dora`."""
    renamed = dict(original)
    if "lora_layers" in original:
        renamed.setdefault("num_layers", original["lora_layers"])
    renamed.setdefault("fine_tune_type", "dora" if original.get("use_dora") else "lora")
    try:
        config = msgspec.convert(renamed, AdapterConfig)
    except msgspec.ValidationError as error:
        raise ValueError(f"{NAME}: {error}") from None
    problems = []
    if config.fine_tune_type not in ("lora", "dora", "full"):
        problems.append(f"fine_tune_type {config.fine_tune_type}: not one of mlx-lm - it has lora, dora and full")
    elif config.fine_tune_type != "full":
        parameters = config.lora_parameters or LoraParameters()
        missing = [f"lora_parameters.{name}" for name in ("rank", "scale") if getattr(parameters, name) is None]
        missing += ["num_layers"] if config.num_layers is None else []
        problems += [f"{name}: missing, and mlx-lm cannot load the adapter without it - add it" for name in missing]
    if problems:
        raise AdapterFormatError([f"{NAME}: {problem}" for problem in problems])
    return config


def _of_peft(folder: Path, original: dict[str, Any], lists: Collection[str]) -> AdapterFolder:
    problems = [f"{NAME}: {problem}" for problem in _peft_problems(original)]
    path = folder / WEIGHTS["PEFT"]
    if not path.exists() and path.with_suffix(".bin").exists():
        problems.append("adapter_model.bin: a pickle, which may run code - save it again with safe_serialization=True")
        raise AdapterFormatError(problems)
    tensors, sources, foreign = {}, {}, []
    for source, header in read(path, read_header).items():
        match = PEFT_NAME.fullmatch(source)
        if match is None:
            foreign.append(source)
            continue
        name = f"{_module_name(match[1], lists)}.{SUFFIXES[match[2]]}"
        sources[name] = source
        tensors[name] = header | {"shape": header["shape"][::-1] if match[2] != "lora_magnitude_vector" else
                                  header["shape"]}  # fmt: skip
    if foreign:
        others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        problems.append(f"{path.name}: {foreign[0]}{others}: not a matrix of LoRA - mlx-lm cannot load it")
    if problems:
        raise AdapterFormatError(problems)
    rank, alpha = int(original["r"]), float(original["lora_alpha"])
    config = AdapterConfig(
        fine_tune_type="dora" if original.get("use_dora") else "lora",
        lora_parameters=LoraParameters(
            rank=rank,
            scale=alpha / (math.sqrt(rank) if original.get("use_rslora") else rank),
            dropout=float(original.get("lora_dropout") or 0.0),
            keys=adapted_modules(tensors),
        ),
    )
    return AdapterFolder(format="PEFT", config=config, tensors=tensors, sources=sources, facts=_facts(original))


def _peft_problems(original: dict[str, Any]) -> Iterator[str]:
    if original["peft_type"] != "LORA":
        yield f"peft_type {original['peft_type']}: mlx-lm has no such adapters - adopt one of type LORA"
        return
    if not isinstance(original.get("r"), int) or original["r"] < 1:
        yield f"r {original.get('r')}: not a rank - it is a whole number from 1"
    if not isinstance(original.get("lora_alpha"), int | float):
        yield f"lora_alpha {original.get('lora_alpha')}: not a number"
    for name, value in original.items():
        if name in HARMLESS or not value or value in NEUTRAL.get(name, ()):
            continue
        reason = REASONS.get(name, "it is not known to punie-build")
        yield f"{name} = {msgspec.json.encode(value).decode()}: {reason} - merge the adapter with PEFT, and use a base"


def _module_name(module: str, lists: Collection[str]) -> str:
    """Return a module under the list of layers of the base: classes of transformers nest it in other ways."""
    place = split_layer(f"{module}.weight")
    if place is None or place[0] in lists:
        return module
    last = place[0].rpartition(".")[2]
    candidates = [name for name in lists if name.rpartition(".")[2] == last and last in MAIN_LISTS]
    prefix = candidates[0] if len(candidates) == 1 else place[0]
    return f"{prefix}.{place[1]}.{place[2].removesuffix('.weight')}"


def adapted_modules(tensors: Collection[str]) -> list[str]:
    """Return the modules of tensors as `keys` of mlx-lm: by their name in a layer, or outside of layers in the
    model."""
    places = {name: split_layer(name) for name in tensors}
    return sorted({(place[2] if place else name).rpartition(".")[0] for name, place in places.items()})


def _facts(original: dict[str, Any]) -> dict[str, str]:
    """Return facts of a config as text. The path of a folder is reduced to its name: it is of another machine."""
    facts = {}
    for name in FACTS:
        value = original.get(name)
        if value is None or value is False or value == "":
            continue
        if isinstance(value, list):
            value = sorted(value, key=str)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        is_path = isinstance(value, str) and (text[:1] in "/~." or "\\" in text or text.count("/") > 1)
        facts[name] = PurePath(text.replace("\\", "/")).name if is_path else text
    return facts
