from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import gemma3_text, llama, mamba2

from punie_build.training import token_file
from punie_build.training.batch_sampler import BatchSampler
from punie_build.training.loop import sequence_packing
from punie_build.training.loop.collate import collate
from tests.support.tiny_training import (
    LLAMA,
    SIZES,
)


@pytest.mark.slow
def test_packed_rows_have_the_logits_of_single_rows(rows):
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    model.eval()
    assert sequence_packing.problem(model, rows) == ""
    sampler = BatchSampler(batching="pack", batch_tokens=128)
    batch = next(batch for batch in sampler.epoch(rows.lengths, 0) if len(batch[0]) > 2)
    arrays = collate(rows, batch)
    packed = model(arrays.inputs, cache=sequence_packing.packing_caches(model, arrays.segments))[0]
    start = 0
    for row in batch[0]:
        ids = rows.row(row)[0]
        assert mx.allclose(packed[start : start + len(ids) - 1], model(mx.array(ids[:-1])[None])[0], atol=1e-4)
        start += len(ids) - 1


def test_a_state_space_model_is_not_packed(rows):
    """Its state carries every token to all later tokens, across the border of two rows."""
    ssm = mamba2.ModelArgs(
        model_type="mamba2", num_heads=4, head_dim=16, vocab_size=64, hidden_size=32, intermediate_size=64,
        state_size=8, num_hidden_layers=2, layer_norm_epsilon=1e-5, conv_kernel=4, n_groups=1, use_bias=False,
        use_conv_bias=True, tie_word_embeddings=True, time_step_limit=(0.0, 100.0), time_step_rank=4,
    )  # fmt: skip
    model = mamba2.Model(ssm)
    model.eval()
    rows = token_file.TokenRows(
        ids=rows.ids[:24], loss_mask=rows.loss_mask[:24], ends=np.array([6, 12, 24]), lines=rows.lines[:3]
    )
    assert "its layers cannot be computed with a packed sequence" in sequence_packing.problem(model, rows)


@pytest.mark.slow
def test_packing_keeps_the_sliding_windows_of_a_model(rows):
    window = {"model_type": "gemma3_text", "head_dim": 16, "num_key_value_heads": 1, "sliding_window": 8}
    model = gemma3_text.Model(gemma3_text.ModelArgs.from_dict(SIZES | window | {"sliding_window_pattern": 2}))
    model.eval()
    assert sequence_packing.problem(model, rows) == ""


def test_packing_that_loses_gradients_is_found_though_its_loss_is_equal(rows):
    """A model that passes no gradient through its first layer where it is packed."""

    class Constant(llama.Model):
        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            logits: mx.array = super().__call__(inputs, cache=cache)
            return mx.stop_gradient(logits) * 0.5 + logits * 0.5 if cache else logits

    model = Constant(llama.ModelArgs.from_dict(LLAMA))
    assert "its gradients differ from a plain batch by" in sequence_packing.problem(model, rows)
