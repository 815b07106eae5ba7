"""Printed: what mlx-lm says while it trains, as the events of a `metrics.jsonl`. For adapters that were trained elsewhere.

    Iter 10: Train loss 1.234, Learning Rate 1.000e-05, It/sec 0.531, ...      mlx-lm up to 0.31
      10    1.234 ▼      245      4.6k                                         since 0.32, a table in colours

Lines of other kinds are passed over. mlx-lm validates *before* the update it names: `Iter 1: Val loss` is said of the base itself, so
it becomes iteration 0, as in our own files. The table has no learning rate, and tokens in thousands only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]
NUMBER = r"(nan|-?inf|-?[\d,]*\.?\d+(?:e[+-]?\d+)?)"
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TRAIN = re.compile(
    rf"Iter (\d{{1,12}}): Train loss {NUMBER}(?:.*?Learning Rate {NUMBER})?(?:.*?Trained Tokens {NUMBER})?"
)
VALID = re.compile(rf"Iter (\d{{1,12}}): Val loss {NUMBER}")
TEST = re.compile(rf"Test loss {NUMBER}, Test ppl")
TABLE_TRAIN = re.compile(rf"\s+(\d{{1,12}})\s+{NUMBER} [▼▲]\s+[\d,]+\s+{NUMBER}k\s*")
TABLE_VALID = re.compile(rf"\s+(\d{{1,12}})\s+val\s+{NUMBER}\s+[\d.]+s\s*")


def events(text: str) -> Iterator[Event]:
    """The events of a log, in its order: `train`, `valid` and `test`. A loss that is no number is None."""
    for line in re.split(r"[\r\n]+", COLOUR.sub("", text)):
        if found := TABLE_TRAIN.fullmatch(line):
            yield {"event": "train", **_train(found, tokens=_number(found[3], 1000))}
        elif found := TRAIN.search(line):
            yield {"event": "train", **_train(found, learning_rate=_number(found[3]), tokens=_number(found[4]))}
        elif found := TABLE_VALID.fullmatch(line) or VALID.search(line):
            yield {"event": "valid", "iteration": int(found[1]) - 1, "loss": _number(found[2])}
        elif found := TEST.search(line):
            yield {"event": "test", "loss": _number(found[1])}


def _train(found: re.Match[str], **more: float | None) -> Event:
    event: Event = {"iteration": int(found[1]), "loss": _number(found[2])}
    event |= {name: value for name, value in more.items() if value is not None}
    if "tokens" in event:
        event["tokens"] = round(event["tokens"])
    return event


def _number(text: str | None, times: int = 1) -> float | None:
    value = float(text.replace(",", "")) * times if text else math.nan
    return value if math.isfinite(value) else None
