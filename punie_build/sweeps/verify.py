"""Compare the adapter that a choice published with the setting in its choice.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from punie_build.models.safetensors import as_, read

CHOSEN = ("learning_rate", "batch_size", "seed")  # what adapter_config.json says as the recipe does


class _Chosen(Struct):
    setting: dict[str, Any]
    seed: int | None = None


def choice(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where the adapter that was chosen has not the setting that choice.json says."""
    try:
        chosen = read(folder / "choice.json", as_(_Chosen))
        config = read(folder / "adapter_config.json", as_(dict[str, Any]))
    except ValueError as error:
        yield str(error)
        return
    held = {f"lora.{name}": value for name, value in (config.get("lora_parameters") or {}).items()}
    held |= {name: config.get(name) for name in CHOSEN}
    said = chosen.setting | ({} if chosen.seed is None else {"seed": chosen.seed})
    for field, value in said.items():
        if field in held and held[field] != value:
            yield f"{field}: choice.json {value}, adapter_config.json {held[field]}"
