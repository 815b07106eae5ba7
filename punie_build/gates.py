"""Gates: numbers an artifact must reach before it may be used. `punie-build check --gate` holds its lock's metrics to them.

    gates = [{ metric = "share", min = 0.6, tolerance = 0.02 }]

A gate changes no artifact: it enters no key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from punie_build.errors import did_you_mean
from punie_build.spec import Spec

EXACT = 1e-9  # 0.8 - 0.1 is not 0.7: decimals in a recipe are meant as they are written


class Gate(Spec, frozen=True, kw_only=True):
    """`metric` must be at least `min` and at most `max`, give or take `tolerance`, which is in the metric's own unit."""

    metric: str
    min: float | None = None
    max: float | None = None
    tolerance: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("a gate whose `min` is above its `max` lets nothing pass - exchange them")

    def objection(self, metrics: Mapping[str, float]) -> str | None:
        """Why the gate is shut, or None."""
        value = metrics.get(self.metric)
        if value is None:
            return f"gate '{self.metric}': the lock has no such metric{did_you_mean(self.metric, metrics)}"
        give = f", tolerance {self.tolerance:g}" if self.tolerance else ""
        for word, bound, sign in (("below", self.min, 1), ("above", self.max, -1)):
            if bound is not None and sign * (bound - value) > self.tolerance + EXACT * abs(bound):
                shown = f"{value:g}" if f"{value:g}" != f"{bound:g}" else repr(value)
                return f"gate '{self.metric}': {shown} is {word} {bound:g}{give}"
        return None
