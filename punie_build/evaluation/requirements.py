"""Require: what an eval or a comparison must reach, in words. Each becomes gates on numbers of the lock (`gates`).

    require = { min_strict = { "*" = 0.6, read_file = 0.8 }, max_irrelevant_calls = 0.1, min_parse_rate = 0.98, no_regression = 0.02 }

It changes no artifact: it enters no key. Of a comparison it is required of every arm but the first, on what is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec

Fraction = Annotated[float, Meta(ge=0, le=1)]


class Requirements(Spec, frozen=True, kw_only=True):
    """`min_strict`: the share of cases that pass, by category, "*" for all; categories of fewer than 20 cases say little.
    `max_irrelevant_calls`, `min_parse_rate`, `max_errors`: shares of answers. `no_regression`: the whole interval must be above minus this
    margin, and no category surely below it. `parity`: the interval must lie within this margin of 0."""

    min_strict: dict[str, Fraction] = field(default_factory=dict)
    max_irrelevant_calls: Fraction | None = None
    min_parse_rate: Fraction | None = None
    max_errors: Fraction | None = None
    no_regression: Fraction | None = None
    parity: Fraction | None = None

    @property
    def compares(self) -> bool:
        return self.no_regression is not None or self.parity is not None

    def gates(self, prefix: str = "") -> tuple[Gate, ...]:
        """The gates on metrics with this prefix."""
        return tuple(self._gates(prefix))

    def _gates(self, prefix: str) -> Iterator[Gate]:
        for category, least in self.min_strict.items():
            name = "share" if category == "*" else f"category.{category}.share"
            yield Gate(metric=f"{prefix}{name}", min=least)
        for name, most in (("irrelevant_calls", self.max_irrelevant_calls), ("error_rate", self.max_errors)):
            if most is not None:
                yield Gate(metric=f"{prefix}{name}", max=most)
        if self.min_parse_rate is not None:
            yield Gate(metric=f"{prefix}parse_rate", min=self.min_parse_rate)
        if self.no_regression is not None:
            yield Gate(metric=f"{prefix}low", min=-self.no_regression)
            yield Gate(metric=f"{prefix}worst", min=-self.no_regression)
        if self.parity is not None:
            yield Gate(metric=f"{prefix}low", min=-self.parity)
            yield Gate(metric=f"{prefix}high", max=self.parity)
