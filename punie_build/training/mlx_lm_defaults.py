"""Defaults that differ from those of `mlx_lm.lora`: a recipe carried over from it learns in another way."""

from __future__ import annotations

from punie_build.training.optimizer_spec import Adam, Adamw
from punie_build.training.spec import ITERS, Adapter

MLX_LM = {"iters": 1000, "learning_rate": 1e-5, "num_layers": 16, "mask_prompt": False}  # its CONFIG_DEFAULTS
BIAS_CORRECTION = False  # of its Adam and AdamW


def differing_defaults(spec: Adapter) -> tuple[str, ...]:
    """Return a phrase for each field with a default that is not mlx-lm's and that changes what is learned."""
    default = Adapter(base=spec.base, data=spec.data)
    phrases = []
    if spec.iters == spec.epochs == spec.tokens is None:
        phrases.append(f"iters {ITERS:,} ({MLX_LM['iters']:,})")
    if spec.learning_rate == default.learning_rate:
        phrases.append(f"learning_rate {spec.learning_rate:g} ({MLX_LM['learning_rate']:g})")
    if spec.num_layers == default.num_layers:
        phrases.append(f"all layers (the last {MLX_LM['num_layers']})")
    if isinstance(spec.optimizer, Adam | Adamw) and spec.optimizer.bias_correction != BIAS_CORRECTION:
        phrases.append("bias_correction on (off)")
    if spec.mask == default.mask and not spec.compares:
        phrases.append("loss on every assistant turn (on all tokens)")
    return tuple(phrases)
