"""The precision in which a model is computed on a CPU."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model

from punie_build.export import process
from punie_build.export.spec import Model
from punie_build.models.precision import set_compute_precision
from tests.support import tiny_bases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(mx.default_device() != mx.Device(mx.cpu), reason="only a CPU computes in float32"),
]


def test_experts_are_float32_beside_modules_that_stay_quantized(tmp_path):
    """mlx-lm dequantizes no latent attention; a CPU has no product of experts in bfloat16."""
    tiny_bases.write_base(tmp_path / "base", "deepseek_v3", mx.bfloat16)
    (tmp_path / "q4").mkdir()
    process.export(Model(base="b", bits=4, group_size=32), tmp_path / "base", None, tmp_path / "q4")
    model, _ = load_model(tmp_path / "q4", lazy=True)
    set_compute_precision(model)
    dtypes = {value.dtype for _, value in tree_flatten(model.parameters())}
    assert mx.bfloat16 not in dtypes
    assert bool(mx.isfinite(model(mx.array([[1, 2, 3]]))).all())
