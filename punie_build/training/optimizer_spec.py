"""Specs of optimizers and learning-rate schedules, with the names and defaults of `mlx.optimizers`.

One default differs: Adam's bias correction is on. Without it the first update is three times the learning rate.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from punie_build.schema.spec import TaggedSpec

Above0 = Annotated[float, Meta(gt=0, le=1e12)]  # float32 computes with these
Epsilon = Annotated[
    float, Meta(ge=1e-37, le=1e12)
]  # smaller ones are 0 in float32, and weights without a gradient then NaN
From0 = Annotated[float, Meta(ge=0, le=1e12)]
Below1 = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]


class Optimizer(TaggedSpec, frozen=True, kw_only=True):
    """An optimizer. Its learning rate is a field of the adapter."""

    NOUN: ClassVar = "optimizer"
    MOMENTS: ClassVar = 1  # numbers that it keeps for each trained one


class Adam(Optimizer, frozen=True, kw_only=True, tag="adam"):
    """Adam (Kingma and Ba 2015)."""

    MOMENTS: ClassVar = 2
    betas: tuple[Below1, Below1] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    bias_correction: bool = True


class Adamw(Optimizer, frozen=True, kw_only=True, tag="adamw"):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    MOMENTS: ClassVar = 2
    betas: tuple[Below1, Below1] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: From0 = 0.01
    bias_correction: bool = True


class Muon(Optimizer, frozen=True, kw_only=True, tag="muon"):
    """Muon: momentum orthogonalized by Newton-Schulz iteration (Jordan 2024)."""

    momentum: Below1 = 0.95
    weight_decay: From0 = 0.01
    nesterov: bool = True
    ns_steps: Count = 5


class Sgd(Optimizer, frozen=True, kw_only=True, tag="sgd"):
    """Stochastic gradient descent."""

    momentum: Below1 = 0.0
    weight_decay: From0 = 0.0
    dampening: From0 = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and (not self.momentum or self.dampening):
            raise ValueError("nesterov needs a momentum above 0, and no dampening - set momentum = 0.9, dampening = 0")


class Adafactor(Optimizer, frozen=True, kw_only=True, tag="adafactor"):
    """Adafactor (Shazeer and Stern 2018). With `relative_step` it computes its own learning rate."""

    MOMENTS: ClassVar = 0  # sums of rows and columns
    eps: tuple[Epsilon, Epsilon] = (1e-30, 1e-3)
    clip_threshold: Above0 = 1.0
    decay_rate: Annotated[
        float, Meta(ge=-100, le=0)
    ] = -0.8  # above 0 the second update is the root of a negative number
    beta_1: Below1 | None = None
    weight_decay: From0 = 0.0
    scale_parameter: bool = True
    relative_step: bool = False
    warmup_init: bool = False

    def __post_init__(self) -> None:
        if self.warmup_init and not self.relative_step:
            raise ValueError("warmup_init has no effect without relative_step - set both, or the adapter's `warmup`")


AnyOptimizer = Adam | Adamw | Muon | Sgd | Adafactor


class Schedule(TaggedSpec, frozen=True, kw_only=True):
    """A schedule of the learning rate after the warm-up. Steps count updates."""

    NOUN: ClassVar = "schedule"


class Constant(Schedule, frozen=True, kw_only=True, tag="constant"):
    """A constant rate. A longer training can then resume from a shorter one."""


class CosineDecay(Schedule, frozen=True, kw_only=True, tag="cosine-decay"):
    """Half a cosine down to `end` within `steps` updates, by default all."""

    end: From0 = 0.0
    steps: Count | None = None


class Linear(Schedule, frozen=True, kw_only=True, tag="linear"):
    """A linear decay to `end` within `steps` updates, by default all."""

    end: From0 = 0.0
    steps: Count | None = None


class ExponentialDecay(Schedule, frozen=True, kw_only=True, tag="exponential-decay"):
    """Multiply the rate by `rate` at every update."""

    rate: Annotated[float, Meta(gt=0, le=1)]


class StepDecay(Schedule, frozen=True, kw_only=True, tag="step-decay"):
    """Multiply the rate by `rate` every `every` updates."""

    rate: Annotated[float, Meta(gt=0, le=1)]
    every: Count


AnySchedule = Constant | CosineDecay | Linear | ExponentialDecay | StepDecay
