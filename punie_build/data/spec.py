"""Specs of data: the recipe tables `dataset`, `stage` and `mix`, and the fields that they share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from punie_build.data.filters.union import AnyFilter
from punie_build.data.mix import Part
from punie_build.data.sources import AnySource
from punie_build.data.split import Split
from punie_build.data.transforms import AnyMap
from punie_build.engine.gates import SHARES, Expected, Gate, misnamed
from punie_build.schema.spec import Spec

Dialect = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt-completion", "text",
    "glaive", "hermes", "qwen3-coder", "fenced-json", "code-mode",
]  # fmt: skip

COUNTS = (
    "rows",
    "examples",
    "dropped",
    "retention",
    "train",
    "valid",
    "test",
    SHARES,
)  # what data may be expected to be


class Data(Spec, frozen=True, kw_only=True):
    """What may be said of any data. `expect`: numbers it must have to be published. `temporary`: its files are removed when all
    that reads them is built. Neither changes what it is."""

    expect: Expected = field(default_factory=dict)
    temporary: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if wrong := misnamed(self.expect, COUNTS):
            raise ValueError("; ".join(wrong))


class Dataset(Data, frozen=True, kw_only=True):
    """Examples from a source, as chat JSONL in train, valid and test. `split` is for sources that have no sides of their own.

    `dialect` says how the source writes conversations down; `auto` looks at each row. `unreadable = "drop"` keeps what cannot be
    read in dropped.jsonl, with the reason; by default it is an error.
    """

    source: AnySource
    dialect: Dialect = "auto"
    unreadable: Literal["error", "drop"] = "error"
    split: Split = Split(valid=0.1, test=0.1)


class Stage(Data, frozen=True, kw_only=True):
    """A dataset sifted by filters, one after another; the first to object is the reason. `maps` rewrite rows before that."""

    from_: str = field(name="from")
    filters: Annotated[tuple[AnyFilter, ...], Meta(max_length=200)] = ()
    maps: tuple[AnyMap, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.filters or self.maps):
            raise ValueError("a stage without `filters` and `maps` does nothing - give it one")
        if len({base for each in self.filters if (base := getattr(each, "base", None))}) > 1:
            raise ValueError("its filters name two bases - make two stages of it")


class Mix(Data, frozen=True, kw_only=True):
    """Several datasets merged: capped and weighted, twins dropped, split anew so that no question is on two sides."""

    from_: Annotated[tuple[str | Part, ...], Meta(min_length=1)] = field(name="from")
    split: Split = Split()
    seed: int = 0

    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(name=part) if isinstance(part, str) else part for part in self.from_)
