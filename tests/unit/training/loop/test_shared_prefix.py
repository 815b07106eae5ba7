"""A shared prefix gives the loss and the gradients of plain batches, or is refused with a reason."""

from __future__ import annotations

import random
from pathlib import Path

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, llama, mamba2
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build.training import token_file
from punie_build.training.loop import shared_prefix
from punie_build.training.loop.shared_prefix import checkpoint_layers, prefix_caches
from punie_build.training.spec import Lora
from punie_build.training.tokenization import TokenizedRow
from tests.support import tiny_training
from tests.support.tiny_training import LLAMA, spec, train

GEMMA = {
    "model_type": "gemma3_text",
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 64,
    "sliding_window": 24,
    "sliding_window_pattern": 3,
}
MAMBA = {
    "model_type": "mamba2",
    "num_heads": 4,
    "head_dim": 16,
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "state_size": 8,
    "num_hidden_layers": 2,
    "layer_norm_epsilon": 1e-5,
    "conv_kernel": 4,
    "n_groups": 1,
    "use_bias": False,
    "use_conv_bias": True,
    "tie_word_embeddings": True,
    "time_step_limit": [0.0, 100.0],
    "time_step_rank": 4,
}


def adapted(module, config) -> nn.Module:
    mx.random.seed(1)
    model = module.Model(module.ModelArgs.from_dict(config))
    model.freeze()
    linear_to_lora_layers(model, len(model.layers), {"rank": 2, "scale": 4.0, "dropout": 0.0})
    for _, layer in model.named_modules():
        if hasattr(layer, "lora_b"):
            layer.lora_b = mx.random.normal(layer.lora_b.shape) * 0.1
    return model


def gradients(model: nn.Module, start: int, *, shared: bool) -> dict[str, mx.array]:
    mx.random.seed(2)
    prefix = mx.random.randint(0, 64, (1, start))
    rows = mx.concatenate([mx.broadcast_to(prefix, (3, start)), mx.random.randint(0, 64, (3, 12))], axis=1)

    def loss(_model):
        if shared:
            caches = prefix_caches(model, lambda recorders: model(rows[:1, :start], cache=recorders), start)
            logits = model(rows[:, start:-1], cache=caches)
        else:
            logits = model(rows[:, :-1])[:, start:]
        return nn.losses.cross_entropy(logits, rows[:, start + 1 :]).sum()

    value, grads = nn.value_and_grad(model, loss)(model)
    return {"loss": value, **dict(tree_flatten(grads))}


