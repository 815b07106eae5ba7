"""Estimates of memory."""

from __future__ import annotations

import msgspec

from punie_build.models.architecture import read_architecture
from punie_build.preflight import resources
from punie_build.storage import paths
from punie_build.training.spec import Adapter, Lora

NANO = read_architecture(paths.nano())


def test_the_estimate_of_memory_grows_with_batch_rank_and_layers():
    spec = Adapter(base="nano", data="x")
    base = resources.training_bytes(spec, NANO, 512)
    for changed in ({"batch_size": 8}, {"lora": Lora(rank=64)}, {"fine_tune_type": "full"}):
        assert resources.training_bytes(msgspec.structs.replace(spec, **changed), NANO, 512) > base
    assert resources.training_bytes(msgspec.structs.replace(spec, grad_checkpoint=True), NANO, 512) < base
    assert resources.training_bytes(spec, NANO, 4096) == resources.training_bytes(spec, NANO, 2048)
