"""Measure how much of its adapter a model retains, on rows that it was not trained on. Generates no text.

    gain retained = (loss of the base - loss of the model) / (loss of the base - loss of the adapter)
    agreement     = share of trained tokens for which model and adapter predict the same token as most likely

Quantization can erase a LoRA: its update is small compared to the weight that it is added to, and may round to zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model
from numpy.typing import NDArray

from punie_build.export.job import Fidelity
from punie_build.models.precision import set_compute_precision
from punie_build.training import token_file
from punie_build.training.batch_sampler import BatchSampler, padded_length
from punie_build.training.token_file import TokenRows

MAX_ROWS = 512  # enough to distinguish 97 % from 98 %
BATCH_TOKENS = 1024  # with a vocabulary of 150,000, their logits take 600 MB


def held_out_rows(tokens: Path) -> TokenRows:
    """Return the test rows, or the validation rows if there are none, or the training rows; of pairs the wanted
    answers."""
    splits = (token_file.load(tokens / f"{split}.safetensors") for split in ("test", "valid", "train"))
    return next(rows for rows in splits if len(rows)).wanted()


def batches(rows: TokenRows) -> Iterator[tuple[mx.array, NDArray[np.int32], NDArray[np.bool_]]]:
    """Yield the same batches for the same rows: inputs, targets and loss mask, each (rows, length)."""
    sample = sorted(range(len(rows)), key=lambda row: (row * 0.6180339887) % 1)[:MAX_ROWS]  # spread over the file
    lengths = rows.lengths
    sampler = BatchSampler(batching="tokens", batch_size=len(sample), batch_tokens=BATCH_TOKENS)
    for batch in sampler.epoch([lengths[row] - 1 for row in sample], 0):
        token_rows = [rows.row(sample[row]) for sequence in batch for row in sequence]
        shape = len(token_rows), padded_length(max(len(ids) - 1 for ids, _ in token_rows))
        inputs, targets, loss_mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool)
        for index, (ids, mask) in enumerate(token_rows):
            span = slice(0, len(ids) - 1)
            inputs[index, span], targets[index, span], loss_mask[index, span] = ids[:-1], ids[1:], mask[1:]
        yield mx.array(inputs), targets, loss_mask


def evaluate(model: nn.Module, rows: TokenRows) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the loss of each trained token in nats, and its most likely prediction."""
    losses, predictions = [], []
    for inputs, targets, loss_mask in batches(rows):
        logits = model(inputs).astype(mx.float32)
        results = nn.losses.cross_entropy(logits, mx.array(targets)), logits.argmax(-1)
        mx.eval(results)
        losses.append(np.array(results[0])[loss_mask])
        predictions.append(np.array(results[1])[loss_mask])
    return np.concatenate(losses), np.concatenate(predictions)


def load(folder: Path) -> nn.Module:
    """Load a model in the compute precision of this device."""
    model, _ = load_model(folder, lazy=True)
    set_compute_precision(model)
    return model


def measure(base: Path, adapter: Path, model: Path, tokens: Path) -> Fidelity:
    """Return the fidelity of a model to the adapter on its base."""
    rows = held_out_rows(tokens)
    adapted = load(base)
    base_losses, _ = evaluate(adapted, rows)
    load_adapters(adapted, str(adapter))
    adapted.eval()
    set_compute_precision(adapted)
    adapter_losses, expected = evaluate(adapted, rows)
    del adapted
    mx.clear_cache()
    losses, predictions = evaluate(load(model), rows)
    return Fidelity(
        loss_base=mean(base_losses),
        loss_adapter=mean(adapter_losses),
        loss=mean(losses),
        agreement=float((expected == predictions).mean()),
        tokens=float(len(expected)),
        gain_retained=gain_retained(base_losses, adapter_losses, losses),
    )


def gain_retained(base: NDArray[np.float32], adapter: NDArray[np.float32], model: NDArray[np.float32]) -> float | None:
    """Return the share of an adapter's loss reduction that a model retains, from the losses of the same tokens.

    Return None if the reduction is not above its noise: 1.96 standard errors of its mean.
    """
    gains = base.astype(np.float64) - adapter
    gain, noise = float(gains.mean()), 1.96 * float(gains.std()) / math.sqrt(len(gains))
    return (mean(base) - mean(model)) / gain if gain > noise else None


def mean(losses: NDArray[np.float32]) -> float:
    """Return the mean of losses."""
    return float(losses.mean(dtype=np.float64))
