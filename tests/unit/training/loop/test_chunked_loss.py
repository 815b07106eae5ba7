"""The loss in chunks has the loss and the gradients of the plain one, or is refused with a reason."""

from __future__ import annotations

import importlib

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import llama

from punie_build.training.loop import chunked_loss
from punie_build.training.loop.chunked_loss import ChunkedLoss
from punie_build.training.loop.lora import apply_adapter
from punie_build.training.loop.sparse_logits import SparseLogits
from tests.support import tiny_bases
from tests.support.tiny_training import LLAMA, spec

IDS = mx.array([3, 17, 5, 60, 2, 9, 9, 41, 33, 7, 12, 58, 4, 21, 30, 8])


def adapted(name: str, **changes: object) -> SparseLogits:
    module = importlib.import_module(f"mlx_lm.models.{name}")
    mx.random.seed(4)
    model = module.Model(module.ModelArgs.from_dict(tiny_bases.config(name) | changes))
    apply_adapter(model, spec())
    model.eval()  # as a base is when it is tried
    return SparseLogits(model, IDS)


# tied and untied embeddings, a soft cap, a scale, a bias, a model within a model, experts
@pytest.mark.parametrize("name", ["llama", "gemma2", "cohere", "phi", "qwen3_vl", "granitemoe", "minicpm"])
@pytest.mark.slow
def test_chunks_have_the_loss_and_gradients_of_the_plain_loss(name):
    assert chunked_loss.problem(adapted(name), IDS) == ""


def test_chunks_agree_with_a_quantized_head_and_untied_embeddings():
    sparse = adapted("llama", tie_word_embeddings=False)
    nn.quantize(sparse.model, group_size=32, class_predicate=lambda path, _: path in ("lm_head", "model.embed_tokens"))
    assert chunked_loss.problem(sparse, IDS) == ""


def test_a_head_with_trained_weights_is_not_chunked():
    sparse = adapted("llama", tie_word_embeddings=False)
    sparse.model.lm_head.unfreeze()
    assert chunked_loss.problem(sparse, IDS) == "its head is trained"


def test_a_head_that_is_wrong_on_chunks_is_refused_with_the_gap_and_the_loss_stays_whole():
    class Centered(llama.Model):
        """Its logits depend on how many positions are computed together."""

        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            logits: mx.array = super().__call__(inputs, cache=cache)
            return logits * (1.0 if inputs.shape[1] != 10 else 1.01)

    model = Centered(llama.ModelArgs.from_dict(LLAMA))
    apply_adapter(model, spec())
    loss = ChunkedLoss(SparseLogits(model, IDS), whole=0)
    assert "its gradients differ from a plain batch by" in loss.try_out(24, IDS)
    assert not loss.applies(10**6)


@pytest.mark.slow
def test_a_large_batch_peaks_at_a_fraction_of_its_logits():
    sparse = adapted("llama", vocab_size=40_000)
    sparse.model.train()
    inputs = mx.random.randint(0, 40_000, (1, 128))
    positions, targets, weights = mx.arange(128), inputs[0], mx.ones(128)
    peaks, results = [], []
    for whole in (2**30, 2**20):
        loss = ChunkedLoss(sparse, whole, chunk=2**19)
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        value = nn.value_and_grad(sparse.model, lambda _, loss=loss: loss(inputs, positions, None, targets, weights)[0])
        results.append(value(sparse.model))
        mx.eval(results[-1])
        peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < peaks[0] / 4
    (plain, expected), (chunked, gradients) = results
    assert mx.allclose(plain, chunked, rtol=1e-5)
    for (name, array), (_, other) in zip(tree_flatten(expected), tree_flatten(gradients), strict=True):
        assert mx.abs(array - other).max() <= 1e-4 * mx.abs(array).max(), name


def test_validation_in_chunks_counts_the_correct_tokens():
    sparse = adapted("llama")
    batch = (IDS[None], mx.arange(IDS.size), None, mx.array(sparse(IDS[None], mx.arange(IDS.size)).argmax(-1)))
    results = [ChunkedLoss(sparse, whole, chunk=5 * 2048)(*batch, mx.ones(IDS.size)) for whole in (2**30, 0)]
    assert results[0][1].item() == results[1][1].item() == IDS.size
    assert mx.allclose(results[0][0], results[1][0], rtol=1e-5)
