"""Cross-entropy over the logits of one chunk of positions at a time.

The logits of a batch are its largest array where all tokens are trained, or the vocabulary is large: 2,048 positions
and 150,000 words are 1.2 GB, five times over in a backward pass. Here a chunk's logits are computed by the model's own
head, and their gradient at once, in the forward pass: the softmax minus the target, which the head maps back to hidden
states. Only that gradient is held. It is that of each token's own loss, so that losses of pairs, whose gradients depend
on the sums over answers, are computed in chunks too. The chunks wait for each other, so that mlx does not compute them
side by side.

The head's own weights get no gradient, because no recipe trains them. `problem` tests a model against the plain loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from punie_build.training.loop import gradient_trial
from punie_build.training.loop.sparse_logits import SparseLogits

CHUNK = 2**24  # logits of a chunk, 64 MB: fewer positions would read the head's weights too often
WHOLE = 2**26  # logits up to which a batch is computed at once, as it always was: 256 MB, 1.3 GB with its gradients
NEVER = 2**62
TRIAL_POSITIONS = 24
VALUE_TOLERANCE = 1e-3  # nats of one token: products of other sizes are summed in another order


class ChunkedLoss:
    """The loss of a model on batches, in chunks where a batch has more than `whole` logits.

    `chunk` is the number of logits of a chunk. A model in training has its gradient computed with them, and no tokens
    counted.
    """

    def __init__(self, sparse_model: SparseLogits, whole: int = WHOLE, chunk: int = CHUNK) -> None:
        self.sparse_model, self.whole, self.chunk = sparse_model, whole, chunk

    def __call__(
        self, inputs: mx.array, positions: mx.array, cache: object, targets: mx.array, weights: mx.array
    ) -> tuple[mx.array, mx.array]:
        """Return the summed loss in nats, and the number of correct tokens: 0 for chunks of a model in training."""
        model = self.sparse_model
        if not self.applies(positions.size):
            return whole_loss(model(inputs, positions, cache), targets, weights)
        return self.of_chunks(inputs, positions, cache, targets, weights, in_training=model.model.training)

    def of_chunks(
        self,
        inputs: mx.array,
        positions: mx.array,
        cache: object,
        targets: mx.array,
        weights: mx.array,
        *,
        in_training: bool,
    ) -> tuple[mx.array, mx.array]:
        """Return the loss and the number of correct tokens in chunks."""
        model = self.sparse_model
        hidden = model.hidden_states(inputs, positions, cache)
        size = max(1, self.chunk // model.vocabulary)
        loss = correct = last = mx.array(0.0)
        for start in range(0, positions.size, size):
            span = slice(start, start + size)
            [states] = mx.depends([hidden[:, span]], [last])
            if in_training:
                part = (_nats_with_gradient(model.head, states, targets[span]) * weights[span]).sum()
                last = part
            else:
                part, right = whole_loss(model.head(states), targets[span], weights[span])
                correct = correct + right
                last = correct
            loss = loss + part
        return loss, correct

    def nats(self, inputs: mx.array, positions: mx.array, targets: mx.array, cache: object = None) -> mx.array:
        """Return the loss (positions,) of each token in nats, in chunks where `applies` says so."""
        model = self.sparse_model
        if not self.applies(positions.size):
            at_once: mx.array = nn.losses.cross_entropy(model(inputs, positions, cache), targets)
            return at_once
        hidden, parts, last = model.hidden_states(inputs, positions, cache), [], mx.array(0.0)
        size = max(1, self.chunk // model.vocabulary)
        for start in range(0, positions.size, size):
            span = slice(start, start + size)
            [states] = mx.depends([hidden[:, span]], [last])
            if model.model.training:
                last = _nats_with_gradient(model.head, states, targets[span])
            else:
                last = nn.losses.cross_entropy(model.head(states), targets[span])
            parts.append(last)
        return mx.concatenate(parts)

    def try_out(self, positions: int, ids: mx.array) -> str:
        """Test the model on token ids `ids` (length,) if a batch of so many positions would be chunked.

        Returns an empty string, or why the loss is computed at once all the same.
        """
        if positions * self.sparse_model.vocabulary <= self.whole:
            return ""
        if reason := problem(self.sparse_model, ids):
            self.whole = NEVER
        return reason

    def try_values(self, ids: mx.array) -> None:
        """Compute the loss of token ids (length,) at once and in chunks, and never in chunks if their values differ."""
        positions = mx.arange(min(TRIAL_POSITIONS, ids.size - 1))
        inputs, targets = ids[None, :-1], ids[1:][positions]
        in_chunks = ChunkedLoss(self.sparse_model, 0, self.sparse_model.vocabulary * 10)
        at_once = ChunkedLoss(self.sparse_model, NEVER)
        try:
            expected, result = (loss.nats(inputs, positions, targets) for loss in (at_once, in_chunks))
            differs = bool(mx.abs(expected - result).max() > VALUE_TOLERANCE)
        except Exception:  # a head with its own idea of its inputs may fail in any way
            differs = True
        if differs:
            self.whole = NEVER

    def applies(self, positions: int) -> bool:
        """Return whether the loss at so many positions is computed in chunks."""
        return positions * self.sparse_model.vocabulary > self.whole and self.sparse_model.sparse


def whole_loss(logits: mx.array, targets: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
    """Return the summed loss of logits (positions, vocabulary) in nats, and the number of correct tokens."""
    nats = nn.losses.cross_entropy(logits, targets)
    return (nats * weights).sum(), ((logits.argmax(-1) == targets) * weights).sum()


def _nats_with_gradient(head: Callable[[mx.array], mx.array], hidden: mx.array, targets: mx.array) -> mx.array:
    """Return the loss (positions,) of hidden states (1, positions, width), whose gradient is computed with it."""

    def compute(hidden: mx.array) -> tuple[mx.array, mx.array]:
        logits = head(hidden)
        picked = mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
        nats = mx.logsumexp(logits, axis=-1) - picked
        difference = mx.softmax(logits, axis=-1)
        difference = difference.at[mx.arange(targets.size), targets].add(-1)
        _, [gradient] = mx.vjp(head, [hidden], [difference])
        return nats, gradient

    function: Any = mx.custom_function(compute)
    function.vjp(lambda _, cotangents, outputs: (outputs[1] * cotangents[0][None, :, None],))
    nats: mx.array = function(hidden)[0]
    return nats


def problem(sparse_model: SparseLogits, ids: mx.array) -> str:
    """Return why the loss of this model cannot be computed in chunks exactly, or an empty string.

    Compares loss and gradients on the token ids `ids` (length,) with those of the plain loss.
    """
    if not sparse_model.sparse:
        return "its head cannot be separated from its layers"
    model, positions = sparse_model.model, mx.arange(min(TRIAL_POSITIONS, ids.size - 1))
    assert sparse_model.backbone is not None
    inside = {id(array) for _, array in tree_flatten(sparse_model.backbone.trainable_parameters())}
    if any(id(array) not in inside for _, array in tree_flatten(model.trainable_parameters())):
        return "its head is trained"
    inputs, targets, weights = ids[None, :-1], ids[1:][positions], mx.ones(positions.size)

    def plain(_: nn.Module) -> mx.array:
        return whole_loss(sparse_model(inputs, positions), targets, weights)[0]

    def chunked(_: nn.Module) -> mx.array:
        return ChunkedLoss(sparse_model, 0, chunk).of_chunks(
            inputs, positions, None, targets, weights, in_training=True
        )[0]

    chunk = sparse_model.vocabulary * 10
    try:
        return gradient_trial.problem(model, plain, chunked)
    except Exception as error:  # a head with its own idea of its inputs may fail in any way
        return f"its head cannot be computed in chunks ({type(error).__name__}: {error})"
