"""Tiny random bases of the architectures that mlx-lm knows, with the tokenizer of nano.

`COMMON` has a small value for each name that a config.json of mlx-lm's models may have; an architecture takes the
names of its own `ModelArgs`. `OWN` has the values of single architectures: patterns of layers, nested configs, and
the sizes that their code relates to each other.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm.models
from mlx.utils import tree_flatten, tree_map_with_path

from punie_build.storage import paths

WIDTH, VOCABULARY = 64, 2048  # of nano's tokenizer
NO_MODELS = (
    "activations", "base", "bitlinear_layers", "cache", "gated_delta", "gear", "mla", "pipeline", "rope_utils", "ssm",
    "switch_layers", "__init__",
)  # fmt: skip
LEFT_OUT = {
    "muse_spark": "computes with kernels of Metal only",
    "prism_hadamard_qwen35": "needs the list of modules of one published model",
}
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY, "num_vocab": VOCABULARY, "vocab_size_per_layer_input": VOCABULARY,
    **dict.fromkeys(("hidden_size", "n_embd", "model_dim", "hidden_dim", "d_model"), WIDTH),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "num_transformer_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "swa_num_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "n_kv_heads", "num_kv_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("intermediate_size", "n_inner", "ffn_hidden_size", "ff_intermediate_size", "block_ff_dim"), 128),
    **dict.fromkeys(("moe_intermediate_size", "expert_ffn_hidden_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("shared_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim"), 64),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k"), 2),
    **dict.fromkeys(("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("head_dim", "swa_head_dim", "v_head_dim", "swa_v_head_dim", "kv_channels", "global_head_dim"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "rotary_dim", "hidden_size_per_head"), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "index_head_dim"), 32),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "block_size", "model_max_length"), 512),
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "layernorm_epsilon"), 1e-5),
    **dict.fromkeys(("rope_theta", "swa_rope_theta", "rotary_emb_base", "rope_local_base_freq"), 10000.0),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_groups", "mamba_n_groups"), 1),
    **dict.fromkeys(("attention_bias", "mlp_bias", "use_bias", "conv_bias", "norm_topk_prob", "use_cla"), False),
    **dict.fromkeys(("tie_word_embeddings", "qk_norm", "post_norm", "use_conv_bias", "use_qk_norm"), True),
    **dict.fromkeys(("first_k_dense_replace", "num_dense_layers", "decoder_sparse_step", "moe_layer_freq"), 1),
    **dict.fromkeys(("sliding_window", "sliding_window_size", "attention_window_size", "window_size"), 16),
    **dict.fromkeys(("sliding_window_pattern", "full_attention_interval", "cla_share_factor", "layer_group_size"), 2),
    **dict.fromkeys(("linear_num_value_heads", "linear_num_key_heads", "mamba_num_heads", "mamba_n_heads"), 4),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "mamba_head_dim", "mamba_d_head"), 32),
    **dict.fromkeys(("linear_conv_kernel_dim", "conv_kernel", "conv1d_width", "mamba_d_conv", "conv_L_cache"), 4),
    **dict.fromkeys(("state_size", "ssm_state_size", "mamba_d_state"), 16),
    **dict.fromkeys(("logits_scaling", "attention_multiplier", "embedding_multiplier", "residual_multiplier"), 1.0),
    **dict.fromkeys(("routed_scaling_factor", "scale_emb", "scale_depth"), 1.0),
    "mlp_only_layers": [], "partial_rotary_factor": 0.5, "rotary_pct": 0.5, "rope_scaling": None,
    "topk_method": "noaux_tc", "scoring_func": "sigmoid", "hidden_act": "silu", "short_conv_kernel_size": 4,
    "index_n_heads": 2, "index_topk": 16, "mamba_expand": 2, "mamba_d_ssm": 128, "group_norm_size": 1,
    "dim_model_base": 64, "conv_window": 2, "hidden_size_per_layer_input": 16, "mamba_proj_bias": False,
    "query_pre_attn_scalar": 16, "time_step_rank": 8, "time_step_limit": [0.001, 100.0],
    "num_nextn_predict_layers": 0, "logits_soft_cap": 30.0, "pad_token_id": 0,
}  # fmt: skip
HALVES = ["full_attention", "sliding_attention"] * 2
MIXED = ["linear_attention", "full_attention"] * 2
ROPE = {"type": "default", "rope_theta": 10000.0}
KDA = {
    "kda_layers": [1, 2, 3], "full_attn_layers": [4], "num_heads": 4, "head_dim": 32, "short_conv_kernel_size": 4,
}  # fmt: skip
BY_TYPE = {"full_attention": ROPE, "sliding_attention": ROPE}
SCALED = ROPE | {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 512}
ATTENTION = {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 3.0}}
OWN: dict[str, dict[str, Any]] = {
    "afm7": {"num_kv_reuse_layers": 2},
    "afmoe": {"layer_types": HALVES},
    "baichuan_m1": {"sliding_window_layers": [1, 3], "tie_word_embeddings": False},
    "dbrx": {
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
    },
    "deepseek_v2": {"rope_scaling": {"type": "yarn", "factor": 1.0, "mscale_all_dim": 0.0}, "topk_method": "greedy"},
    "exaone4": {"sliding_window_pattern": "LG", "layer_types": HALVES},
    "exaone_moe": {"layer_types": HALVES, "is_moe_layer": [False, True, True, True]},
    "gemma3": {"text_config": "gemma3_text"},
    "gemma3n": {"text_config": "gemma3n_text"},
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "final_logit_softcapping": 30.0,
        "layer_types": HALVES,
        "laurel_rank": 16,
        "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
        "altup_num_inputs": 2,
        "altup_coef_clip": 120.0,
        "altup_correct_scale": True,
        "altup_active_idx": 0,
    },
    "gemma4": {"text_config": "gemma4_text"},
    "gemma4_text": {"layer_types": HALVES[::-1], "num_kv_shared_layers": 0, "num_global_key_value_heads": 2},
    "glm_moe_dsa": {"rope_parameters": ROPE},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2, "mamba_conv_bias": True, "intermediate_size": 64},
    "hunyuan": {"use_mixed_mlp_moe": True, "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
    "jamba": {"attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2},
    "kimi_k25": {"text_config": "deepseek_v3"},
    "kimi_k3": {"text_config": "kimi_k3_text"},
    "kimi_k3_text": {
        "linear_attn_config": KDA | {"gate_lower_bound": -5.0},
        "hidden_act": "situ",
        "attn_res_block_size": 2,
        "routed_expert_hidden_size": 64,
        "num_expert_group": 1,
    },
    "kimi_linear": {"linear_attn_config": KDA},
    "kimi_vl": {"text_config": "deepseek_v3"},
    "lfm2-vl": {"text_config": "lfm2"},
    "lfm2": {
        "block_dim": 64,
        "block_multiple_of": 64,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "layer_types": ["conv", "full_attention"] * 2,
    },
    "lfm2_moe": {"use_expert_bias": True, "layer_types": ["conv", "full_attention"] * 2},
    "llama4": {"text_config": "llama4_inner"},
    "llama4_inner": {
        "attention_chunk_size": 64,
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 128,
        "use_qk_norm": True,
        "num_experts_per_tok": 1,
        "no_rope_layers": [1, 1, 1, 0],
    },
    "llama4_text": {"num_experts_per_tok": 1, "intermediate_size_mlp": 128, "no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": {
        "attention_method": "MLA",
        "zero_expert_type": "identity",
        "zero_expert_num": 2,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
    },
    "longcat_flash_ngram": {"zero_expert_num": 2, "mla_scale_q_lora": True, "mla_scale_kv_lora": True},
    "mamba2": {"head_dim": 32},
    "olmo": {"mlp_hidden_size": 128, "embedding_size": VOCABULARY},
    "phi3small": {"vocab_size": 100_352, "gegelu_limit": 20.0, "dense_attention_every_n_layers": 2},
    "mellum": {"layer_types": HALVES, "rope_parameters": BY_TYPE},
    "mimo_v2_flash": {
        "hybrid_layer_pattern": [0, 1, 0, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "moe_layer_freq": [0, 1, 1, 1],
    },
    "minimax_m3_vl": {"text_config": "minimax_m3_text"},
    "minimax_m3_text": {"dense_intermediate_size": 128, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]},
    "minicpm": {"tie_word_embeddings": False},
    "minicpm3": {
        "rope_scaling": {
            "type": "longrope",
            "original_max_position_embeddings": 512,
            "long_factor": [1.0] * 8,
            "short_factor": [1.0] * 8,
        }
    },
    "ministral3": {"rope_parameters": SCALED},
    "mistral3": {"text_config": "llama"},
    "mistral4": {"rope_parameters": SCALED},
    "nemotron-nas": {"block_configs": [ATTENTION] * 4},
    "nemotron_h": {"hybrid_override_pattern": ["M", "*", "-", "E"], "moe_latent_size": None},
    "olmo_hybrid": {"linear_allow_neg_eigval": True, "layer_types": MIXED},
    "openelm": {
        "ffn_dim_divisor": 64,
        "num_query_heads": [4] * 4,
        "num_kv_heads": [2] * 4,
        "ffn_multipliers": [2.0] * 4,
    },
    "pixtral": {"text_config": "llama"},
    "plamo": {"n_shared_head": 2},
    "qwen2_vl": {"text_config": "qwen2"},
    "qwen3_5": {"text_config": "qwen3_5_text"},
    "qwen3_5_moe": {"text_config": "qwen3_5_text"},
    "qwen3_vl": {"text_config": "qwen3"},
    "qwen3_vl_moe": {"text_config": "qwen3_vl_moe_text"},
    "qwen3_vl_moe_text": {"tie_word_embeddings": False},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"] * 2},
    "rwkv7": {**dict.fromkeys(("a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim", "decay_low_rank_dim"), 16)},
    "spark2_5": {"layer_types": HALVES, "rope_parameters": BY_TYPE, "hidden_act": "gelu"},
    "step3p5": {"num_attention_groups": 2, "layer_types": HALVES},
    "stablelm": {"use_qkv_bias": False},
}

TEXT_CONFIGS = {
    "qwen3_vl_moe_text": ("qwen3_moe", "ModelArgs"),
    "llama4_inner": ("llama4", "TextArgs"),
    "qwen3_5_text": ("qwen3_5", "TextModelArgs"),
    "gemma3n_text": ("gemma3n", "TextConfig"),
    "kimi_k3_text": ("kimi_k3", "TextArgs"),
    "minimax_m3_text": ("minimax_m3_vl", "TextArgs"),
}


def architectures() -> list[str]:
    """Return the names of the model files of the installed mlx-lm."""
    files = sorted(Path(mlx_lm.models.__path__[0]).glob("*.py"))
    return [path.stem for path in files if path.stem not in (*NO_MODELS, *LEFT_OUT)]


def config(name: str) -> dict[str, Any]:
    """Return a tiny config.json of an architecture."""
    own = dict(OWN.get(name, {}))
    if inner := own.get("text_config"):
        own["text_config"] = _values(*TEXT_CONFIGS.get(inner, (inner, "ModelArgs"))) | OWN.get(inner, {})
    return _values(name, "ModelArgs") | own | {"model_type": name, "eos_token_id": 2}


def _values(module: str, arguments: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(getattr(_module(module), arguments))]
    return {key: COMMON[key] for key in names if key in COMMON} | {"model_type": module}


def _module(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.models.{name}")


def write_base(folder: Path, name: str, dtype: mx.Dtype = mx.float32, **changes: Any) -> dict[str, Any]:
    """Write a base of an architecture with random weights, and return its config."""
    settings, module = config(name) | changes, _module(name)
    mx.random.seed(0)
    model = module.Model(module.ModelArgs.from_dict(settings))
    may_cast = getattr(model, "cast_predicate", lambda _: True)

    def converted(path: str, value: mx.array) -> mx.array:
        return value.astype(dtype) if may_cast(path) and mx.issubdtype(value.dtype, mx.floating) else value

    weights = dict(tree_flatten(tree_map_with_path(converted, model.parameters())))
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(settings))
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(paths.nano() / file, folder / file)
    return settings
