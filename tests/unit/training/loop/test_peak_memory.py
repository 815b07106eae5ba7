"""The peak of a step is predicted, and the ladder is climbed until it fits."""

from __future__ import annotations

import sys

import pytest
from mlx_lm.models import llama

from punie_build.runtime import machine_memory
from punie_build.training import token_file
from punie_build.training.loop import gated_delta, peak_memory
from punie_build.training.loop.lora import apply_adapter, load_trainable
from punie_build.training.loop.peak_memory import LargestBatch
from punie_build.training.loop.trainer import Trainer
from punie_build.training.memory_ladder import MemoryReport
from tests.support import tiny_bases
from tests.support.tiny_training import LLAMA, events, ignore, spec, train


def trainer(inputs, folder, **changes) -> Trainer:
    adapter = spec(**changes)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    apply_adapter(model, adapter)
    rows = {split: token_file.load(inputs / f"tokens/{split}.safetensors") for split in ("train", "valid")}
    return Trainer(model, rows, adapter, folder, ignore)


@pytest.mark.parametrize(("sequences", "length"), [(2, 256), (4, 192)])
def test_the_peak_of_a_batch_is_predicted_from_one_row(inputs, tmp_path, sequences, length):
    tried = trainer(inputs, tmp_path)
    predicted = peak_memory.predict(tried, LargestBatch(sequences=sequences, length=length, trained=0.34))
    assert predicted == pytest.approx(peak_memory.measure(tried, length, 0.34, sequences), rel=0.15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.rope_scaling. is deprecated")  # by the configuration that mlx-lm reads
@pytest.mark.parametrize(
    "name", ["kimi_linear", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("qwen3_5", "qwen3_next"))]
)
def test_the_peak_of_a_hybrid_is_predicted_with_its_recurrent_state(inputs, tmp_path, name):
    """The rule in chunks holds the states between segments of 128 positions, and recomputes the rest."""
    tiny_bases.write_base(tmp_path / "base", name)
    rows = {split: token_file.load(inputs / f"tokens/{split}.safetensors") for split in ("train", "valid")}
    model, _ = load_trainable(spec(), str(tmp_path / "base"), len(rows["train"]))
    modules = {sys.modules[type(layer).__module__] for _, layer in model.named_modules()}
    users = [module for module in modules if hasattr(module, "gated_delta_update")]
    assert users
    try:
        assert gated_delta.install(model) == ""
        tried = Trainer(model, rows, spec(), tmp_path, ignore)
        predicted = peak_memory.predict(tried, LargestBatch(sequences=3, length=256, trained=0.34))
        assert predicted == pytest.approx(peak_memory.measure(tried, 256, 0.34, 3), rel=0.15)
    finally:
        for module in users:
            module.gated_delta_update = gated_delta.ORIGINAL


def test_the_largest_batch_counts_padding_and_a_prefix_once(inputs, tmp_path):
    assert peak_memory.largest_batch(trainer(inputs, tmp_path)) == LargestBatch(
        sequences=4, length=64, trained=pytest.approx(1 / 3, abs=0.05)
    )
    assert peak_memory.largest_batch(trainer(inputs, tmp_path, batching="pack", batch_tokens=128)).length == 128


def test_a_large_memory_leaves_the_training_as_it_is(inputs, tmp_path):
    reports: list[MemoryReport] = []
    peak_memory.settle(trainer(inputs, tmp_path), 0, reports.append)
    assert [(report.rung, report.predicted) for report in reports] == [(0, 0)]


def test_a_limit_below_the_weights_and_a_layer_is_refused_with_the_number(inputs, tmp_path, monkeypatch):
    monkeypatch.setenv(machine_memory.VARIABLE, "0.01")
    with pytest.raises(SystemExit, match=r"one layer of a row of 64 tokens needs \d+\.\d+ GiB, and PUNIE_BUILD_MEMORY"):
        peak_memory.settle(trainer(inputs, tmp_path), 0, ignore)


def test_the_last_rung_has_the_losses_of_the_first_a_row_at_a_time(inputs, tmp_path):
    """Equal weight for all tokens, whatever the part of a batch that is computed at a time."""
    plain = train(inputs, tmp_path / "plain", spec())
    climbed = train(inputs, tmp_path / "climbed", spec(), rung=4)
    losses = [[event["loss"] for event in events(files, "valid")] for files in (plain, climbed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_exact_rung_gives_the_same_bytes(inputs, tmp_path):
    assert train(inputs, tmp_path / "plain", spec()) == train(inputs, tmp_path / "climbed", spec(), rung=1)
