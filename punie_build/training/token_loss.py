"""The loss of each token of rows, without gradients. Imported by processes that load a model.

Rows that begin alike, with the same system prompt and tools, share a batch, and their common prefix is computed once,
as in training (`loop/shared_prefix.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from punie_build.training.batch_sampler import BatchSampler, padded_length
from punie_build.training.loop import shared_prefix
from punie_build.training.prefix_index import MOST_COMPUTED, PrefixIndex
from punie_build.training.token_file import TokenRows

BATCH_TOKENS = 1024  # with a vocabulary of 150,000, their logits take 600 MB
LEAST_ROWS = 4  # of a group that begins alike
TOLERANCE = 1e-4  # nats: the most that a shared prefix may change the loss of one token; rounding changes 1e-5


class LossBatch(NamedTuple):
    """Rows that are computed together: their `numbers`, and inputs, targets and loss mask, each (rows, length).

    `prefix` (1, tokens) are the inputs before all others, if the rows begin alike.
    """

    numbers: list[int]
    inputs: mx.array
    targets: NDArray[np.int32]
    loss_mask: NDArray[np.bool_]
    prefix: mx.array | None = None


def batches(rows: TokenRows, limit: int) -> list[LossBatch]:
    """Return the same batches for the same rows, of at most `limit` rows, which are spread over the file."""
    spread = sorted(range(len(rows)), key=lambda row: (row * 0.6180339887) % 1)[:limit]
    chosen = rows.chosen(sorted(spread))
    index = PrefixIndex(chosen, LEAST_ROWS)
    sampler = BatchSampler(batching="tokens", batch_size=max(1, len(chosen)), batch_tokens=BATCH_TOKENS)
    *groups, others = [(group, index.shared(group)) for group in index.groups]
    result, rest = [], list(others[0])
    for group, shared in groups:
        for members in _by_length(sampler, group, chosen.lengths, shared):
            tokens = [chosen.lengths[row] - 1 for row in members]
            if shared + sum(tokens) - shared * len(members) <= MOST_COMPUTED * sum(tokens):
                result.append(_batch(chosen, members, shared))
            else:
                rest += members
    return result + [_batch(chosen, members, 0) for members in _by_length(sampler, rest, chosen.lengths, 0)]


def _by_length(sampler: BatchSampler, group: list[int], lengths: list[int], shared: int) -> list[list[int]]:
    """Return the rows of a group in batches of similar length, without the tokens that they share."""
    batches_ = sampler.epoch([lengths[row] - 1 - shared for row in group], 0) if group else []
    return [[group[row] for sequence in batch for row in sequence] for batch in batches_]


def _batch(rows: TokenRows, numbers: list[int], shared: int) -> LossBatch:
    """Return the arrays of some rows, after the tokens that they share."""
    token_rows = [rows.row(number) for number in numbers]
    shape = len(token_rows), padded_length(max(len(ids) - 1 for ids, _ in token_rows) - shared)
    inputs, targets, loss_mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool)
    for index, (ids, mask) in enumerate(token_rows):
        span = slice(0, len(ids) - 1 - shared)
        inputs[index, span], targets[index, span] = ids[shared:-1], ids[shared + 1 :]
        loss_mask[index, span] = mask[shared + 1 :]
    prefix = mx.array(token_rows[0][0][:shared][None].astype(np.int32)) if shared else None
    return LossBatch(numbers, mx.array(inputs), targets, loss_mask, prefix)


def evaluate(
    model: nn.Module, rows: list[LossBatch], report: Callable[[], object]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the loss of each trained token in nats, and its most likely prediction, row by row. Report each batch."""
    problem = sharing_problem(model, rows)
    if problem:
        print(f"punie-build: prefixes are computed with every row: {problem}", flush=True)
    losses: dict[int, NDArray[np.float32]] = {}
    predictions: dict[int, NDArray[np.uint32]] = {}
    for batch in rows:
        for part in [batch] if batch.prefix is None or not problem else _apart(batch):
            results = _results(model, part)
            mx.eval(results)
            of_tokens, of_words = np.array(results[0]), np.array(results[1])
            for index, number in enumerate(part.numbers):
                losses[number] = of_tokens[index][part.loss_mask[index]]
                predictions[number] = of_words[index][part.loss_mask[index]]
        report()
    order = sorted(losses)
    return np.concatenate([losses[number] for number in order]), np.concatenate([predictions[n] for n in order])


def sharing_problem(model: nn.Module, rows: list[LossBatch]) -> str:
    """Return why a model cannot compute the longest prefix of these rows once, or an empty string: it is tried out."""
    shared = [batch for batch in rows if batch.prefix is not None]
    if not shared:
        return ""
    longest = max(shared, key=lambda batch: 0 if batch.prefix is None else batch.prefix.size)
    first = _first(longest, 2)

    def trial() -> str:
        alone = mx.concatenate([_results(model, part)[0] for part in _apart(first)])
        expected = alone[:, -first.inputs.shape[1] :]
        gap = float(np.abs(np.array(expected - _results(model, first)[0]))[first.loss_mask].max())
        return "" if gap <= TOLERANCE else f"a loss differs by {gap:.1e} nats"

    return shared_prefix.try_out(model, trial)


def _results(model: nn.Module, batch: LossBatch) -> tuple[mx.array, mx.array]:
    """Return the losses (rows, length) of a batch in nats, and the most likely predictions."""
    cache = None
    if (prefix := batch.prefix) is not None:
        cache = shared_prefix.prefix_caches(model, lambda records: model(prefix, cache=records), prefix.shape[1])
    logits = model(batch.inputs, cache=cache).astype(mx.float32)
    return nn.losses.cross_entropy(logits, mx.array(batch.targets)), logits.argmax(-1)


def _apart(batch: LossBatch) -> list[LossBatch]:
    """Return the rows of a batch one by one, each with the prefix before it."""
    assert batch.prefix is not None
    shared, parts = batch.prefix.shape[1], []
    for index, number in enumerate(batch.numbers):
        row = slice(index, index + 1)
        inputs = mx.concatenate([batch.prefix, batch.inputs[row]], axis=1)
        before = ((0, 0), (shared, 0))
        parts.append(
            LossBatch([number], inputs, np.pad(batch.targets[row], before), np.pad(batch.loss_mask[row], before))
        )
    return parts


def _first(batch: LossBatch, count: int) -> LossBatch:
    """Return the first rows of a batch."""
    inputs, targets, loss_mask = batch.inputs[:count], batch.targets[:count], batch.loss_mask[:count]
    return LossBatch(batch.numbers[:count], inputs, targets, loss_mask, batch.prefix)


def mean(losses: NDArray[np.float32]) -> float:
    """Return the mean of losses."""
    return float(losses.mean(dtype=np.float64))
