"""The loss of each token of rows, without gradients. Imported by processes that load a model."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from punie_build.training.batch_sampler import BatchSampler, padded_length
from punie_build.training.token_file import TokenRows

BATCH_TOKENS = 1024  # with a vocabulary of 150,000, their logits take 600 MB
Batch = tuple[mx.array, NDArray[np.int32], NDArray[np.bool_]]  # inputs, targets and loss mask, each (rows, length)


def batches(rows: TokenRows, limit: int) -> list[Batch]:
    """Return the same batches for the same rows, of at most `limit` rows."""
    sample = sorted(range(len(rows)), key=lambda row: (row * 0.6180339887) % 1)[:limit]  # spread over the file
    lengths = rows.lengths
    sampler = BatchSampler(batching="tokens", batch_size=len(sample), batch_tokens=BATCH_TOKENS)
    result = []
    for batch in sampler.epoch([lengths[row] - 1 for row in sample], 0):
        token_rows = [rows.row(sample[row]) for sequence in batch for row in sequence]
        shape = len(token_rows), padded_length(max(len(ids) - 1 for ids, _ in token_rows))
        inputs, targets, loss_mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool)
        for index, (ids, mask) in enumerate(token_rows):
            span = slice(0, len(ids) - 1)
            inputs[index, span], targets[index, span], loss_mask[index, span] = ids[:-1], ids[1:], mask[1:]
        result.append((mx.array(inputs), targets, loss_mask))
    return result


def evaluate(
    model: nn.Module, rows: list[Batch], report: Callable[[], object]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the loss of each trained token in nats, and its most likely prediction. Report each batch."""
    losses, predictions = [], []
    for inputs, targets, loss_mask in rows:
        logits = model(inputs).astype(mx.float32)
        results = nn.losses.cross_entropy(logits, mx.array(targets)), logits.argmax(-1)
        mx.eval(results)
        losses.append(np.array(results[0])[loss_mask])
        predictions.append(np.array(results[1])[loss_mask])
        report()
    return np.concatenate(losses), np.concatenate(predictions)


def mean(losses: NDArray[np.float32]) -> float:
    """Return the mean of losses."""
    return float(losses.mean(dtype=np.float64))
