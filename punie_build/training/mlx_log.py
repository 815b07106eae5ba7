"""A parser of the log that mlx-lm prints while it trains, for adapters that were trained elsewhere.

    Iter 10: Train loss 1.234, Learning Rate 1.000e-05, It/sec 0.531, ...      mlx-lm up to 0.31
      10    1.234 ▼      245      4.6k                                         since 0.32, a table in colors

Other lines are skipped. mlx-lm validates *before* the update that it names: `Iter 1: Val loss` is the loss of the
base itself, so it becomes iteration 0, as in metrics.jsonl. The table has no learning rate, and counts tokens in
thousands only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

LogEvent = dict[str, Any]
NUMBER = r"(nan|-?inf|-?[\d,]*\.?\d+(?:e[+-]?\d+)?)"
ANSI_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TRAIN = re.compile(
    rf"Iter (\d{{1,12}}): Train loss {NUMBER}(?:.*?Learning Rate {NUMBER})?(?:.*?Trained Tokens {NUMBER})?"
)
VALID = re.compile(rf"Iter (\d{{1,12}}): Val loss {NUMBER}")
TEST = re.compile(rf"Test loss {NUMBER}, Test ppl")
TABLE_TRAIN = re.compile(rf"\s+(\d{{1,12}})\s+{NUMBER} [▼▲]\s+[\d,]+\s+{NUMBER}k\s*")
TABLE_VALID = re.compile(rf"\s+(\d{{1,12}})\s+val\s+{NUMBER}\s+[\d.]+s\s*")


def parse(text: str) -> Iterator[LogEvent]:
    """Yield the `train`, `valid` and `test` events of a log, in its order. A loss that is not finite is None."""
    for line in re.split(r"[\r\n]+", ANSI_ESCAPE.sub("", text)):
        if match := TABLE_TRAIN.fullmatch(line):
            yield _train_event(match, tokens=_count(match[3], 1000))
        elif match := TRAIN.search(line):
            yield _train_event(match, learning_rate=_number(match[3]), tokens=_count(match[4], 1))
        elif match := TABLE_VALID.fullmatch(line) or VALID.search(line):
            yield {"event": "valid", "iteration": int(match[1]) - 1, "loss": _number(match[2])}
        elif match := TEST.search(line):
            yield {"event": "test", "loss": _number(match[1])}


def _train_event(match: re.Match[str], **optional: float | None) -> LogEvent:
    event: LogEvent = {"event": "train", "iteration": int(match[1]), "loss": _number(match[2])}
    return event | {name: value for name, value in optional.items() if value is not None}


def _count(text: str | None, factor: int) -> int | None:
    value = _number(text, factor)
    return None if value is None else round(value)


def _number(text: str | None, factor: int = 1) -> float | None:
    value = float(text.replace(",", "")) * factor if text else math.nan
    return value if math.isfinite(value) else None
