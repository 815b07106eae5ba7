"""Losses that compare the wanted and the rejected answer of a pair.

DPO (Rafailov et al. 2023, arXiv 2305.18290) compares the log-probabilities of both answers with those of a reference,
the model that the training starts from. ORPO (Hong et al. 2024, arXiv 2403.07691) adds the odds ratio of both answers
to the loss of the wanted one, whose tokens are those of the answer. A prompt is never trained.
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from punie_build.training.loop.collate import Batch
from punie_build.training.spec import Adapter

MOST = -1e-6  # nats per token: an answer of probability 1 has infinite odds
TIE = 1e-5  # a margin below is rounding: before a training with DPO all are


def answer_log_probabilities(batch: Batch, nats: mx.array) -> tuple[mx.array, mx.array]:
    """Return the log-probabilities (pairs, 2) of both answers of each pair in nats, and their numbers of tokens.

    `nats` (trained,) are the losses of the trained tokens.
    """
    sequences, length = batch.inputs.shape
    of_sequence = (batch.positions // length)[None] == mx.arange(sequences)[:, None]
    # a rank without rows has weights of 0, and divides by no number of tokens
    present = of_sequence * batch.weights[None]
    return -(present * nats[None]).sum(1).reshape(-1, 2), mx.maximum(present.sum(1), 1).reshape(-1, 2)


def pair_losses(spec: Adapter, batch: Batch, nats: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """Return sums over the pairs of a batch: of the losses, of the pairs whose wanted answer has the higher reward, and
    of the differences of the rewards. `nats` are as above."""
    sums, counts = answer_log_probabilities(batch, nats)
    if spec.loss == "dpo":
        assert batch.reference is not None, "DPO is given the log-probabilities of its reference"
        losses, margins = dpo(sums, batch.reference, spec.beta)
    else:
        losses, margins = orpo(sums / counts, spec.beta)
    weights = batch.pair_weights
    assert weights is not None, "the rows are pairs"
    return (losses * weights).sum(), ((margins > TIE) * weights).sum(), (margins * weights).sum()


def dpo(sums: mx.array, reference: mx.array, beta: float) -> tuple[mx.array, mx.array]:
    """Return the loss (pairs,) and the margin (pairs,) of the rewards, from summed log-probabilities (pairs, 2)."""
    rewards = beta * (sums - reference)
    margins = rewards[:, 0] - rewards[:, 1]
    return -nn.log_sigmoid(margins), margins


def orpo(means: mx.array, beta: float) -> tuple[mx.array, mx.array]:
    """Return the loss (pairs,) and the margin (pairs,) of the rewards, from mean log-probabilities (pairs, 2)."""
    means = mx.minimum(means, MOST)
    odds = means - mx.log(-mx.expm1(means))  # the logarithms of p / (1 - p)
    losses = -means[:, 0] - beta * nn.log_sigmoid(odds[:, 0] - odds[:, 1])
    return losses, beta * (means[:, 0] - means[:, 1])
