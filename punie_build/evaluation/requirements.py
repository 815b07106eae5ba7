"""Requirements of an eval or a comparison, which become gates on the metrics of its lock.

    require = { min_strict = { "*" = 0.6, read_file = 0.8 }, max_irrelevant_calls = 0.1, min_parse_rate = 0.98 }

Requirements change no artifact, so they enter no key. In a comparison they apply to the reported cases of every arm but
the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from punie_build.engine.gates import Gate
from punie_build.schema.spec import Spec

Fraction = Annotated[float, Meta(ge=0, le=1)]


class Requirements(Spec, frozen=True, kw_only=True):
    """Thresholds of an eval or a comparison.

    `min_strict`: the lowest pass rate by category; "*" means all cases. The pass rate of fewer than 20 cases is
    imprecise.
    `max_irrelevant_calls`, `min_parse_rate`, `max_errors`: limits of rates over answers.
    `no_regression`: the 95 % interval of the difference must be above minus this margin, and no category entirely below
    it.
    `parity`: the interval must be within this margin of 0.
    """

    min_strict: dict[str, Fraction] = field(default_factory=dict)
    max_irrelevant_calls: Fraction | None = None
    min_parse_rate: Fraction | None = None
    max_errors: Fraction | None = None
    no_regression: Fraction | None = None
    parity: Fraction | None = None

    @property
    def needs_comparison(self) -> bool:
        """Whether a requirement is about the difference of two arms."""
        return self.no_regression is not None or self.parity is not None

    def gates(self, prefix: str = "") -> tuple[Gate, ...]:
        """Return gates on the metrics with this prefix."""
        return tuple(self._gates(prefix))

    def _gates(self, prefix: str) -> Iterator[Gate]:
        for category, limit in self.min_strict.items():
            name = "share" if category == "*" else f"category.{category}.share"
            yield Gate(metric=f"{prefix}{name}", min=limit)
        for name, maximum in (("irrelevant_calls", self.max_irrelevant_calls), ("error_rate", self.max_errors)):
            if maximum is not None:
                yield Gate(metric=f"{prefix}{name}", max=maximum)
        if self.min_parse_rate is not None:
            yield Gate(metric=f"{prefix}parse_rate", min=self.min_parse_rate)
        if self.no_regression is not None:
            yield Gate(metric=f"{prefix}low", min=-self.no_regression)
            yield Gate(metric=f"{prefix}worst", min=-self.no_regression)
        if self.parity is not None:
            yield Gate(metric=f"{prefix}low", min=-self.parity)
            yield Gate(metric=f"{prefix}high", max=self.parity)
