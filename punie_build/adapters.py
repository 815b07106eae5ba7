"""Adapters: what to train, on which base and data, for how long. Field names are mlx-lm's own wherever it has one."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from punie_build.gates import Gate
from punie_build.spec import Spec

Positive = Annotated[int, Meta(ge=1)]


class Base(Spec, frozen=True, kw_only=True):
    """A model to start from: `hub` with a pinned `revision`, or a folder of the project by `path`.

    `nano` is built in. A revision is a commit, 40 hex digits: a branch name would change the model behind your back.
    `bits`: what its config.json must say of its quantisation; 16 says that it has none. Left out, it is not looked at.
    """

    hub: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")] | None = None
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")] | None = None
    path: str | None = None
    embedded: Literal["nano"] | None = None
    bits: Annotated[int, Meta(ge=2, le=16)] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.hub, self.path, self.embedded)) != 1:
            raise ValueError("a base is either `hub` with `revision`, or `path` - give one of them")
        if self.hub and not self.revision:
            raise ValueError(
                "`hub` needs `revision`, the commit's 40 hex digits - copy it from the model's page, under Files"
            )
        if self.revision and not self.hub:
            raise ValueError("`revision` goes with `hub` - remove it")

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return str(self.hub or self.path or self.embedded)


class Lora(Spec, frozen=True, kw_only=True):
    """`scale` multiplies B·A·x directly; it is not alpha/rank. `keys`: modules to adapt, by their name in a layer; default all linear."""

    rank: Positive = 8
    scale: Annotated[float, Meta(gt=0)] = 20.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    keys: tuple[str, ...] | None = None


class Adapter(Spec, frozen=True, kw_only=True):
    """A LoRA of a base on a dataset.

    `iters` counts batches of `batch_size` rows. `num_layers`: the last so many layers, -1 for all. `mask` says which tokens
    are learnt: every assistant turn, only the last one, or all text. Validation takes the whole validation split, every
    `steps_per_eval` iterations and at the end.
    """

    base: str
    data: str
    iters: Positive = 300
    batch_size: Positive = 4
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-4
    warmup: Annotated[int, Meta(ge=0)] = 0
    num_layers: Annotated[int, Meta(ge=-1)] = -1
    lora: Lora = Lora()
    mask: Literal["assistant", "last", "all"] = "assistant"
    max_seq_length: Annotated[int, Meta(ge=8)] = 2048
    steps_per_report: Positive = 10
    steps_per_eval: Positive = 100
    seed: int = 0
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if self.num_layers == 0:
            raise ValueError("num_layers 0 adapts nothing - use -1 for all layers")
