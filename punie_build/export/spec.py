"""Models: an adapter fused into its base, or a base alone, in another precision.

    [model.v1-q6]
    adapter = "v1"
    bits = 6

A fused model needs no adapter beside it, and is what other programs load. What may be said of its precision is what mlx can
compute: `MODES`. To let a recipe say another mode: its row there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec

Dtype = Literal["float16", "bfloat16", "float32"]
Mode = Literal["affine", "mxfp4", "nvfp4", "mxfp8"]
WHOLE = 16  # bits that say: not quantised
MODES: dict[
    Mode, tuple[tuple[int, ...], tuple[int, ...]]
] = {  # mode -> bits, sizes of a group; the first size is the default
    "affine": ((2, 3, 4, 5, 6, 8), (64, 32, 128)),
    "mxfp4": ((4,), (32,)),
    "nvfp4": ((4,), (16,)),
    "mxfp8": ((8,), (32,)),
}
GGUF = ("llama", "mistral", "mixtral")  # the architectures that mlx-lm writes as GGUF


class Model(Spec, frozen=True, kw_only=True):
    """An `adapter` fused into its base, or a `base` as it is.

    `bits`: how many a weight has, 2 to 8; 16: not quantised, and a quantised base is brought back to full precision; left out: as
    in the base. Weights are quantised from the fused ones in full precision. `group_size` weights share a scale. `dtype`: of
    what is not quantised, and of the scales; left out, as in the base. `gguf`: also write `model.gguf`, for llama.cpp. `temporary`:
    its files are removed when all that reads them is built.
    """

    adapter: str | None = None
    base: str | None = None
    bits: Annotated[int, Meta(ge=2, le=WHOLE)] | None = None
    group_size: int | None = None
    mode: Mode = "affine"
    dtype: Dtype | None = None
    gguf: bool = False
    temporary: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        wrong = []
        if (self.adapter is None) == (self.base is None):
            wrong.append("a model is made from an `adapter`, or from a `base` alone - give one of them")
        widths, groups = MODES[self.mode]
        if self.bits is not None and self.bits not in (*widths, WHOLE):
            some = f"{', '.join(map(str, widths))} or {WHOLE}"
            wrong.append(f"bits {self.bits}: mode {self.mode} has {some} - choose one")
        if self.group_size is not None and self.group_size not in groups:
            wrong.append(
                f"group_size {self.group_size}: mode {self.mode} has {', '.join(map(str, sorted(groups)))} - choose one"
            )
        if not self.quantised and (self.group_size is not None or self.mode != "affine"):
            wrong.append("group_size and mode are of a quantised model - give `bits`, or remove them")
        if self.base is not None and self.bits is None and self.dtype is None and not self.gguf:
            wrong.append("a base as it is - give `bits`, `dtype` or `gguf`, or use the base itself")
        if self.gguf and self.quantised:
            wrong.append("mlx-lm writes GGUF in full precision only - set bits = 16, and quantise with llama.cpp")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def quantised(self) -> bool:
        """Whether the recipe asks for a quantisation of its own."""
        return self.mode != "affine" if self.bits is None else self.bits != WHOLE

    @property
    def quantisation(self) -> dict[str, Any]:
        """What config.json must say of the quantisation that the recipe asks for."""
        widths, groups = MODES[self.mode]
        return {"bits": self.bits or widths[0], "group_size": self.group_size or groups[0], "mode": self.mode}

    @property
    def precision(self) -> str:
        """In words."""
        if self.quantised:
            form = "" if self.mode == "affine" else f" ({self.mode})"
            return f"{self.quantisation['bits']} bits{form}"
        return "full precision" if self.bits == WHOLE else "the precision of its base"


def unwritable(spec: Model, model_type: str | None) -> str | None:
    """Why a base of this architecture cannot become what the recipe says, or None. `model_type` is what its config.json says."""
    if spec.gguf and model_type not in GGUF:
        return f"gguf: mlx-lm writes it for {', '.join(GGUF)}, this base is {model_type or 'unknown'} - remove gguf"
    return None
