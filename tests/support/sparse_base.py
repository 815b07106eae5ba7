"""A base of any size that takes a few MB of disk: a llama whose MLP weights are zeros that no block stores."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np

from punie_build.storage import paths

VOCABULARY = 2048  # of nano's tokenizer
HEADS = 4


def write_sparse_base(folder: Path, size: int, hidden: int = 256, layers: int = 1) -> None:
    """Write a llama in float32 of about `size` bytes. Embeddings and attention are random, the wide MLPs zero."""
    width = size // (layers * 3 * hidden * 4) // 64 * 64
    settings = {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": width,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-6,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
        "eos_token_id": 2,
    }
    shapes = {"model.embed_tokens.weight": (VOCABULARY, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        shapes |= {f"{prefix}.{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
        shapes |= {f"{prefix}.mlp.{name}_proj.weight": (width, hidden) for name in ("gate", "up")}
        shapes[f"{prefix}.mlp.down_proj.weight"] = (hidden, width)
    header, end = {"__metadata__": {"format": "mlx"}}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    folder.mkdir(parents=True)
    randomness = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
        for name, shape in shapes.items():
            if ".mlp." not in name:
                values = np.ones(shape) if len(shape) == 1 else randomness.normal(0, 0.2, shape)
                file.seek(8 + len(text) + header[name]["data_offsets"][0])
                file.write(values.astype(np.float32).tobytes())
    (folder / "config.json").write_text(json.dumps(settings))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(paths.nano() / name, folder / name)
