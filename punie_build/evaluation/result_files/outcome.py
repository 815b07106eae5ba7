"""Outcomes: the values of one metric that a result file holds for each case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import fsum
from typing import Any

from msgspec import Struct

from punie_build.errors import DataError, join_first

WORDS = {"true": 1.0, "yes": 1.0, "pass": 1.0, "passed": 1.0, "false": 0.0, "no": 0.0, "fail": 0.0, "failed": 0.0}


class CaseValues(Struct, kw_only=True):
    """The values of a case, one for each repetition that has one, and the number of repetitions without one.

    `question`: a digest of the question, empty if unknown: cases of one name but other questions are not compared.
    """

    case: str
    values: list[float]
    unscored: int = 0
    category: str = ""
    group: str = ""
    question: str = ""
    text: str = ""

    @property
    def mean(self) -> float:
        return fsum(self.values) / len(self.values)


class ResultFile(Struct, frozen=True, kw_only=True):
    """The outcomes of one arm by one metric.

    `metrics`: all metrics of the file. `reported`: the mean that the file states. `implied_passes`: cases that pass
    and that the file counts without naming them. `lower`: smaller values are better.
    """

    file: str
    format: str
    arm: str
    metric: str
    metrics: tuple[str, ...]
    outcomes: dict[str, CaseValues]
    reported: float | None = None
    implied_passes: int = 0
    lower: bool = False
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> list[CaseValues]:
        """The cases with at least one value."""
        return [outcome for outcome in self.outcomes.values() if outcome.values]

    @property
    def mean(self) -> float | None:
        """The mean over cases, as the tool computes it; None if no case has a value."""
        count = len(self.scored) + self.implied_passes
        total = fsum(outcome.mean for outcome in self.scored) + self.implied_passes
        return total / count if count else None


def collect(rows: Sequence[CaseValues]) -> dict[str, CaseValues]:
    """Return outcomes by case. Rows of one case and question are repetitions of it; another question of a case that
    is already there gets a number behind its name."""
    outcomes: dict[str, CaseValues] = {}
    for row in rows:
        same, number = outcomes.get(row.case), 1
        while same is not None and same.question != row.question:
            number += 1
            same = outcomes.get(f"{row.case} #{number}")
        if same is None:
            row.case = row.case if number == 1 else f"{row.case} #{number}"
            outcomes[row.case] = row
        else:
            same.values += row.values
            same.unscored += row.unscored
    return outcomes


def number(value: Any) -> float | None:
    """Return a value as a number: also true, "yes", "pass" and digits in a text; None for others and for NaN."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in WORDS:
            return WORDS[text]
        try:
            value = float(text)
        except ValueError:
            return None
    if not isinstance(value, bool | int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def choose_metric(metrics: Sequence[str], requested: str | None, where: str) -> str:
    """Return the requested metric, or the first one. Raise DataError if there is none."""
    if not metrics:
        raise DataError(f"{where}: no metric with a number for each case - name a file with scores")
    if requested is None:
        return metrics[0]
    if requested not in metrics:
        raise DataError(f"{where}: no metric '{requested}' - choose {join_first(metrics, 8)}")
    return requested
