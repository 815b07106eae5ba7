"""NEFTune (Jain et al. 2023, arXiv 2310.05914): noise on the embeddings of a training batch.

Each number of an embedding gets uniform noise between plus and minus `alpha` divided by the root of the numbers in its
sequence, padding included. The noise comes from mlx's generator, which the loop seeds at every batch, so that a resumed
training draws the same. Validation has none.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn


def install(model: nn.Module, alpha: float) -> str:
    """Add noise to the embeddings of a model while it trains. Returns why that has no effect, or an empty string."""
    embeddings = [
        module for _, module in model.named_modules() if isinstance(module, nn.Embedding | nn.QuantizedEmbedding)
    ]
    if not embeddings:
        return "it has no embeddings of tokens"
    embedding: Any = max(embeddings, key=lambda module: module.weight.shape[0])  # of the vocabulary
    embedding.__class__ = _noisy_subclass(type(embedding), alpha)
    inputs = mx.array([[1, 2, 3]])
    model.eval()
    plain = model(inputs)
    model.train()
    mx.random.seed(0)
    noisy = model(inputs)
    model.eval()
    return "" if mx.any(noisy != plain).item() else "its embeddings do not reach its logits"


def _noisy_subclass(embedding: type, alpha: float) -> type:
    class Noisy(embedding):  # type: ignore[misc]
        def __call__(self, ids: mx.array) -> mx.array:
            output: mx.array = super().__call__(ids)
            if not self.training:
                return output
            magnitude = alpha / (output.shape[-2] * output.shape[-1]) ** 0.5
            return output + mx.random.uniform(-magnitude, magnitude, output.shape).astype(output.dtype)

    return Noisy
