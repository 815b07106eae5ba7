"""Adapters that were trained elsewhere: their spec, and what is recorded of their origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec

RECORD = "adoption.json"


class AdoptedAdapter(Spec, frozen=True, kw_only=True):
    """An adapter that was trained elsewhere: a folder of mlx-lm or of PEFT, by `path`.

    `base` is the one that it was trained on. `chat_template_args`: arguments of the base's chat template that it was
    trained with, if any; evals of the adapter ask with them.
    """

    path: str
    base: str
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    description: str = ""


class AdoptionRecord(Struct, frozen=True, kw_only=True):
    """adoption.json: the format of the folder, facts of its adapter_config.json, and notes for people."""

    format: Literal["mlx-lm", "PEFT"]
    facts: dict[str, str]
    notes: tuple[str, ...] = ()


def read_record(folder: Path) -> AdoptionRecord:
    """Read the record of an adopted adapter's folder. Raises ValueError that names the file."""
    from punie_build.models.safetensors import json_as, read

    return read(folder / RECORD, json_as(AdoptionRecord))
