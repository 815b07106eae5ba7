"""A shared prefix gives the loss and the gradients of plain batches, or is refused with a reason."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import ClassVar

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text, llama, mamba2
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build.training import launch, token_file
from punie_build.training.loop import peak_memory, shared_prefix
from punie_build.training.loop.collate import collate
from punie_build.training.loop.shared_prefix import checkpoint_layers, prefix_caches
from punie_build.training.loop.trainer import Trainer
from punie_build.training.memory_ladder import Rung
from punie_build.training.spec import Lora
from punie_build.training.tokenization import TokenizedRow
from tests.support import tiny_bases, tiny_training
from tests.support.tiny_training import GEMMA, LLAMA, MAMBA, spec, train


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


def test_recomputed_layers_that_share_keys_keep_their_gradients(rows):
    """Layers of gemma4 give their keys and values to later layers, in a tuple, beside those that a prefix records."""
    module = importlib.import_module("mlx_lm.models.gemma4_text")
    model = adapted(module, tiny_bases.config("gemma4_text"))
    original = module.DecoderLayer.__call__
    try:
        checkpoint_layers(model.layers[0])
        assert shared_prefix.problem(model, rows, 16) == ""
    finally:
        module.DecoderLayer.__call__ = original


class Leaky(llama.TransformerBlock):
    """A layer that adds the output of the layer before it, which it finds beside its arguments."""

    outputs: ClassVar[list[mx.array]] = []

    def __call__(self, x: mx.array, mask: object = None, cache: object = None) -> mx.array:
        output: mx.array = super().__call__(x, mask, cache)
        if self.outputs and self.is_last:
            return output + self.outputs[-1]
        self.outputs.append(output)
        return output


def test_a_rung_leaves_checkpointing_out_where_it_loses_gradients(inputs, tmp_path, capsys):
    model = adapted(llama, LLAMA)
    for layer in model.layers:
        layer.__class__ = Leaky
        layer.is_last = layer is model.layers[-1]
    rows = {split: token_file.load(inputs / f"tokens/{split}.safetensors") for split in ("train", "valid")}
    trainer = Trainer(model, rows, spec(batching="prefix"), tmp_path, tiny_training.ignore)
    original = Leaky.__call__
    try:
        peak_memory.apply(trainer, Rung(grad_checkpoint=True))
        assert Leaky.__call__ is original
    finally:
        Leaky.__call__ = original
        Leaky.outputs.clear()
    assert "punie-build: b: gradient checkpointing is left out: its " in capsys.readouterr().out


def test_the_ranks_of_a_batch_compute_its_prefix_each_with_the_gradients_of_all_rows(inputs, tmp_path):
    """Three rows on two ranks, and on four, of which the last has none."""
    adapter = spec(batching="prefix", batch_size=3)
    rows = {split: token_file.load(inputs / f"tokens/{split}.safetensors") for split in ("train", "valid")}
    trainer = Trainer(adapted(llama, LLAMA), rows, adapter, tmp_path, tiny_training.ignore)
    sampler = trainer.samplers["train"]
    batches = sampler.epoch(rows["train"].input_lengths, 0)
    batch = next(batch for batch in batches if len(batch) == 3 and sampler.shared(batch) > 64)

    def results(ranks: int) -> dict[str, mx.array]:
        shares = [collate(rows["train"], batch, rank, ranks, sampler.shared(batch)) for rank in range(ranks)]
        assert all(share.prefix is not None for share in shares)
        found = [trainer.loss_and_gradients(trainer.model, share, False) for share in shares]
        sums = [dict(tree_flatten(gradients)) | {"loss": loss} for (loss, *_), gradients in found]
        return {name: sum(each[name] for each in sums) for name in sums[0]}

    whole = results(1)
    for ranks in (2, 4):
        shared = results(ranks)
        assert shared["loss"].item() == pytest.approx(whole["loss"].item(), rel=1e-5)
        assert distance(whole, shared) < 1e-5


@pytest.mark.nightly
def test_two_ranks_share_prefixes_with_the_losses_of_one(inputs, tmp_path):
    """With mlx's own launcher on loopback."""
    adapter = spec(batching="prefix", iters=6)
    launch.train(tiny_training.training_run(inputs, tmp_path, spec(batching="prefix", iters=6, ranks=2)))
    both = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    losses = [
        [event["loss"] for event in tiny_training.events(files, "valid")]
        for files in (both, train(inputs, tmp_path / "single", adapter))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert tiny_training.events(both, "end")[0]["shared"] > 0


def test_dropout_is_a_mistake_of_the_recipe():
    with pytest.raises(ValueError, match="dropout would be drawn once for all rows of a batch"):
        spec(batching="prefix", lora=Lora(dropout=0.1))
