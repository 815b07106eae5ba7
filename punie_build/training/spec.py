"""Adapters: what to train, on which base and data, for how long. Field names are mlx-lm's own wherever it has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from punie_build.engine.gates import Gate
from punie_build.errors import did_you_mean
from punie_build.schema.spec import Spec
from punie_build.training.batch_sampler import Batching, Coverage, Order, coverage
from punie_build.training.optimizer_spec import (
    Adam,
    AnyOptimizer,
    AnySchedule,
    Constant,
    CosineDecay,
    Linear,
)

ITERS = 300  # batches, where a recipe says nothing of how long
Mask = Literal["assistant", "last", "all"]
TooLong = Literal["truncate", "drop", "error"]
Positive = Annotated[int, Meta(ge=1)]
Allow = tuple[str, ...] | dict[str, float]  # checks of the preflight that a recipe allows, or up to a share of the rows
PREFLIGHT_CHECKS = (
    "base", "batch", "bits", "calls", "delimiters", "disk", "duplicates", "epochs", "eval-system", "expect", "formats", "keys",
    "layers", "leakage", "markers", "memory", "parser", "placeholders", "preambles", "rank", "systems", "template", "too-long",
    "tools", "turns",
)  # fmt: skip


class Lora(Spec, frozen=True, kw_only=True):
    """`scale` multiplies B·A·x directly; it is not alpha/rank. `keys`: modules to adapt, by their name in a layer; default all linear."""

    rank: Positive = 8
    scale: Annotated[float, Meta(gt=0)] = 20.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    keys: tuple[str, ...] | None = None


class Adapter(Spec, frozen=True, kw_only=True):
    """What is learnt on top of a base, from a dataset. Names are mlx-lm's own wherever it has one.

    `fine_tune_type`: LoRA, DoRA, or the layers themselves (full). `num_layers`: the last so many, -1 for all.

    How long: `iters` batches, or `epochs`, or `tokens` read. An update is made every `grad_accumulation_steps` batches, weighing all
    their tokens alike. `batching` says which rows are computed together (`batching.py`); `batch_tokens` bounds a batch of
    `tokens` or a `pack`.

    `mask`: which tokens are learnt: those of every assistant turn, of the last one, or all. `too_long`: what becomes of rows longer
    than `max_seq_length`.

    Every `steps_per_eval` batches and at the end the whole validation split is asked, or its first `val_batches`. `early_stop`: end
    when so many validations in a row found nothing better. `keep`: whether the best adapter or the last is published.
    `allow`: checks of the preflight whose findings are no errors here. `save_every` batches all is kept that training needs to go on after a kill.
    """

    base: str
    data: str
    fine_tune_type: Literal["lora", "dora", "full"] = "lora"
    lora: Lora = Lora()
    num_layers: Annotated[int, Meta(ge=-1)] = -1
    iters: Positive | None = None
    epochs: Annotated[float, Meta(gt=0)] | None = None
    tokens: Positive | None = None
    batch_size: Positive = 4
    batching: Batching = "bucket"
    batch_tokens: Annotated[int, Meta(ge=32)] = 2048
    grad_accumulation_steps: Positive = 1
    grad_checkpoint: bool = False
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-4
    warmup: Annotated[int, Meta(ge=0)] = 0
    warmup_init: Annotated[float, Meta(ge=0, le=1)] = 0.0
    lr_schedule: AnySchedule = Constant()
    optimizer: AnyOptimizer = Adam()
    mask: Mask = "assistant"
    max_seq_length: Annotated[int, Meta(ge=8)] = 2048
    too_long: TooLong = "truncate"
    steps_per_report: Positive = 10
    steps_per_eval: Positive = 100
    val_batches: Annotated[int, Meta(ge=-1)] = -1
    early_stop: Positive | None = None
    keep: Literal["best", "last"] = "best"
    save_every: Positive = 100
    seed: int = 0
    ranks: Annotated[int, Meta(ge=1, le=64)] = 1
    hosts: tuple[str, ...] = ()
    report_to: tuple[Literal["wandb", "swanlab", "tensorboard"], ...] = ()
    project_name: str = ""
    allow: Allow = ()
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        wrong = unknown(self.allow)
        if self.num_layers == 0:
            wrong.append("num_layers 0 adapts nothing - use -1 for all layers")
        if sum(limit is not None for limit in (self.iters, self.epochs, self.tokens)) > 1:
            wrong.append("iters, epochs and tokens each say how long - give one of them")
        if self.hosts and self.ranks > 1:
            wrong.append("hosts has a rank on each, ranks are all on this machine - give one of them")
        if self.val_batches == 0:
            wrong.append("val_batches 0 validates nothing - use -1 for the whole validation split")
        if wrong:
            raise ValueError("; ".join(wrong))

    def order(self) -> Order:
        """How its rows become batches."""
        return Order(how=self.batching, rows=self.batch_size, tokens=self.batch_tokens, seed=self.seed)

    def coverage(self, lengths: Sequence[int]) -> Coverage:
        """What it sees of training rows of these lengths."""

        def enough(iters: int, epochs: float, tokens: int) -> bool:
            if self.epochs is not None:
                return epochs >= self.epochs
            return tokens >= self.tokens if self.tokens is not None else iters >= (self.iters or ITERS)

        return coverage(self.order(), lengths, self.grad_accumulation_steps, enough)

    def seen(self, lengths: Sequence[int], iters: int) -> Coverage:
        """What was seen of them in so many batches."""
        return coverage(
            self.order(), lengths, self.grad_accumulation_steps, lambda done, _epochs, _tokens: done >= iters
        )

    @property
    def goes_on(self) -> bool:
        """Whether more iterations go on from what fewer gave: no step may depend on how many there are."""
        whole = isinstance(self.lr_schedule, CosineDecay | Linear) and self.lr_schedule.steps is None
        return not whole

    @property
    def long(self) -> str:
        """How long, in words."""
        if self.epochs is not None:
            return f"{self.epochs:g} epochs"
        return f"{self.tokens:,} tokens" if self.tokens is not None else f"{self.iters or ITERS} iterations"


class Tokenized(Spec, frozen=True, kw_only=True):
    """A dataset in the tokens of a base, with a mark on each that is learnt: what all adapters of a grid share."""

    base: str
    data: str
    mask: Mask = "assistant"
    max_seq_length: int = 2048
    too_long: TooLong = "truncate"
    description: str = ""

    @property
    def name(self) -> str:
        parts = [f"{self.data}@{self.base}", self.mask, str(self.max_seq_length)]
        return "-".join(parts + ([] if self.too_long == "truncate" else [self.too_long]))


def tokenized(spec: Adapter) -> Tokenized:
    """The tokens an adapter is trained on."""
    return Tokenized(
        base=spec.base, data=spec.data, mask=spec.mask, max_seq_length=spec.max_seq_length, too_long=spec.too_long
    )


def unknown(allow: Allow) -> list[str]:
    """What is wrong with what a recipe allows."""
    return [
        f"allow: no check is called '{name}'{did_you_mean(name, PREFLIGHT_CHECKS)}"
        for name in allow
        if name not in PREFLIGHT_CHECKS
    ]
