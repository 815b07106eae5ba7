"""The decision that a comparison supports: ship, do not ship, or cannot tell, with its reasons in the order of weight.

A gate that fails, a regression or an invalid comparison is a no. An improvement is a yes. An arm that is equivalent to
the baseline is a yes only where a gate of the recipe asks for no more; a difference within noise is no decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from punie_build.engine.gates import required
from punie_build.reports.pages.arms import ComparisonPage
from punie_build.runtime.console import format_count, format_points

Answer = Literal["ship", "do not ship", "cannot tell"]
BANNERS = {"ship": "improved", "do not ship": "regressed", "cannot tell": "inconclusive"}  # answer -> class of a banner


class Decision(Struct, frozen=True):
    """`answer` and its reasons: one on the gates and the verdict, then levels, worst category and cost."""

    answer: Answer
    reasons: tuple[str, ...]


def decide(page: ComparisonPage) -> Decision:
    """Return the decision on the candidate of a comparison."""
    [main] = [delta for delta in page.result.differences if delta.arm == page.result.arm]
    gates = required(page.task.spec)
    failed = [problem for gate in gates if (problem := gate.problem(page.lock.metrics))]
    if main.verdict in ("regressed", "invalid") or failed or not page.result.sound:
        answer: Answer = "do not ship"
    elif main.verdict == "improved" or (main.verdict == "equivalent" and gates):
        answer = "ship"
    else:
        answer = "cannot tell"
    return Decision(answer, (*_gates(len(gates), failed), _levels(page), *_worst_category(page), *_costs(page)))


def _gates(count: int, failed: list[str]) -> Iterator[str]:
    if failed:
        yield f"{len(failed)} of {format_count(count, 'gate')} failed: {'; '.join(failed)}"
    else:
        yield f"{format_count(count, 'gate')} passed" if count else "the recipe has no gates"


def _levels(page: ComparisonPage) -> str:
    """Return the pass rates of candidate and baseline on the cases of the verdict."""
    result = page.result
    index = result.arms.index(result.arm)
    split = "held-out cases" if result.split == "confirm" else "cases"
    rates = [f"{result.totals[arm].rate:.0%} by {result.arms[arm]}" for arm in (index, 0)]
    return f"passed of {result.n} {split}: {rates[0]}, {rates[1]}"


def _worst_category(page: ComparisonPage) -> Iterator[str]:
    result = page.result
    index = result.arms.index(result.arm)
    changes = [(totals[index].rate - totals[0].rate, name, totals[index]) for name, totals in result.categories.items()]
    if len(changes) > 1:
        change, name, total = min(changes)
        yield f"worst category: {name} {format_points(change)}, {total.rate:.0%} of {total.n} cases"


def _costs(page: ComparisonPage) -> Iterator[str]:
    """Yield tokens and seconds of an answer beside those of the baseline, where they were measured."""
    rates = page.result.rates
    index = page.result.arms.index(page.result.arm)
    for field, unit in (("n_tokens", " tokens"), ("seconds", " s")):
        mine, base = (getattr(rates[arm], field, None) for arm in (index, 0))
        if mine is not None and base is not None:
            yield f"cost of an answer: {mine:.3g}{unit}, {base:.3g}{unit} by {page.result.arms[0]}"
