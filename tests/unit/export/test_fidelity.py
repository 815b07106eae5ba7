"""The share of an adapter's gain that a model retains."""

from __future__ import annotations

import numpy as np
import pytest

from punie_build.export.fidelity import gain_retained


def test_a_model_retains_a_share_of_a_gain_above_the_noise():
    base = np.linspace(1, 3, 100, dtype=np.float32)
    assert gain_retained(base, base - 1, base - 0.9) == pytest.approx(0.9, rel=1e-5)


@pytest.mark.parametrize("gain", [0.0001, 0.0, -0.5])
def test_no_share_is_given_of_a_gain_within_its_noise(gain):
    base = np.linspace(1, 3, 87, dtype=np.float32)
    adapter = base - gain + np.where(np.arange(87) % 2, 0.1, -0.1).astype(np.float32)
    assert gain_retained(base, adapter, base - 2) is None
