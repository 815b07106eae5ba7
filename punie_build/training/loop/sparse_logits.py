"""Compute logits only at positions where the loss mask is set.

A sixth of a conversation is trained, and the head, which maps a hidden state to a logit for each token of the
vocabulary, is a large part of a small model. The models of mlx-lm have a backbone that holds the layers and returns
hidden states, and their heads accept any number of these. The backbone is therefore given a subclass that returns the
selected positions only; no code and no parameter name changes. The constructor tests that the model gives the same
logits, and falls back to all positions otherwise. The same subclass separates the head: given hidden states, it returns
them in place of its layers, and the model's own code maps them to logits.
"""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

TOLERANCE = 1e-4  # relative to the largest logit: products of other sizes are summed in another order


class SparseLogits:
    """A model that returns the logits at `positions` of the flattened input: (positions, vocabulary)."""

    def __init__(self, model: nn.Module, trial: mx.array) -> None:
        """Select sparse logits if they agree with full logits on the token ids `trial` (length,)."""
        self.model, self.positions = model, mx.array([0])
        modules = (module for _, module in model.named_modules() if module is not model)
        self.backbone = next((module for module in modules if _has_layers(module, model)), None)
        self.sparse = False
        self.vocabulary = self.width = 0  # of the logits, and of the hidden states
        self.given: mx.array | None = None  # hidden states to return in place of the layers' own
        self.selected: list[mx.array] | None = None  # takes the hidden states of a call, if it is a list
        if self.backbone is not None:
            self._enable_if_exact(trial)

    def __call__(self, inputs: mx.array, positions: mx.array, cache: object = None) -> mx.array:
        self.positions = positions
        logits: mx.array = self.model(inputs, cache=cache)
        if not self.sparse:
            logits = logits.reshape(-1, logits.shape[-1])[positions]
        return logits.reshape(-1, logits.shape[-1]).astype(mx.float32)

    def hidden_states(self, inputs: mx.array, positions: mx.array, cache: object = None) -> mx.array:
        """Return the hidden states (1, positions, width) that the head maps to the logits."""
        self.selected = []
        self(inputs, positions, cache)  # mlx is lazy: these logits are never computed
        [hidden], self.selected = self.selected, None
        return hidden

    def head(self, hidden: mx.array) -> mx.array:
        """Return the logits (positions, vocabulary) of hidden states (1, positions, width)."""
        self.given = hidden
        try:
            logits: mx.array = self.model(mx.zeros(hidden.shape[:2], mx.int32))
        finally:
            self.given = None
        return logits.reshape(-1, logits.shape[-1]).astype(mx.float32)

    def _enable_if_exact(self, trial: mx.array) -> None:
        positions = mx.array([trial.size - 1, 0, trial.size // 2])
        full = self(trial[None], positions)
        self.vocabulary = full.shape[-1]
        original = type(self.backbone)
        self.backbone.__class__ = _selecting_subclass(original, self)
        self.sparse = True
        try:
            sparse = self(trial[None], positions)
            same = sparse.shape == full.shape and mx.abs(sparse - full).max() <= TOLERANCE * mx.abs(full).max()
        except Exception:  # a model that depends on the shape of its hidden states may fail in any way
            same = False
        if not same:
            self.backbone.__class__, self.sparse = original, False


def _has_layers(module: nn.Module, model: nn.Module) -> bool:
    layers = module.get("layers")
    return isinstance(layers, list) and bool(layers) and layers[0] is model.layers[0]


def _selecting_subclass(backbone: type, owner: SparseLogits) -> type:
    class Selecting(backbone):  # type: ignore[misc]
        def __call__(self, *arguments: object, **keywords: object) -> mx.array:
            if owner.given is not None:
                return owner.given
            hidden: mx.array = super().__call__(*arguments, **keywords)
            owner.width = hidden.shape[-1]
            hidden = hidden.reshape(1, -1, hidden.shape[-1])[:, owner.positions]
            if owner.selected is not None:
                owner.selected.append(hidden)
            return hidden

    return Selecting
