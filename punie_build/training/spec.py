"""Specs of an adapter and of its tokens. Fields have the names of mlx-lm wherever it has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field, structs

from punie_build.engine.gates import Gate
from punie_build.errors import did_you_mean
from punie_build.schema.spec import Spec, arguments_name
from punie_build.training.batch_sampler import BY_ROWS, Batching, BatchSampler, Coverage, coverage
from punie_build.training.optimizer_spec import (
    Above0,
    Adam,
    AnyOptimizer,
    AnySchedule,
    Constant,
    CosineDecay,
    Linear,
)

if TYPE_CHECKING:
    from punie_build.training.token_file import TokenRows

ITERS = 300  # batches, if a recipe gives neither iters nor epochs nor tokens
Mask = Literal["assistant", "last", "all"]
Loss = Literal["cross-entropy", "dpo", "orpo"]
TooLong = Literal["truncate", "drop", "error"]
Positive = Annotated[int, Meta(ge=1)]
Batches = Annotated[int, Meta(ge=1, le=10**7)]  # a plan walks through all of them
Seed = Annotated[int, Meta(ge=0, le=2**40)]  # of mlx, times 1,000,003
AllowedChecks = tuple[str, ...] | dict[str, float]  # names of checks, or the share of rows up to which each is allowed
PREFLIGHT_CHECKS = (
    "base", "batch", "bits", "calls", "delimiters", "disk", "duplicates", "ends", "epochs", "eval-system", "expect",
    "formats", "keys", "layers", "leakage", "lost", "markers", "memory", "parser", "placeholders", "positions",
    "preambles", "preference", "rank", "rate", "schedule", "systems", "template", "thoughts",
    "too-long", "tools", "turns",
)  # fmt: skip


class Lora(Spec, frozen=True, kw_only=True):
    """LoRA parameters. `scale` multiplies B·A·x directly; it is not alpha/rank.

    `keys` are the modules to adapt, by their name within a layer; by default all linear modules.
    """

    rank: Positive = 8
    scale: Above0 = 20.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    keys: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None


class Adapter(Spec, frozen=True, kw_only=True):
    """An adapter to train on top of a base, from a dataset.

    `fine_tune_type`: LoRA, DoRA, or the layers themselves (full). `num_layers`: the last n layers, -1 for all.

    Duration: `iters` batches, or `epochs`, or `tokens`. The weights are updated every `grad_accumulation_steps`
    batches, with equal weight for all tokens of these batches. A gradient with a norm above `max_grad_norm` is scaled
    down to it. `neftune_noise_alpha`: noise on the embeddings while training (NEFTune). `batching` selects a batch
    sampler (`batch_sampler.py`), "auto" by the rows; `batch_tokens` bounds a batch of "tokens" and a sequence of
    "pack".

    `mask`: the loss mask, which sets the trained tokens: those of every assistant turn, of the last one, or all.
    `too_long`: whether rows longer than `max_seq_length` are truncated, dropped, or an error.

    Every `steps_per_eval` batches, and at the end, the loss on the validation split is computed, or on its first
    `val_batches`. `early_stop`: stop after this many validations in a row without a lower loss. `keep`: publish the
    best or the last weights. `valid = "none"`: train without validation rows; losses are then those of the training
    rows, and the last weights are published. `allow`: names of preflight checks that are no errors for this adapter.
    `save_every`: batches between two checkpoints. `chat_template_args`: arguments of the base's chat template, such as
    `{ enable_thinking = false }`; evals of the adapter ask with them too. `init`: the adapter whose weights the
    training starts from, on the same base and with the same `lora`; by default new ones.

    `loss`: that of the trained tokens; or of pairs of answers, "dpo" (Rafailov et al. 2023), against the
    log-probabilities of the model that the training starts from, or "orpo" (Hong et al. 2024), without these. `beta` is
    the strength of DPO's constraint, and the weight of ORPO's odds ratio.
    """

    FOREIGN_NAMES: ClassVar = {  # a key of mlx-lm that is called otherwise here -> what to write
        "model": "`base` names a base: `nano`, or [base.NAME] with hub = or path =",
        "lora_parameters": "write lora = { rank = 8, scale = 20.0 }",
        "mask_prompt": 'write mask = "last" for true, mask = "all" for false',
        "optimizer_config": 'write it into the optimizer: optimizer = { type = "adamw", weight_decay = 0.01 }',
        "resume_adapter_file": 'adopt it by [adapter.NAME] path = "FOLDER", and write init = "NAME"',
        "adapter_path": "the adapter is built in adapters/NAME",
        "train": "every adapter is trained - remove it",
        "test": "an eval scores it - remove it",
        "test_batches": "an eval scores it - remove it",
        "config": "`punie-build import FILE` reads configurations of mlx-lm",
        "wandb": 'write report_to = ["wandb"]',
        "trust_remote_code": "code of a model is never run - remove it",
    }
    FORMER_DEFAULTS: ClassVar = {"batching": "bucket"}

    base: str
    data: str
    init: str | None = None
    fine_tune_type: Literal["lora", "dora", "full"] = "lora"
    lora: Lora = Lora()
    num_layers: Annotated[int, Meta(ge=-1)] = -1
    iters: Batches | None = None
    epochs: Annotated[float, Meta(gt=0, le=10**5)] | None = None
    tokens: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    batch_size: Positive = 4
    batching: Batching = "auto"
    batch_tokens: Annotated[int, Meta(ge=32)] = 2048
    grad_accumulation_steps: Positive = 1
    grad_checkpoint: bool = False
    max_grad_norm: Annotated[float, Meta(ge=1e-12, le=1e12)] | None = None
    neftune_noise_alpha: Above0 | None = None
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-4
    warmup: Annotated[int, Meta(ge=0)] = 0
    warmup_init: Annotated[float, Meta(ge=0, le=1)] = 0.0
    lr_schedule: AnySchedule = Constant()
    optimizer: AnyOptimizer = Adam()
    loss: Loss = "cross-entropy"
    beta: Above0 = 0.1
    mask: Mask = "assistant"
    max_seq_length: Annotated[int, Meta(ge=8)] = 2048
    too_long: TooLong = "truncate"
    steps_per_report: Positive = 10
    steps_per_eval: Positive = 100
    val_batches: Annotated[int, Meta(ge=-1)] = -1
    early_stop: Positive | None = None
    keep: Literal["best", "last"] = "best"
    save_every: Positive = 100
    valid: Literal["rows", "none"] = "rows"
    seed: Seed = 0
    ranks: Annotated[int, Meta(ge=1, le=64)] = 1
    hosts: tuple[str, ...] = ()
    report_to: tuple[Literal["wandb", "swanlab", "tensorboard"], ...] = ()
    project_name: str = ""
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    allow: AllowedChecks = ()
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        problems = unknown_checks(self.allow)
        if self.num_layers == 0:
            problems.append("num_layers 0 adapts no layer - use -1 for all layers")
        if sum(limit is not None for limit in (self.iters, self.epochs, self.tokens)) > 1:
            problems.append("iters, epochs and tokens each set the duration - give one of them")
        if self.hosts and self.ranks > 1:
            problems.append("hosts starts one rank per host, ranks starts all on this machine - give one of them")
        if self.batching == "prefix" and self.drawn:
            problems.append(
                f"{' and '.join(self.drawn)} would be drawn once for all rows of a batch - leave it out, or use "
                'batching "bucket"'
            )
        if self.compares and self.batching in ("pack", "prefix"):
            problems.append(
                f'loss "{self.loss}" compares two texts of a row, and batching "{self.batching}" has one of each - '
                'use "bucket", "tokens" or "file"'
            )
        if self.compares and self.mask == "all":
            problems.append(
                f'loss "{self.loss}" compares answers, and mask "all" trains prompts too - use "assistant" or "last"'
            )
        if self.val_batches == 0:
            problems.append("val_batches 0 validates no row - use -1 for the whole validation split")
        if self.valid == "none" and (self.keep == "best" or self.early_stop):
            problems.append('without validation rows no weights are the best - set keep = "last", and no early_stop')
        if problems:
            raise ValueError("; ".join(problems))

    def for_rows(self, rows: TokenRows) -> Adapter:
        """Return the spec with the batching that "auto" selects for these training rows."""
        if self.batching != "auto":
            return self
        from punie_build.training.prefix_index import shares_enough

        can_share = self.batch_size > 1 and not self.compares and not self.drawn
        chosen: Batching = "prefix" if can_share and shares_enough(rows, self.batch_size) else "bucket"
        return structs.replace(self, batching=chosen)

    def batch_sampler(self, rows: TokenRows) -> BatchSampler:
        """Return the sampler of the batches of these training rows."""
        batching, prefixes = self.for_rows(rows).batching, None
        if batching == "prefix":
            from punie_build.training.prefix_index import PrefixIndex

            prefixes = PrefixIndex(rows, self.batch_size)
        return BatchSampler(
            batching=batching,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            seed=self.seed,
            prefixes=prefixes,
            text_lengths=rows.text_lengths,
        )

    @property
    def drawn(self) -> list[str]:
        """The fields that draw random numbers for each token: a prefix would have the same for all rows of a batch."""
        drawn = {"lora.dropout": self.lora.dropout, "neftune_noise_alpha": self.neftune_noise_alpha}
        return [name for name, value in drawn.items() if value]

    @property
    def compares(self) -> bool:
        """Whether the loss compares the two answers of pairs."""
        return self.loss != "cross-entropy"

    def coverage(self, rows: TokenRows, sampler: BatchSampler | None = None) -> Coverage:
        """Return the coverage of the whole training, for these training rows and their sampler, if there is one."""

        def is_enough(iters: int, epochs: float, tokens: int) -> bool:
            if self.epochs is not None:
                return epochs >= self.epochs
            return tokens >= self.tokens if self.tokens is not None else iters >= (self.iters or ITERS)

        sampler = sampler or self.batch_sampler(rows)
        return coverage(sampler, rows.input_lengths, self.grad_accumulation_steps, is_enough)

    def coverage_after(self, rows: TokenRows, sampler: BatchSampler, iters: int) -> Coverage:
        """Return the coverage of the first `iters` batches."""
        return coverage(
            sampler, rows.input_lengths, self.grad_accumulation_steps, lambda done, _epochs, _tokens: done >= iters
        )

    def largest_batch(self, longest: int) -> int:
        """Return the tokens of the largest batch of texts of up to `longest` tokens; a pair has two."""
        length, texts = min(self.max_seq_length, longest), 2 if self.compares else 1
        if self.batching in ("tokens", "pack"):
            return max(self.batch_tokens, texts * length)
        return self.batch_size * texts * length

    def ineffective_fields(self) -> Iterator[str]:
        """Yield the fields that have no effect with these values."""
        if self.fine_tune_type == "full":
            yield "lora"
        if self.batching in BY_ROWS:
            yield "batch_tokens"
        if not self.warmup:
            yield "warmup_init"
        if not self.compares:
            yield "beta"

    @property
    def extendable(self) -> bool:
        """Whether a longer run can resume from a shorter one: false if the schedule depends on the total number of
        steps."""
        return not (isinstance(self.lr_schedule, CosineDecay | Linear) and self.lr_schedule.steps is None)

    @property
    def duration(self) -> str:
        """The duration in words, such as "2 epochs"."""
        if self.epochs is not None:
            return f"{self.epochs:g} epochs"
        return f"{self.tokens:,} tokens" if self.tokens is not None else f"{self.iters or ITERS} iterations"


class AdapterDetails(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The batching of an adapter whose data has an order: it enters the key in place of the recipe's. With dropout in
    recomputed layers, `dropout_masks` enters it too: they were drawn twice once."""

    batching: Batching | None = None
    dropout_masks: str = ""

    def apply(self, spec: Adapter) -> Adapter:
        """Return the spec with this batching."""
        return structs.replace(spec, batching=self.batching) if self.batching else spec


