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


class Gate(Spec, frozen=True, kw_only=True):
    """`metric` must be at least `min` and at most `max`, give or take `tolerance`, which is in the metric's own unit."""

    metric: str
    min: float | None = None
    max: float | None = None
    tolerance: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs `min` or `max`")

    def objection(self, metrics: Mapping[str, float]) -> str | None:
        """Why the gate is shut, or None."""
        value = metrics.get(self.metric)
        if value is None:
            return f"gate '{self.metric}': the lock has no such metric{did_you_mean(self.metric, metrics)}"
        give = f", tolerance {self.tolerance:g}" if self.tolerance else ""
        if self.min is not None and value < self.min - self.tolerance:
            return f"gate '{self.metric}': {value:g} is below {self.min:g}{give}"
        if self.max is not None and value > self.max + self.tolerance:
            return f"gate '{self.metric}': {value:g} is above {self.max:g}{give}"
        return None
