"""Weights of all forms that files of bases have."""

from __future__ import annotations

import math
from typing import Any

import pytest

from punie_build.models.weights import BYTES, Weight, split_layer, weights


def tensors(**shapes: tuple[str, list[int]]) -> dict[str, Any]:
    """Return headers of tensors, each with its dtype and shape; `__` in a name stands for a dot."""
    return {
        name.replace("__", "."): {"dtype": dtype, "shape": shape, "data_offsets": (0, BYTES[dtype] * math.prod(shape))}
        for name, (dtype, shape) in shapes.items()
    }


def layer_weights(config: dict[str, Any] | None = None, layers: int = 0, **shapes: Any) -> dict[str, Weight]:
    return {weight.module: weight for weight in weights(tensors(**shapes), config or {}, layers)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.3.mlp.up_proj.weight", ("model.layers", 3, "mlp.up_proj.weight")),
        ("transformer.h.0.attn.c_attn.weight", ("transformer.h", 0, "attn.c_attn.weight")),
        ("block.11.attn.qkv.weight", ("block", 11, "attn.qkv.weight")),
        (
            "language_model.model.layers.1.mlp.experts.7.w1.weight",
            ("language_model.model.layers", 1, "mlp.experts.7.w1.weight"),
        ),
        ("model.embed_tokens.weight", None),
        ("model.embedders.0.weight", None),
    ],
)
def test_layers_are_found_under_any_list(name, expected):
    assert split_layer(name) == expected


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group_size", [32, 64, 128, None])
def test_a_width_is_its_scales_times_the_group_size(bits, group_size):
    """`mlx_lm.convert --quant-predicate mixed_2_6` writes a group size of null."""
    width, groups = 1536, 1536 // (group_size or 64)
    own = {"bits": bits, "group_size": group_size}
    found = layer_weights(
        {"quantization": {"bits": 4, "group_size": 64, "model.layers.0.mlp.down": own}},
        model__layers__0__mlp__down__weight=("U32", [96, width * bits // 32]),
        model__layers__0__mlp__down__scales=("BF16", [96, groups]),
        model__layers__0__mlp__down__biases=("BF16", [96, groups]),
    )["mlp.down"]
    assert (found.shape, found.bits, found.kind) == ((96, width), bits, "linear")
    assert found.size == 96 * (width * bits // 8 + 4 * groups)


@pytest.mark.parametrize(("mode", "bits", "group"), [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)])
def test_modes_without_biases_have_their_own_group_size(mode, bits, group):
    found = layer_weights(
        {"quantization": {"bits": bits, "mode": mode}},
        model__layers__0__up__weight=("U32", [8, 256 * bits // 32]),
        model__layers__0__up__scales=("U8", [8, 256 // group]),
    )["up"]
    assert (found.shape, found.bits, found.dtype) == ((8, 256), bits, "U8")


def test_experts_count_each_in_one_tensor_or_in_many():
    one = layer_weights(model__layers__0__mlp__switch_mlp__up_proj__weight=("F32", [4, 16, 8]))
    many = weights(
        tensors(
            **{f"model__layers__0__mlp__experts__{expert}__up_proj__weight": ("F32", [16, 8]) for expert in range(4)}
        ),
        {},
    )
    assert {weight.module for weight in many} == {*one} == {"mlp.switch_mlp.up_proj"}
    assert sum(weight.lora_parameters(2) for weight in many) == one["mlp.switch_mlp.up_proj"].lora_parameters(2) == 192


def test_the_packed_experts_of_gpt_oss_are_unpacked():
    found = layer_weights(
        {"quantization_config": {"quant_method": "mxfp4"}},
        model__layers__0__mlp__experts__down_proj_blocks=("U8", [4, 64, 2, 16]),
        model__layers__0__mlp__experts__down_proj_scales=("U8", [4, 64, 2]),
        model__layers__0__mlp__experts__down_proj_bias=("BF16", [4, 64]),
    )
    assert (found["mlp.experts.down_proj"].shape, found["mlp.experts.down_proj"].kind) == ((4, 64, 64), "experts")


@pytest.mark.parametrize(
    ("name", "tensor", "kind"),
    [
        ("linear_attn__conv1d__weight", ("BF16", [64, 4, 1]), "convolution"),
        ("conv__in_proj__weight", ("BF16", [64, 64]), "linear"),
        ("input_layernorm__weight", ("BF16", [64]), "vector"),
        ("self_attn__q_norm__weight", ("BF16", [4, 16]), "other"),
        ("self_attn__embed_q__weight", ("BF16", [4, 16, 16]), "table"),
        ("self_attn__unembed_out__weight", ("BF16", [4, 16, 16]), "table"),
        ("self_attn__kv_up__weight", ("BF16", [4, 16, 16]), "other"),
        ("mlp__w1__weight", ("U8", [16, 64]), "other"),
    ],
)
def test_only_matrices_of_floats_are_linear(name, tensor, kind):
    [weight] = weights(tensors(**{f"model__layers__0__{name}": tensor}), {})
    assert weight.kind == kind


def test_a_router_with_a_correction_is_no_linear_module():
    found = layer_weights(
        model__layers__0__mlp__gate__weight=("BF16", [4, 64]),
        model__layers__0__mlp__gate__e_score_correction_bias=("F32", [4]),
        model__layers__0__mlp__up_proj__weight=("BF16", [64, 64]),
        model__layers__0__mlp__up_proj__bias=("BF16", [64]),
    )
    assert (found["mlp.gate"].kind, found["mlp.up_proj"].kind) == ("other", "linear")


def test_towers_and_layers_that_predict_further_tokens_are_foreign():
    found = weights(
        tensors(
            vision_tower__blocks__0__attn__weight=("BF16", [8, 8]),
            model__layers__0__attn__weight=("BF16", [8, 8]),
            model__layers__1__attn__weight=("BF16", [8, 8]),
            model__kv_reuse_layers__0__attn__weight=("BF16", [8, 8]),
        ),
        {},
        layers=1,
    )
    assert [(weight.layer, weight.kind) for weight in found] == [
        (None, "foreign"), (0, "linear"), (None, "foreign"), (1, "linear"),
    ]  # fmt: skip
