"""Gates: numbers an artifact must reach before it may be used. `punie-build check --gate` holds its lock's metrics to them.

    gates = [{ metric = "share", min = 0.6, tolerance = 0.02 }]

Expectations are gates that the build holds, too: data that is not what its recipe declares is not published.

    expect = { rows = [1100, 1300], test = 0, categories = { read_file = [0.05, 0.4] } }

A gate changes no artifact: it enters no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from msgspec import Meta

from punie_build.errors import did_you_mean
from punie_build.schema.spec import Spec

Range = float | tuple[float, float]  # exactly, or from and to
Expected = dict[
    str, Range | dict[str, Range]
]  # metric -> what it must be; a table in it has metrics with a `.` in their name
SHARES = "categories"  # the metrics of these are shares of rows, and a category that no row has is none of them
EXACT = 1e-9  # 0.8 - 0.1 is not 0.7: decimals in a recipe are meant as they are written

HINTS = {
    "sound": " - the suite fails its own test, `punie-build suite check` says why",
    "valid": " - nothing follows from these answers, comparison.json says why",
}


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
        value = metrics.get(self.metric, 0.0 if self.metric.startswith(f"{SHARES}.") else None)
        if value is None:
            return f"gate '{self.metric}': the lock has no such metric{did_you_mean(self.metric, metrics)}"
        give = f", tolerance {self.tolerance:g}" if self.tolerance else ""
        for word, bound, sign in (("below", self.min, 1), ("above", self.max, -1)):
            if bound is not None and sign * (bound - value) > self.tolerance + EXACT * abs(bound):
                shown = f"{value:g}" if f"{value:g}" != f"{bound:g}" else repr(value)
                return f"gate '{self.metric}': {shown} is {word} {bound:g}{give}{HINTS.get(self.metric, '')}"
        return None


def demanded(spec: Any) -> tuple[Gate, ...]:
    """The gates of an artifact: those its recipe writes, and those that what it requires comes to."""
    demands = getattr(spec, "demands", None)
    return (*getattr(spec, "gates", ()), *(demands() if demands else ()))


def expected(spec: Any) -> Iterator[Gate]:
    """The gates of what a recipe expects."""
    for metric, value in _flat(getattr(spec, "expect", {})):
        low, high = value if isinstance(value, tuple) else (value, value)
        yield Gate(metric=metric, min=low, max=high)


def _flat(expect: Expected) -> Iterator[tuple[str, Range]]:
    for metric, value in expect.items():
        if isinstance(value, dict):
            yield from ((f"{metric}.{name}", each) for name, each in value.items())
        else:
            yield metric, value


def objections(spec: Any, metrics: Mapping[str, float]) -> list[str]:
    """What is not as the recipe expects, a line each."""
    return [
        f"expect.{gate.metric}: {metrics.get(gate.metric, 0):g}, and the recipe expects {_said(gate)}"
        for gate in expected(spec)
        if gate.objection(metrics)
    ]


def _said(gate: Gate) -> str:
    return f"{gate.min:g}" if gate.min == gate.max else f"{gate.min:g} to {gate.max:g}"


def misnamed(expect: Expected, known: Iterable[str]) -> list[str]:
    """What is wrong with expectations beyond their types."""
    known = [*known]
    wrong = []
    for metric, value in _flat(expect):
        if metric.partition(".")[0] not in known or metric == SHARES:
            wrong.append(f"expect.{metric}: no such number of data{did_you_mean(metric, known)}")
        elif isinstance(value, tuple) and not value[0] <= value[1]:
            wrong.append(f"expect.{metric}: from {value[0]:g} to {value[1]:g} lets nothing pass - exchange them")
    return wrong
