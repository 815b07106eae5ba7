"""The names of the files that decide an adapter, by the format in which it is shared."""

from __future__ import annotations

NAME = "adapter_config.json"
WEIGHTS = {"mlx-lm": "adapters.safetensors", "PEFT": "adapter_model.safetensors"}
FILES = (NAME, *WEIGHTS.values())
