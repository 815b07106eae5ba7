"""The spec of a model: an adapter fused into its base, or a base alone, in another precision.

    [model.v1-q6]
    adapter = "v1"
    bits = 6

A fused model can be loaded by other programs, without an adapter beside it. A precision is valid if mlx can compute
in it: see `MODES`. To support another mode, add an entry to it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec

Dtype = Literal["float16", "bfloat16", "float32"]
Mode = Literal["affine", "mxfp4", "nvfp4", "mxfp8"]
FULL_PRECISION_BITS = 16  # the value of `bits` for a model that is not quantized
MODES: dict[
    Mode, tuple[tuple[int, ...], tuple[int, ...]]
] = {  # mode -> (bits, group sizes), each with its default first
    "affine": ((2, 3, 4, 5, 6, 8), (64, 32, 128)),
    "mxfp4": ((4,), (32,)),
    "nvfp4": ((4,), (16,)),
    "mxfp8": ((8,), (32,)),
}
GGUF_ARCHITECTURES = ("llama", "mistral", "mixtral")  # those that mlx-lm writes as GGUF


class Model(Spec, frozen=True, kw_only=True):
    """An `adapter` fused into its base, or a `base` as it is.

    `bits` per weight: 2 to 8; 16 for a model that is not quantized, even if its base is; by default those of the
    base. Weights are quantized from the fused ones in full precision. `group_size` weights share a scale. `dtype` is
    that of scales and of weights that are not quantized, by default that of the base. `gguf`: also write
    `model.gguf`, for llama.cpp. `fidelity_rows`: compare the model with its adapter on at most so many held-out rows;
    512 tell 97 % from 98 %. `temporary`: remove the files as soon as all targets that read them are built.
    """

    adapter: str | None = None
    base: str | None = None
    bits: Annotated[int, Meta(ge=2, le=FULL_PRECISION_BITS)] | None = None
    group_size: int | None = None
    mode: Mode = "affine"
    dtype: Dtype | None = None
    gguf: bool = False
    fidelity_rows: Annotated[int, Meta(ge=1)] = 512
    temporary: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        problems = []
        if (self.adapter is None) == (self.base is None):
            problems.append("a model is made from an `adapter`, or from a `base` alone - give one of them")
        widths, group_sizes = MODES[self.mode]
        if self.bits is not None and self.bits not in (*widths, FULL_PRECISION_BITS):
            choices = f"{', '.join(map(str, widths))} or {FULL_PRECISION_BITS}"
            problems.append(f"bits {self.bits}: mode {self.mode} has {choices} - choose one")
        if self.group_size is not None and self.group_size not in group_sizes:
            choices = ", ".join(map(str, sorted(group_sizes)))
            problems.append(f"group_size {self.group_size}: mode {self.mode} has {choices} - choose one")
        if not self.quantized and (self.group_size is not None or self.mode != "affine"):
            problems.append("group_size and mode require a quantized model - give `bits`, or remove them")
        changes = self.quantized or self.bits is not None or self.dtype is not None or self.gguf
        if self.base is not None and not changes:
            advice = "give one, or use the base itself"
            problems.append(f"a model of a base alone needs `bits`, `mode`, `dtype` or `gguf` - {advice}")
        if self.gguf and self.quantized:
            problems.append("mlx-lm writes GGUF in full precision only - set bits = 16, and quantize with llama.cpp")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def quantized(self) -> bool:
        """Whether the recipe sets a quantization of its own."""
        return self.mode != "affine" if self.bits is None else self.bits != FULL_PRECISION_BITS

    @property
    def quantization(self) -> dict[str, Any]:
        """The quantization of the recipe, with the keys of config.json."""
        widths, group_sizes = MODES[self.mode]
        return {"bits": self.bits or widths[0], "group_size": self.group_size or group_sizes[0], "mode": self.mode}

    @property
    def precision(self) -> str:
        """The precision in words."""
        if self.quantized:
            mode = "" if self.mode == "affine" else f" ({self.mode})"
            return f"{self.quantization['bits']} bits{mode}"
        return "full precision" if self.bits == FULL_PRECISION_BITS else "the precision of its base"


def gguf_problem(spec: Model, config: dict[str, Any]) -> str | None:
    """Return why mlx-lm cannot write a GGUF file of a base with this config.json, or None."""
    if not spec.gguf:
        return None
    from punie_build.models import gguf_rope  # imports numpy

    model_type, kind = config.get("model_type"), gguf_rope.scaling(config)["rope_type"]
    if model_type not in GGUF_ARCHITECTURES:
        problem = f"mlx-lm writes it for {', '.join(GGUF_ARCHITECTURES)}, this base is {model_type or 'unknown'}"
    elif kind != "default" and (config.get("rope_scaling") or {}).get("type") != "linear":
        problem = f"mlx-lm leaves out that the rotary frequencies of this base are scaled by {kind}"
    else:
        return None
    return f"gguf: {problem} - remove gguf, and try `punie-build export --to gguf`"
