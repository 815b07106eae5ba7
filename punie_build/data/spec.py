"""Specs of data: the recipe tables `dataset`, `stage` and `mix`, and the fields that they share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from punie_build.data.dialects.columns import ColumnRole, Form, Layout
from punie_build.data.filters.union import AnyFilter
from punie_build.data.mix import MixComponent
from punie_build.data.order import Order
from punie_build.data.sources import AnySource
from punie_build.data.split import Split
from punie_build.data.transforms import AnyTransform
from punie_build.engine.gates import SHARES, Expected, Gate, expectation_mistakes
from punie_build.schema.spec import Spec

Dialect = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt-completion", "text",
    "glaive", "hermes", "qwen3-coder", "fenced-json", "code-mode",
]  # fmt: skip

COUNTS = (  # metrics that `expect` may name
    "rows",
    "examples",
    "dropped",
    "retention",
    "train",
    "valid",
    "test",
    SHARES,
)


class Data(Spec, frozen=True, kw_only=True):
    """The fields that datasets, stages and mixes share.

    `expect` has the metrics that the data must have to be published. The files of `temporary` data are deleted when
    everything that reads them is built. Neither field changes the content.
    """

    expect: Expected = field(default_factory=dict)
    temporary: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if problems := expectation_mistakes(self.expect, COUNTS):
            raise ValueError("; ".join(problems))


class Dataset(Data, frozen=True, kw_only=True):
    """Examples from a source, written as chat JSONL in train, valid and test.

    `dialect` names the format of the source's conversations; `auto` detects it row by row.
    `columns` maps the keys of other records to roles, and `template` is the user's text with `{key}` replaced.
    `form = "text"` trains raw text without a chat template; `form = "preference"` reads pairs of answers, which
    the losses "dpo" and "orpo" compare, and labels. `unreadable = "drop"`
    writes unreadable rows to dropped.jsonl with the reason; by default they are an error. `split` applies to sources
    without splits of their own; with "none" their rows wait in train.jsonl for the mix that splits them.
    """

    source: AnySource
    dialect: Dialect = "auto"
    columns: dict[str, ColumnRole] = field(default_factory=dict)
    template: str = ""
    form: Form = "chat"
    unreadable: Literal["error", "drop"] = "error"
    split: Split | Literal["none"] = Split(valid=0.1, test=0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template and set(self.columns.values()) & {"user", "messages", "text"}:
            raise ValueError("`template` is the user's text - remove the columns of the user, or `template`")
        if self.form == "text" and set(self.columns.values()) - {"text", "category"}:
            raise ValueError('`form = "text"` has no roles - map one column to "text"')

    @property
    def layout(self) -> Layout:
        """Return how the records of the source are laid out."""
        return Layout(self.columns, self.template, self.form)


class Stage(Data, frozen=True, kw_only=True):
    """A dataset after `maps`, which rewrite rows, and `filters`, of which the first that rejects a row drops it."""

    from_: str = field(name="from")
    filters: Annotated[tuple[AnyFilter, ...], Meta(max_length=200)] = ()
    maps: tuple[AnyTransform, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.filters or self.maps):
            raise ValueError("a stage without `filters` and `maps` does nothing - add one")
        if len(self.bases()) > 1:
            raise ValueError("its filters and maps name two bases - divide it into two stages")

    def bases(self) -> set[str]:
        """Return the names of the bases that filters and maps count tokens with; at most one."""
        return {base for item in (*self.filters, *self.maps) if (base := getattr(item, "base", None))}


class Mix(Data, frozen=True, kw_only=True):
    """Several datasets merged, capped and weighted, without exact duplicates and without overlaps of splits.

    Rows keep the split that they have; `split` divides those of datasets with `split = "none"`. `resplit` divides all
    rows anew, so that rows that a part holds back may be trained. `order` sorts the training rows.
    """

    from_: Annotated[tuple[str | MixComponent, ...], Meta(min_length=1)] = field(name="from")
    split: Split = Split()
    seed: int = 0
    resplit: bool = False
    order: Order | None = None

    def parts(self) -> tuple[MixComponent, ...]:
        """Return the components, with those that are names as `MixComponent`."""
        return tuple(MixComponent(name=item) if isinstance(item, str) else item for item in self.from_)
