"""Evals: which arms are asked which suite and how, and which are held against one another.

Eval  ->  Asking   what is asked, and of whom: without checks and gates, so that a changed check asks nobody
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field, structs

from punie_build.engine.gates import Gate
from punie_build.evaluation.paired_difference import MARGIN
from punie_build.evaluation.requirements import Requirements
from punie_build.schema.spec import Spec, digest

PositiveInt = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Engine = Literal["server", "batch"]


class SuiteFile(Spec, frozen=True, kw_only=True):
    """Where a suite's cases are: a TOML or JSONL file of the project, or one that is built in."""

    file: str | None = None
    embedded: Literal["baseline", "code-mode", "tool-calling"] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.embedded is None):
            raise ValueError("a suite needs `file`, a TOML file of cases in the project")


class Sampling(Spec, frozen=True, kw_only=True):
    """How a token is chosen. All of it goes with each request, so one server answers every cell of a grid.

    Temperature 0 takes the likeliest token; what cuts off unlikely ones then changes nothing.
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
        """The same without what has no effect: equal cells of a grid are asked once."""
        plain = Sampling()
        same = structs.replace(self, top_p=1.0, top_k=0, min_p=0.0) if self.greedy else self
        if same.repetition_penalty == 1:
            same = structs.replace(same, repetition_context_size=plain.repetition_context_size)
        return same


class Serving(Spec, frozen=True, kw_only=True):
    """How the weights are served: what the chat template is told, a smaller base that drafts, bounds of the caches.

    `max_kv_size` keeps so many tokens of a conversation; mlx_lm.server has no such bound, so it needs `engine = "batch"`.
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


class GenerationSpec(Spec, frozen=True, kw_only=True):
    """What an arm is asked, and how. Evals that differ only in checks, gates or patience share the answers."""

    arm: str
    suite: str
    max_tokens: PositiveInt = 256
    epochs: Annotated[int, Meta(ge=1, le=100)] = 1
    engine: Engine = "server"
    sampling: Sampling = Sampling()
    serving: Serving = Serving()
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    timeout: Annotated[float, Meta(gt=0)] = 300.0
    description: str = ""

    def __post_init__(self) -> None:
        wrong = []
        if self.epochs > 1 and self.sampling.greedy:
            wrong.append("epochs of greedy answers are all alike - give sampling a temperature, or ask once")
        if self.engine == "server" and self.serving.max_kv_size:
            wrong.append('mlx_lm.server has no max_kv_size - use engine = "batch", or kv_bits')
        if self.engine == "batch" and (self.serving.draft or self.serving.kv_bits):
            wrong.append('a batch has neither draft nor kv_bits - use engine = "server"')
        if self.serving.draft and self.serving.kv_bits:
            wrong.append("mlx_lm.server does not draft with kv_bits - give one of them")
        if wrong:
            raise ValueError("; ".join(wrong))

    @property
    def name(self) -> str:
        """`arm@suite`, and what is not as usual: `v1@tool-calling@max_tokens-64,temperature-0.7`."""
        return generation_name(self)


class Eval(GenerationSpec, frozen=True, kw_only=True):
    """The answers of one arm (a base, an adapter or a model) to a suite, and their scores."""

    require: Requirements = Requirements()
    gates: tuple[Gate, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.require.compares:
            raise ValueError(
                "`no_regression` and `parity` hold two arms against each other - require them of a comparison"
            )

    def demands(self) -> tuple[Gate, ...]:
        """The gates of what it requires; none means anything unless the suite tells right from wrong."""
        found = self.require.gates()
        return (*found, Gate(metric="sound", min=1)) if found or self.gates else ()


class Comparison(Spec, frozen=True, kw_only=True):
    """Two or more arms on one suite, with a verdict. The first arm is what the others are held against.

    `margin`: a difference that nobody would mind. `parity`: the arms should be the same, such as an adapter and what it was fused into.
    """

    arms: Annotated[tuple[str, ...], Meta(min_length=2)]
    suite: str
    max_tokens: PositiveInt = 256
    epochs: Annotated[int, Meta(ge=1, le=100)] = 1
    engine: Engine = "server"
    sampling: Sampling = Sampling()
    serving: Serving = Serving()
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    timeout: Annotated[float, Meta(gt=0)] = 300.0
    margin: Annotated[float, Meta(gt=0, lt=1)] = MARGIN
    parity: bool = False
    require: Requirements = Requirements()
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm occurs twice - compare different arms")
        self.asks(self.arms[0])

    def demands(self) -> tuple[Gate, ...]:
        """The gates of what it requires, of every arm but the first."""
        found = [gate for arm in self.arms[1:] for gate in self.require.gates(f"{arm}.")]
        more = (Gate(metric="sound", min=1), Gate(metric="valid", min=1)) if found or self.gates else ()
        return (*found, *more)

    def asks(self, arm: str) -> GenerationSpec:
        """What it asks of one of its arms."""
        return GenerationSpec(arm=arm, **{name: getattr(self, name) for name in GENERATION_FIELDS})


GENERATION_FIELDS = tuple(name for name in GenerationSpec.__struct_fields__ if name not in ("arm", "description"))
EXECUTION_FIELDS = ("concurrency", "timeout")  # how long and how many at once: no answer depends on it


def generation_spec(spec: Eval) -> GenerationSpec:
    """What an eval asks, without what has no effect."""
    how = {name: getattr(spec, name) for name in GENERATION_FIELDS} | {"sampling": spec.sampling.effective()}
    return GenerationSpec(arm=spec.arm, **how)


def generation_name(spec: GenerationSpec, longest: int = 80) -> str:
    """The name of what is asked: equal names ask the same. What would be too long for a file is a digest."""
    usual = msgspec.to_builtins(GenerationSpec(arm=spec.arm, suite=spec.suite))
    said = {name: value for name, value in msgspec.to_builtins(spec).items() if name in usual}
    odd = dict(_odd(said, usual))
    parts = ",".join(f"{name}-{value}" for name, value in odd.items())
    plain = all(isinstance(value, int | float | bool | None) or str(value).isalnum() for value in odd.values())
    if odd and not (plain and len(parts) <= longest):
        parts = digest(odd)[:12]
    return f"{spec.arm}@{spec.suite}" + (f"@{parts}" if odd else "")


def _odd(said: dict[str, Any], usual: dict[str, Any]) -> Any:
    """The values that are not as usual, those of inner tables by their own names, which no two tables share."""
    for name, value in said.items():
        if name in ("description", *EXECUTION_FIELDS) or value == usual.get(name):
            continue
        if isinstance(value, dict) and usual.get(name):
            yield from _odd(value, usual[name])
        else:
            yield name, value
