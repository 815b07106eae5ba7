"""Specs of evals and comparisons, and of the generation of answers.

An `Eval` contains a `GenerationSpec`: the settings that decide its answers, without checks and gates. Evals with equal
generation settings share their answers, so a changed check needs no new requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field, structs

from punie_build.engine.gates import Gate
from punie_build.evaluation.requirements import Fraction, Requirements
from punie_build.schema.spec import Spec, digest

MARGIN = 0.05  # the default of the largest difference that counts as equivalent
MAX_EPOCHS = 100
PositiveInt = Annotated[int, Meta(ge=1)]


BuiltinSuite = Literal["baseline", "code-mode", "tool-calling"]


class SuitePart(Spec, frozen=True, kw_only=True):
    """A suite within another one: its file or its built-in name, its weight in the pass rate, and the name before its
    ids, by default that of the file."""

    file: str | None = None
    embedded: BuiltinSuite | None = None
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    name: Annotated[str, Meta(pattern=r"^[\w.-]+$")] = ""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.embedded is None):
            raise ValueError("a part needs `file`, a file of cases in the project, or `embedded`")

    @property
    def label(self) -> str:
        """The name before its ids."""
        return self.name or PurePosixPath(self.file or self.embedded or "").stem


class SuiteFile(Spec, frozen=True, kw_only=True):
    """The file of a suite: TOML or JSONL in the project, a built-in suite, or several with weights (`parts`).

    `dataset`, `dataset_task`: the benchmark of the Hub that its cases are of, for the results of published models.
    """

    file: str | None = None
    embedded: BuiltinSuite | None = None
    parts: tuple[SuitePart, ...] = ()
    dataset: Annotated[str, Meta(pattern=r"\A([\w.-]+/[\w.-]+)?\Z")] = ""
    dataset_task: str = "default"
    description: str = ""

    def __post_init__(self) -> None:
        if (self.file is not None) + (self.embedded is not None) + bool(self.parts) != 1:
            raise ValueError("a suite needs `file`, a TOML file of cases in the project, or `parts`")
        labels = [part.label for part in self.parts]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"two parts are named {', '.join(twice)} - give each its own `name`")


class Sampling(Spec, frozen=True, kw_only=True):
    """Sampling settings. They are part of each request, so one server answers all cells of a grid.

    Temperature 0 is greedy decoding, in which top_p, top_k and min_p have no effect.
    """

    temperature: Annotated[float, Meta(ge=0, le=5)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0)] = 0
    min_p: Fraction = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] = 1.0
    repetition_context_size: PositiveInt = 20
    stop: tuple[Annotated[str, Meta(min_length=1)], ...] = ()

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def effective(self) -> Sampling:
        """Return the settings with ineffective ones at their defaults: equal cells of a grid share their answers."""
        default = Sampling()
        sampling = structs.replace(self, top_p=1.0, top_k=0, min_p=0.0) if self.greedy else self
        if sampling.repetition_penalty == 1:
            sampling = structs.replace(sampling, repetition_context_size=default.repetition_context_size)
        return sampling


class Serving(Spec, frozen=True, kw_only=True):
    """Server settings: arguments of the chat template, a draft model for speculative decoding, and limits of caches.

    `max_kv_size` is the number of tokens of a conversation that the KV cache keeps. mlx_lm.server has no such limit, so
    it needs `engine = "batch"`.
    """

    chat_template_args: dict[str, Any] = field(default_factory=dict)
    draft: str | None = None
    draft_tokens: PositiveInt = 3
    kv_bits: Literal[2, 3, 4, 6, 8] | None = None
    kv_group_size: Literal[32, 64, 128] = 64
    quantized_kv_start: Annotated[int, Meta(ge=0)] = 5000
    max_kv_size: Annotated[int, Meta(ge=16)] | None = None
    prompt_cache_size: PositiveInt = 10
    prompt_cache_bytes: PositiveInt | None = None


class GenerationSettings(Spec, frozen=True, kw_only=True):
    """A suite and the settings of generating answers to it.

    `max_thought_tokens`: tokens for thoughts, besides the `max_tokens` of the answer. `measure`: answers have their
    tokens and seconds, for pages and gates.
    """

    suite: str
    max_tokens: PositiveInt = 256
    max_thought_tokens: Annotated[int, Meta(ge=0)] = 0
    epochs: Annotated[int, Meta(ge=1, le=MAX_EPOCHS)] = 1
    engine: Literal["server", "batch"] = "server"
    sampling: Sampling = Sampling()
    serving: Serving = Serving()
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    timeout: Annotated[float, Meta(gt=0)] = 300.0
    measure: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        problems = []
        if self.epochs > 1 and self.sampling.greedy and type(self) is not GenerationSpec:  # a variant may be greedy
            problems.append("all epochs of greedy answers are equal - set sampling.temperature, or use one epoch")
        if self.engine == "server" and self.serving.max_kv_size:
            problems.append('mlx_lm.server has no max_kv_size - use engine = "batch", or kv_bits')
        if self.engine == "batch" and (self.serving.draft or self.serving.kv_bits):
            problems.append('engine = "batch" has neither draft nor kv_bits - use engine = "server"')
        if self.serving.draft and self.serving.kv_bits:
            problems.append("mlx_lm.server cannot combine draft and kv_bits - use one of them")
        if problems:
            raise ValueError("; ".join(problems))

    def generation_spec(self, arm: str) -> GenerationSpec:
        """Return the generation of one model's answers, without the description."""
        return GenerationSpec(arm=arm, **{name: getattr(self, name) for name in GENERATION_FIELDS})


