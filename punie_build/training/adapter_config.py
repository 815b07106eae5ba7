"""The adapter_config.json of an adapter: the fields that mlx-lm reads to load it, and facts of its training."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.models.safetensors import json_as, read
from punie_build.models.verify import BaseSignature
from punie_build.training.adapter_files import NAME


class LoraParameters(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`lora_parameters` under mlx-lm's names. `keys` is missing where all linear modules are adapted."""

    rank: int | None = None
    scale: float | None = None
    dropout: float | None = None
    keys: list[str] | None = None


class AdapterConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of adapter_config.json; None where the file lacks one, as files of other programs may.

    `iteration` of `iters` batches is `published` ("best" or "last"); `base` identifies the base it was trained on;
    `model` names it where a command trained it without a recipe.
    """

    fine_tune_type: str | None = None
    num_layers: int | None = None
    lora_parameters: LoraParameters | None = None
    mask: str | None = None
    seed: int | None = None
    iters: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    published: str | None = None
    iteration: int | None = None
    valid_loss: float | None = None
    valid_loss_last: float | None = None
    base: BaseSignature | None = None
    model: str | None = None

    def write(self, folder: Path) -> None:
        """Write the file into an adapter's folder."""
        text = json.dumps(msgspec.to_builtins(self), indent=2, sort_keys=True)
        (folder / NAME).write_text(text + "\n")


def load(folder: Path) -> AdapterConfig:
    """Read the file of an adapter's folder. Raises ValueError that names the file."""
    return read(folder / NAME, json_as(AdapterConfig))
