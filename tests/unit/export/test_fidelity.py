"""The share of an adapter's gain that a model retains."""

from __future__ import annotations

import numpy as np
import pytest

from punie_build.export import fidelity
from punie_build.export.fidelity import gain_retained
from punie_build.training import token_file, token_loss
from tests.support import tiny_training


def test_a_model_retains_a_share_of_a_gain_above_the_noise():
    base = np.linspace(1, 3, 100, dtype=np.float32)
    assert gain_retained(base, base - 1, base - 0.9) == pytest.approx(0.9, rel=1e-5)


@pytest.mark.parametrize("gain", [0.0001, 0.0, -0.5])
def test_no_share_is_given_of_a_gain_within_its_noise(gain):
    base = np.linspace(1, 3, 87, dtype=np.float32)
    adapter = base - gain + np.where(np.arange(87) % 2, 0.1, -0.1).astype(np.float32)
    assert gain_retained(base, adapter, base - 2) is None


def test_base_and_adapter_are_measured_once_for_all_models(tmp_path):
    tiny_training.write_inputs(tmp_path)
    tiny_training.train(tmp_path, tmp_path / "run", tiny_training.spec(iters=1))
    adapter, base, known = tmp_path / "run" / "out", tmp_path / "base", tmp_path / "fidelity" / "key.safetensors"
    rows = token_loss.batches(token_file.load(tmp_path / "tokens" / "valid.safetensors"), 4)
    counts: list[tuple[int, int]] = []
    first = fidelity.measure(base, adapter, base, rows, known, lambda *count: counts.append(count))
    assert (first.loss, counts[-1]) == (first.loss_base, (3 * len(rows), 3 * len(rows)))
    counts.clear()
    absent = tmp_path / "absent"
    assert fidelity.measure(absent, absent, base, rows, known, lambda *count: counts.append(count)) == first
    assert counts[-1] == (len(rows), len(rows))
    known.write_bytes(known.read_bytes()[:-9])
    assert fidelity.measure(base, adapter, base, rows, known) == first, "a damaged file is measured anew"


def test_at_most_so_many_rows_are_measured(tmp_path):
    tiny_training.write_inputs(tmp_path)
    rows = token_file.load(tmp_path / "tokens" / "valid.safetensors")
    assert sum(len(batch.numbers) for batch in token_loss.batches(rows, 3)) == 3
    assert sum(len(batch.numbers) for batch in token_loss.batches(rows, 512)) == len(rows)