GENERATION_FIELDS = tuple(name for name in GenerationSettings.__struct_fields__ if name != "description")
EXECUTION_FIELDS = ("concurrency", "timeout")  # they change no answer
COSTS = frozenset(("tokens", "seconds", "seconds_p95"))  # metrics of answers that are measured
VALIDITY = (Gate(metric="sound", min=1), Gate(metric="valid", min=1))  # what any gate on answers needs
TRAINED_FILES = ("train.jsonl", "valid.jsonl")  # of a dataset: their rows decide an adapter


class GenerationSpec(GenerationSettings, frozen=True, kw_only=True):
    """The generation of one model's answers: `arm` is a base, an adapter or a model."""

    arm: str

    @property
    def name(self) -> str:
        """`arm@suite` and the settings that are not defaults: `v1@tool-calling@max_tokens-64,temperature-0.7`."""
        return generation_name(self)


class Eval(GenerationSpec, frozen=True, kw_only=True):
    """The scores of one model's answers to a suite."""

    require: Requirements = Requirements()
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.require.needs_comparison:
            raise ValueError("`no_regression` and `parity` need two arms - require them of a comparison")

    def ineffective_fields(self) -> Iterator[str]:
        """Yield the fields that `Sampling.effective` resets, and those of an absent draft model or quantized cache."""
        if self.sampling.greedy:
            yield from ("sampling.top_p", "sampling.top_k", "sampling.min_p")
        if self.sampling.repetition_penalty == 1:
            yield "sampling.repetition_context_size"
        if self.serving.draft is None:
            yield "serving.draft_tokens"
        if self.serving.kv_bits is None:
            yield from ("serving.kv_group_size", "serving.quantized_kv_start")

    def demands(self) -> tuple[Gate, ...]:
        """Return the gates of its requirements. Any gate also needs a sound suite and a valid result."""
        gates = self.require.gates()
        return (*gates, *VALIDITY) if gates or self.gates else ()


class Comparison(GenerationSettings, frozen=True, kw_only=True):
    """A comparison of two or more arms on one suite. The first arm is the baseline of the others.

    `margin`: the largest difference that counts as equivalent. `parity`: the arms are expected to be equal, such as an
    adapter and the model that it was fused into.
    """

    arms: Annotated[tuple[str, ...], Meta(min_length=2)]
    margin: Annotated[float, Meta(gt=0, lt=1)] = MARGIN
    parity: bool = False
    require: Requirements = Requirements()
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm occurs twice - compare different arms")
        super().__post_init__()

    def demands(self) -> tuple[Gate, ...]:
        """Return the gates of its requirements, for every arm but the first.

        Any gate also needs a sound suite and a valid result.
        """
        gates = [gate for arm in self.arms[1:] for gate in self.require.gates(f"{arm}.")]
        return (*gates, *VALIDITY) if gates or self.gates else ()


class StoppedComparison(Comparison, frozen=True, kw_only=True):
    """A comparison of two arms that asks cases in random order, until a test that is valid at any time decides.

    `stop`: "decided" if the interval excludes 0 or is within `margin`. Without the key, all cases are asked, and those
    that were asked are not asked again.
    """

    stop: Literal["decided"] = "decided"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.arms) > 2 or self.parity:
            raise ValueError("`stop` decides between two arms without parity - remove it, or compare two arms")


def generation_spec(spec: Eval) -> GenerationSpec:
    """Return the generation of an eval's answers, with ineffective sampling settings at their defaults."""
    return structs.replace(spec.generation_spec(spec.arm), sampling=spec.sampling.effective())


def generation_name(spec: GenerationSpec, max_length: int = 80) -> str:
    """Return a name that is equal for equal settings. Settings that are too long for a file name become a digest."""
    defaults = msgspec.to_builtins(GenerationSpec(arm=spec.arm, suite=spec.suite))
    values = {name: value for name, value in msgspec.to_builtins(spec).items() if name in defaults}
    changed = dict(_changed(values, defaults))
    text = ",".join(f"{name}-{value}" for name, value in changed.items())
    simple = all(isinstance(value, int | float | bool | None) or str(value).isalnum() for value in changed.values())
    if changed and not (simple and len(text) <= max_length):
        text = digest(changed)[:12]
    return f"{spec.arm}@{spec.suite}" + (f"@{text}" if changed else "")


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values that are not defaults. Fields of nested tables have their own names, which are unique."""
    for name, value in values.items():
        if name in ("description", *EXECUTION_FIELDS) or value == defaults.get(name):
            continue
        if isinstance(value, dict) and defaults.get(name):
            yield from _changed(value, defaults[name])
        else:
            yield name, value
