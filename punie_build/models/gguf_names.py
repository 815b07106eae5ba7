"""Names and arrangements of tensors in GGUF, for the architectures that are converted here.

llama.cpp stores the rows of `attn_q` and `attn_k` of llama with the halves of each rotary head interleaved, and the
norms of gemma with 1 added. Vectors and norms are float32 there.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
COMMON = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
FOUR_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
FUSED = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.gate_up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufArchitecture(Struct, frozen=True, kw_only=True):
    """An architecture of GGUF: its `name` there, the names of a layer's modules, and how they are arranged."""

    name: str
    layer: dict[str, str]
    interleaved: bool = False
    norms_add_one: bool = False


ARCHITECTURES = {  # model_type of config.json -> architecture of GGUF
    "llama": GgufArchitecture(name="llama", layer=COMMON, interleaved=True),
    "mistral": GgufArchitecture(name="llama", layer=COMMON, interleaved=True),
    "qwen2": GgufArchitecture(name="qwen2", layer=COMMON),
    "qwen3": GgufArchitecture(name="qwen3", layer=COMMON | HEAD_NORMS),
    "gemma": GgufArchitecture(name="gemma", layer=COMMON, norms_add_one=True),
    "gemma2": GgufArchitecture(name="gemma2", layer=COMMON | FOUR_NORMS, norms_add_one=True),
    "gemma3_text": GgufArchitecture(name="gemma3", layer=COMMON | HEAD_NORMS | FOUR_NORMS, norms_add_one=True),
    "phi3": GgufArchitecture(name="phi3", layer=FUSED),
}
READABLE = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma"}  # GGUF -> model_type


def mlx_name(architecture: GgufArchitecture, name: str) -> str | None:
    """Return the name in mlx-lm of a tensor of GGUF, None if the architecture has none of this name."""
    stem, _, parameter = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{parameter}"
    parts = stem.split(".")
    if len(parts) == 3 and parts[0] == "blk" and parts[1].isdigit() and parts[2] in architecture.layer:
        return f"model.layers.{parts[1]}.{architecture.layer[parts[2]]}.{parameter}"
    return None


def gguf_name(architecture: GgufArchitecture, name: str) -> str | None:
    """Return the name in GGUF of a tensor of mlx-lm, None if the architecture has none of this name."""
    stem, _, parameter = name.rpartition(".")
    top = {module: each for each, module in TOP.items()}
    if stem in top:
        return f"{top[stem]}.{parameter}"
    layer = {module: each for each, module in architecture.layer.items()}
    parts = stem.split(".", 3)
    if len(parts) == 4 and ".".join(parts[:2]) == "model.layers" and parts[3] in layer:
        return f"blk.{parts[2]}.{layer[parts[3]]}.{parameter}"
    return None


def heads_of(architecture: GgufArchitecture, name: str, heads: int, key_heads: int) -> int:
    """Return the number of heads whose rows are interleaved in a tensor of GGUF; 0 if none are."""
    if not architecture.interleaved or not name.startswith("blk."):
        return 0
    return {"attn_q": heads, "attn_k": key_heads}.get(name.split(".")[2], 0)


def interleave(rows: Any, heads: int) -> Any:
    """Return rows of rotary heads as llama.cpp stores them."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def separate(rows: Any, heads: int) -> Any:
    """Return rows of rotary heads as transformers and mlx-lm store them: the inverse of `interleave`."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
