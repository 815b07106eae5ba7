"""Compare the adapter that a selection published with the setting in its choice.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from punie_build.models.safetensors import json_as, read
from punie_build.sweeps.adapter_ranking import SelectionRecord
from punie_build.training import adapter_config

RECORDED = ("learning_rate", "batch_size", "seed")  # fields of adapter_config.json under the names of a recipe


def choice(folder: Path, _spec: object, _base: Path | None = None) -> Iterator[str]:
    """Yield one line for each field in which the published adapter differs from the setting of choice.json."""
    try:
        selection = read(folder / "choice.json", json_as(SelectionRecord))
        config = adapter_config.load(folder)
    except ValueError as error:
        yield str(error)
        return
    parameters = msgspec.to_builtins(config.lora_parameters) if config.lora_parameters else {}
    actual = {f"lora.{name}": value for name, value in parameters.items()}
    actual |= {name: getattr(config, name) for name in RECORDED}
    expected = selection.setting | ({} if selection.seed is None else {"seed": selection.seed})
    for field, value in expected.items():
        if field in actual and actual[field] != value:
            yield f"{field}: choice.json {value}, adapter_config.json {actual[field]}"
