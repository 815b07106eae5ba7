"""Measure how much of its adapter a model retains, on rows that it was not trained on. Generates no text.

    gain retained = (loss of the base - loss of the model) / (loss of the base - loss of the adapter)
    agreement     = share of trained tokens for which model and adapter predict the same token as most likely

Quantization can erase a LoRA: its update is small compared to the weight that it is added to, and may round to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from punie_build.export.job import Fidelity
from punie_build.models.precision import add_adapter, load_weights
from punie_build.training import token_file
from punie_build.training.token_file import TokenRows
from punie_build.training.token_loss import LossBatch, evaluate, mean

Report = Callable[[int, int], object]  # (batches that are done, all batches)


class AdapterMeasurement(Struct, frozen=True):
    """The losses of an adapter and of its base in nats, and the most likely prediction of the adapter, for each trained
    token: all models of the adapter are compared with these."""

    base_losses: NDArray[np.float32]
    adapter_losses: NDArray[np.float32]
    expected: NDArray[np.uint32]

    def save(self, path: Path) -> None:
        """Write the arrays to a file, at once."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"new-{path.name}")
        mx.save_safetensors(str(temporary), {name: mx.array(getattr(self, name)) for name in self.__struct_fields__})
        temporary.replace(path)


def read_measurement(path: Path) -> AdapterMeasurement | None:
    """Return a measurement from a file, or None if there is none that is whole."""
    try:
        arrays: Any = mx.load(str(path))
        return AdapterMeasurement(**{name: np.array(array) for name, array in arrays.items()})
    except (RuntimeError, TypeError, ValueError, OSError):
        return None


def held_out_rows(tokens: Path) -> TokenRows:
    """Return the test rows, or the validation rows if there are none, or the training rows; of pairs the wanted
    answers."""
    splits = (token_file.load(tokens / f"{split}.safetensors") for split in ("test", "valid", "train"))
    return next(rows for rows in splits if len(rows)).wanted()


def measure(
    base: Path, adapter: Path, model: Path, rows: list[LossBatch], known: Path, report: Report = lambda *_: None
) -> Fidelity:
    """Return the fidelity of a model to the adapter on its base.

    One model is in memory at a time. Base and adapter are measured once for all models of the adapter: `known` is the
    file of their results.
    """
    measured = read_measurement(known)
    total, done = len(rows) * (1 if measured else 3), 0

    def step() -> None:
        nonlocal done
        done += 1
        report(done, total)

    if measured is None:
        adapted = load_weights(base)
        base_losses, _ = evaluate(adapted, rows, step)
        adapted = add_adapter(adapted, adapter)
        measured = AdapterMeasurement(base_losses, *evaluate(adapted, rows, step))
        measured.save(known)
        del adapted
        mx.clear_cache()
    losses, predictions = evaluate(load_weights(model), rows, step)
    return Fidelity(
        loss_base=mean(measured.base_losses),
        loss_adapter=mean(measured.adapter_losses),
        loss=mean(losses),
        agreement=float((measured.expected == predictions).mean()),
        tokens=float(len(losses)),
        gain_retained=gain_retained(measured.base_losses, measured.adapter_losses, losses),
    )


def gain_retained(base: NDArray[np.float32], adapter: NDArray[np.float32], model: NDArray[np.float32]) -> float | None:
    """Return the share of an adapter's loss reduction that a model retains, from the losses of the same tokens.

    Return None if the reduction is not above its noise: 1.96 standard errors of its mean.
    """
    gains = base.astype(np.float64) - adapter
    gain, noise = float(gains.mean()), 1.96 * float(gains.std()) / math.sqrt(len(gains))
    return (mean(base) - mean(model)) / gain if gain > noise else None
