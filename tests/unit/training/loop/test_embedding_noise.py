from __future__ import annotations

import mlx.core as mx
import pytest

from punie_build.training.loop import embedding_noise
from punie_build.training.loop.lora import load_trainable
from tests.support.tiny_training import events, spec, train


def test_noise_has_the_published_size_and_validation_has_none(inputs):
    model, _ = load_trainable(spec(), str(inputs / "base"), 21)
    embedding = model.model.embed_tokens
    ids = mx.array([list(range(40))] * 3)
    plain = embedding(ids)
    assert embedding_noise.install(model, 5.0) == ""
    assert mx.array_equal(embedding(ids), plain), "a validation has no noise"
    model.train()
    noise = embedding(ids) - plain
    largest = 5 / (40 * 32) ** 0.5
    assert 0.98 * largest < mx.abs(noise).max().item() <= largest
    assert mx.var(noise).item() == pytest.approx(largest**2 / 3, rel=0.1)
    assert mx.array_equal(embedding.as_linear(plain), plain @ embedding.weight.T), "the head has no noise"


def test_a_killed_training_with_noise_resumes_to_equal_bytes(inputs, tmp_path):
    adapter = spec(neftune_noise_alpha=5.0, iters=5)
    whole, plain = train(inputs, tmp_path / "whole", adapter), train(inputs, tmp_path / "plain", spec(iters=5))
    assert train(inputs, tmp_path / "killed", adapter, 9) == whole
    assert whole["adapters.safetensors"] != plain["adapters.safetensors"]
    assert events(whole, "valid")[0] == events(plain, "valid")[0]
