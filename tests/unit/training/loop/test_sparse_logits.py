from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama

from punie_build.training.loop.sparse_logits import SparseLogits
from tests.support.tiny_training import (
    LLAMA,
)


@pytest.mark.parametrize("tied", [True, False])
def test_sparse_logits_are_the_full_logits_at_their_positions(tied):
    mx.random.seed(3)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA | {"tie_word_embeddings": tied}))
    ids, positions = mx.random.randint(0, 64, (3, 20)), mx.array([0, 7, 19, 20, 59])
    full = model(ids).reshape(-1, 64)[positions]
    names = [name for name, _ in tree_flatten(model.parameters())]
    sparse = SparseLogits(model, ids[0])
    assert sparse.sparse
    assert mx.allclose(sparse(ids, positions), full, atol=1e-5)
    assert [name for name, _ in tree_flatten(model.parameters())] == names


class GlobalHead(nn.Module):
    """A model whose head depends on all positions at once, which rules out sparse logits."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(64, 8)
            self.layers = [nn.Linear(8, 8)]

        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            return self.layers[0](self.embed(inputs))

    def __init__(self) -> None:
        super().__init__()
        self.model = GlobalHead.Inner()

    @property
    def layers(self) -> list[nn.Module]:
        return self.model.layers

    def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
        hidden = self.model(inputs)
        return self.model.embed.as_linear(hidden - hidden.mean(axis=1, keepdims=True))


def test_a_model_without_sparse_logits_computes_all_positions():
    model = GlobalHead()
    ids, positions = mx.array([[1, 2, 3, 4, 5, 6]]), mx.array([1, 4])
    full = model(ids)[0][positions]
    sparse = SparseLogits(model, ids[0])
    assert not sparse.sparse
    assert mx.allclose(sparse(ids, positions), full)
