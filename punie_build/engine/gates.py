"""Gates: metrics that an artifact must reach before it may be used. `punie-build check --gate` holds the metrics in its
lock to them.

    gates = [{ metric = "share", min = 0.6, tolerance = 0.02 }]

Expectations are gates that the build holds as well: data that differs from its recipe's expectations is not published.

    expect = { rows = [1100, 1300], test = 0, categories = { read_file = [0.05, 0.4] } }

A gate changes no artifact: it enters no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from punie_build.errors import did_you_mean
from punie_build.schema.spec import Spec

Range = float | tuple[float, float]  # an exact value, or the lowest and the highest
Expected = dict[
    str, Range | dict[str, Range]
]  # metric -> its value; a table inside has metrics with a `.` in their name
SHARES = "categories"  # metrics below this name are shares of rows; a category that no row has is 0
EXACT = 1e-9  # 0.8 - 0.1 is not 0.7: decimals in a recipe are meant as they are written

HINTS = {
    "sound": " - the suite fails its own test, `punie-build suite check` gives the reason",
    "valid": " - too many answers are missing or cannot be scored, the page of the artifact gives the reasons",
}


class Gate(Spec, frozen=True, kw_only=True):
    """`metric` must be at least `min` and at most `max`, give or take `tolerance`, which is in the unit of the
    metric."""

    metric: str
    min: float | None = None
    max: float | None = None
    tolerance: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("a gate whose `min` is above its `max` lets nothing pass - exchange them")

    def problem(self, metrics: Mapping[str, float]) -> str | None:
        """Return why the metrics fail the gate, or None."""
        value = metrics.get(self.metric, 0.0 if self.metric.startswith(f"{SHARES}.") else None)
        if value is None:
            return f"gate '{self.metric}': the lock has no such metric{did_you_mean(self.metric, metrics)}"
        tolerance = f", tolerance {self.tolerance:g}" if self.tolerance else ""
        for word, bound, sign in (("below", self.min, 1), ("above", self.max, -1)):
            if bound is not None and sign * (bound - value) > self.tolerance + EXACT * abs(bound):
                text = f"{value:g}" if f"{value:g}" != f"{bound:g}" else repr(value)
                return f"gate '{self.metric}': {text} is {word} {bound:g}{tolerance}{HINTS.get(self.metric, '')}"
        return None


def required(spec: Any) -> tuple[Gate, ...]:
    """Return the gates of an artifact: those in its recipe, and those that its requirements amount to."""
    requirements = getattr(spec, "demands", None)
    return (*getattr(spec, "gates", ()), *(requirements() if requirements else ()))


def failures(spec: Any, metrics: Mapping[str, float]) -> list[str]:
    """Return one line for each gate of a recipe that these metrics fail."""
    return [problem for gate in required(spec) if (problem := gate.problem(metrics))]


def summary(failed: Mapping[str, Sequence[str]]) -> list[str]:
    """Return lines on the artifacts that fail gates, by label: none if all pass."""
    count = sum(map(len, failed.values()))
    title = [f"{count} gate{'s fail' if count > 1 else ' fails'}"] if count else []
    return title + [f"    {label}: {line}" for label, lines in failed.items() for line in lines]


def expectations(spec: Any) -> Iterator[Gate]:
    """Yield the expectations of a recipe as gates."""
    for metric, value in _flat(getattr(spec, "expect", {})):
        low, high = value if isinstance(value, tuple) else (value, value)
        yield Gate(metric=metric, min=low, max=high)


def unmet_expectations(spec: Any, metrics: Mapping[str, float]) -> list[str]:
    """Return one line for each metric that differs from what the recipe expects."""
    return [
        f"expect.{gate.metric}: {metrics.get(gate.metric, 0):g}, but the recipe expects {_range_text(gate)}"
        for gate in expectations(spec)
        if gate.problem(metrics)
    ]


def expectation_mistakes(expect: Expected, known: Iterable[str]) -> list[str]:
    """Return the mistakes of expectations that their types do not show."""
    known = [*known]
    mistakes = []
    for metric, value in _flat(expect):
        if metric.partition(".")[0] not in known or metric == SHARES:
            mistakes.append(f"expect.{metric}: data has no such metric{did_you_mean(metric, known)}")
        elif isinstance(value, tuple) and not value[0] <= value[1]:
            mistakes.append(f"expect.{metric}: from {value[0]:g} to {value[1]:g} lets nothing pass - exchange them")
    return mistakes


def _flat(expect: Expected) -> Iterator[tuple[str, Range]]:
    for metric, value in expect.items():
        if isinstance(value, dict):
            yield from ((f"{metric}.{name}", inner) for name, inner in value.items())
        else:
            yield metric, value


def _range_text(gate: Gate) -> str:
    return f"{gate.min:g}" if gate.min == gate.max else f"{gate.min:g} to {gate.max:g}"