class Tokenized(Spec, frozen=True, kw_only=True):
    """A dataset in the tokens of a base, with a loss mask. All adapters of a grid share it.

    `pairs`: each row has two answers.
    """

    base: str
    data: str
    mask: Mask = "assistant"
    max_seq_length: int = 2048
    too_long: TooLong = "truncate"
    valid: Literal["rows", "none"] = "rows"
    chat_template_args: dict[str, Any] = field(default_factory=dict)
    pairs: bool = False
    description: str = ""

    @property
    def name(self) -> str:
        parts = [f"{self.data}@{self.base}", self.mask, str(self.max_seq_length), *(["pairs"] if self.pairs else [])]
        parts += [] if self.too_long == "truncate" else [self.too_long]
        parts += [arguments_name(self.chat_template_args)] if self.chat_template_args else []
        return "-".join(parts + (["train-only"] if self.valid == "none" else []))


def tokenized_for(spec: Adapter) -> Tokenized:
    """Return the spec of the tokens that an adapter is trained on."""
    return Tokenized(
        base=spec.base,
        data=spec.data,
        mask=spec.mask,
        max_seq_length=spec.max_seq_length,
        too_long=spec.too_long,
        valid=spec.valid,
        chat_template_args=spec.chat_template_args,
        pairs=spec.compares,
    )


def unknown_checks(allow: AllowedChecks) -> list[str]:
    """Return one message for each name in `allow` that is no preflight check."""
    return [
        f"allow: no check is called '{name}'{did_you_mean(name, PREFLIGHT_CHECKS)}"
        for name in allow
        if name not in PREFLIGHT_CHECKS
    ]
