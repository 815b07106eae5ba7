"""The matrices of a LoRA adapter with the facts of its base, for the formats of other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct

from punie_build.errors import ModelError
from punie_build.export import model_folder
from punie_build.models.gguf_names import ARCHITECTURES
from punie_build.models.tensor_file import Tensor
from punie_build.models.weights import split_layer
from punie_build.training import adoption


class LoraAdapter(Struct, frozen=True, kw_only=True):
    """An adapter of LoRA or DoRA: `tensors` under the names and in the shapes of mlx-lm, `notes` for people.

    `config` is config.json of its base.
    """

    where: str
    is_dora: bool
    rank: int
    scale: float
    dropout: float
    tensors: dict[str, Tensor]
    config: model_folder.Config
    notes: tuple[str, ...]

    @property
    def alpha(self) -> float | int:
        """The alpha of other programs: the scale of mlx-lm times the rank."""
        alpha = self.scale * self.rank
        return int(alpha) if alpha == int(alpha) else alpha

    @property
    def modules(self) -> list[str]:
        """The adapted modules, with their full names."""
        return sorted({name.rpartition(".")[0] for name in self.tensors})


def read_lora(where: str, folder: Path, base: Path) -> LoraAdapter:
    """Return the adapter of a folder. Raises ModelError for one that does not fit its base, or is not of LoRA."""
    fitted = adoption.check(where, folder, base)
    own = fitted.adapter.config
    if own.lora_parameters is None or own.fine_tune_type == "full":
        raise ModelError(
            f"{where}: full training changes all weights, it is no LoRA - fuse it to a model, and export that"
        )
    config = model_folder.read_config(base)
    known = ", ".join(ARCHITECTURES)
    if (kind := config.get("model_type")) not in ARCHITECTURES:
        raise ModelError(
            f"{where}: its base is {kind}, the names of whose modules are known for mlx-lm only - exported are {known}"
        )
    tensors = adoption.matrices(where, folder, fitted.adapter)
    if others := sorted({name.rpartition(".")[0] for name in tensors if split_layer(name) is None}):
        raise ModelError(
            f"{where}: it adapts {', '.join(others)}, and only modules in layers can be exported - "
            "train without these lora.keys, or fuse it to a model"
        )
    return LoraAdapter(
        where=where,
        is_dora=own.fine_tune_type == "dora",
        rank=int(own.lora_parameters.rank or 0),
        scale=float(own.lora_parameters.scale or 0.0),
        dropout=float(own.lora_parameters.dropout or 0.0),
        tensors=tensors,
        config=config,
        notes=fitted.notes,
    )


def compare(adapter: LoraAdapter, scale: float, tensors: dict[str, Tensor]) -> None:
    """Raise ModelError if what is read back differs from the adapter: its scale, names, or one bit of a value."""
    problems = []
    if abs(scale - adapter.scale) > 1e-6 * abs(adapter.scale):
        problems.append(f"the scale is {scale}, it was {adapter.scale}")
    if names := adapter.tensors.keys() ^ tensors.keys():
        problems.append(f"other names: {model_folder.first_names(names)}")
    differing = {
        name
        for name in adapter.tensors.keys() & tensors.keys()
        if not np.array_equal(adapter.tensors[name].bits, tensors[name].bits)
    }
    if differing:
        problems.append(f"other values: {model_folder.first_names(differing)}")
    if problems:
        raise ModelError("\n".join(f"{adapter.where}: read back, {problem} - report a bug" for problem in problems))