def distance(first: dict[str, mx.array], second: dict[str, mx.array]) -> float:
    def norm(arrays):
        return sum((array**2).sum().item() for array in arrays) ** 0.5

    names = sorted(set(first) - {"loss"})
    return norm([first[name] - second[name] for name in names]) / norm([first[name] for name in names])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A base, and tokens of two systems prompts and of rows on their own."""
    folder = tmp_path_factory.mktemp("prefix")
    tiny_training.write_inputs(folder)
    randomness = random.Random(4)
    systems = [[randomness.randrange(64) for _ in range(length)] for length in (70, 90)]
    for split, count in (("train", 21), ("valid", 5)):
        writer = token_file.TokenWriter()
        for line in range(1, count + 1):
            system = systems[line % 2] if line % 7 else []
            ids = system + [randomness.randrange(64) for _ in range(randomness.choice((6, 11, 30)))]
            writer.add(line, TokenizedRow(ids, [index > len(system) + 1 for index in range(len(ids))]))
        writer.save(folder / f"tokens/{split}.safetensors")
    return folder


@pytest.mark.parametrize("module_config", [(llama, LLAMA), (gemma3_text, GEMMA)], ids=["llama", "gemma3"])
def test_loss_and_gradients_are_those_of_a_plain_batch(module_config):
    model = adapted(*module_config)
    plain, shared = (gradients(model, 40, shared=shared) for shared in (False, True))
    assert abs(plain["loss"] - shared["loss"]).item() < 1e-4 * plain["loss"].item()
    assert distance(plain, shared) < 1e-5


def test_recomputed_layers_keep_the_gradients_that_go_through_the_prefix():
    model = adapted(llama, LLAMA)
    plain = gradients(model, 40, shared=False)
    layer = type(model.layers[0])
    original = layer.__call__
    try:
        checkpoint_layers(model.layers[0])
        assert distance(plain, gradients(model, 40, shared=False)) < 1e-5
        assert distance(plain, gradients(model, 40, shared=True)) < 1e-5
        layer.__call__ = original
        grad_checkpoint(model.layers[0])
        assert distance(plain, gradients(model, 40, shared=True)) > 0.1, "if mlx-lm keeps them, use its own"
    finally:
        layer.__call__ = original


def test_a_model_that_only_has_keys_and_values_is_accepted(inputs):
    rows = token_file.load(inputs / "tokens/train.safetensors")
    model = adapted(llama, LLAMA)
    before = dict(tree_flatten(model.trainable_parameters()))
    assert shared_prefix.problem(model, rows) == ""
    assert all(mx.array_equal(value, before[name]) for name, value in tree_flatten(model.trainable_parameters()))
    assert shared_prefix.problem(adapted(gemma3_text, GEMMA), rows, window=24) == ""


def test_a_model_with_a_state_is_refused_with_the_reason(inputs):
    rows = token_file.load(inputs / "tokens/train.safetensors")
    assert "keep a state (ArraysCache)" in shared_prefix.problem(adapted(mamba2, MAMBA), rows)


def test_a_model_that_is_not_exact_is_refused_with_its_gap(inputs):
    class Imprecise(llama.Model):
        def __call__(self, inputs, cache=None):
            scale = 1.01 if cache and isinstance(cache[0], shared_prefix.PrefixedCache) else 1.0
            return super().__call__(inputs, cache) * scale

    mx.random.seed(1)
    model = Imprecise(llama.ModelArgs.from_dict(LLAMA))
    rows = token_file.load(inputs / "tokens/train.safetensors")
    assert "its gradients differ from a plain batch by" in shared_prefix.problem(model, rows)


@pytest.mark.slow
def test_a_training_validates_and_recomputes_like_one_with_plain_batches(inputs, tmp_path):
    original = llama.TransformerBlock.__call__
    changes = {
        "prefix": {"batching": "prefix"},
        "recomputed": {"batching": "prefix", "grad_checkpoint": True},
        "plain": {"batching": "bucket"},
    }
    losses = {}
    try:
        for name, fields in changes.items():
            files = train(inputs, tmp_path / name, spec(iters=8, **fields))
            losses[name] = [event["loss"] for kind in ("valid", "train") for event in tiny_training.events(files, kind)]
    finally:
        llama.TransformerBlock.__call__ = original
    assert losses["prefix"][0] == pytest.approx(losses["plain"][0], abs=1e-5)
    assert losses["prefix"] == pytest.approx(losses["recomputed"], abs=1e-4)
    assert losses["prefix"][1] < losses["prefix"][0]


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bytes_of_one_that_was_never_killed(inputs, tmp_path):
    adapter = spec(batching="prefix", batch_size=4, iters=9, save_every=2)
    assert train(inputs, tmp_path / "killed", adapter, 6, 5) == train(inputs, tmp_path / "straight", adapter)


def test_the_end_of_a_training_tells_the_shared_tokens(inputs, tmp_path):
    [end] = tiny_training.events(train(inputs, tmp_path, spec(batching="prefix", iters=6)), "end")
    assert end["shared"] > 0
    [plain] = tiny_training.events(train(inputs, tmp_path / "plain", spec(batching="bucket", iters=6)), "end")
    assert "shared" not in plain


def test_dropout_is_a_mistake_of_the_recipe():
    with pytest.raises(ValueError, match="dropout would be drawn once for all rows of a batch"):
        spec(batching="prefix", lora=Lora(dropout=0.1))
