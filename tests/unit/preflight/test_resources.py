"""Estimates of memory."""

from __future__ import annotations

import msgspec
import pytest

from punie_build.export.spec import Model
from punie_build.models.architecture import read_architecture
from punie_build.models.weights import read_tensors
from punie_build.preflight import resources
from punie_build.storage import paths
from punie_build.training.optimizer_spec import Adafactor, Adam, Sgd
from punie_build.training.spec import Adapter, Lora
from tests.support import tiny_bases

NANO = read_architecture(paths.nano())


def test_the_estimate_of_memory_grows_with_batch_rank_and_layers():
    spec = Adapter(base="nano", data="x")
    base = resources.training_bytes(spec, NANO, 512)
    for changed in ({"batch_size": 8}, {"lora": Lora(rank=64)}, {"fine_tune_type": "full"}):
        assert resources.training_bytes(msgspec.structs.replace(spec, **changed), NANO, 512) > base
    assert resources.training_bytes(msgspec.structs.replace(spec, grad_checkpoint=True), NANO, 512) < base
    assert resources.training_bytes(spec, NANO, 4096) == resources.training_bytes(spec, NANO, 2048)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gpt2", "qwen3_moe", "nemotron_h", "gpt_oss", "deepseek_v3", "lfm2", "gemma4_text", "granite"]
)
def test_sizes_are_those_of_the_real_training(tmp_path, name):
    """Experts count each, a hybrid counts the modules of each layer, a convolution is no linear layer."""
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model

    from punie_build.export import model_folder, process
    from punie_build.training.loop.lora import apply_adapter

    tiny_bases.write_base(tmp_path / "base", name)
    for model in (None, Model(base="b", bits=3, group_size=32), Model(base="b", mode="mxfp4")):
        folder = tmp_path / (model.precision if model else "base")
        if model:
            folder.mkdir()
            process.export(model, tmp_path / "base", None, folder)
            real = sum(t["data_offsets"][1] - t["data_offsets"][0] for t in read_tensors(folder).values())
            assert model_folder.estimate_bytes(tmp_path / "base", model) == pytest.approx(real, rel=0.05)
        base = read_architecture(folder)
        for count in (-1, 2):
            spec = Adapter(base="b", data="x", lora=Lora(rank=4), num_layers=count)
            loaded, _ = load_model(folder, lazy=True)
            apply_adapter(loaded, spec)
            real = sum(value.size for _, value in tree_flatten(loaded.trainable_parameters()))
            assert resources.trainable_parameters(spec, base) == pytest.approx(real, rel=0.05)
        assert base.layers == len(loaded.layers)


def test_a_checkpoint_has_the_moments_of_its_optimizer():
    def size(optimizer):
        return resources.checkpoint_bytes(Adapter(base="nano", data="x", optimizer=optimizer), NANO)

    weights = 4 * resources.trainable_parameters(Adapter(base="nano", data="x"), NANO)
    assert [size(each) // weights for each in (Adafactor(), Sgd(), Adam())] == [1, 2, 3]


def test_a_cpu_expands_small_quantized_weights():
    quantized = [msgspec.structs.replace(weight, bits=4, size=weight.count // 2) for weight in NANO.weights]
    total = sum(weight.size for weight in quantized)
    base = msgspec.structs.replace(NANO, weights=tuple(quantized), weight_bytes=total)
    assert resources.weight_bytes(base, cpu=True) == 4 * NANO.parameters
    assert resources.weight_bytes(base, cpu=False) == total
