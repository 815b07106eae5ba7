"""Checks of fused and quantized models."""

from __future__ import annotations

import msgspec
import pytest

from punie_build.export.spec import Model
from punie_build.models.architecture import read_architecture
from punie_build.models.weights import Weight
from punie_build.preflight import model_checks
from punie_build.preflight.resources import Resources
from punie_build.storage import paths


def weight(module: str, *shape: int) -> Weight:
    return Weight(layer=0, module=module, kind="linear", shape=shape, bits=16, dtype="F32", size=0)


PLENTY = Resources(disk=10**12, memory=0, cpu=True)


@pytest.mark.parametrize(
    ("spec", "check", "level"),
    [
        (Model(base="nano", bits=4), None, None),
        (Model(base="nano", bits=4, group_size=128), None, None),
        (Model(base="nano", bits=16, gguf=True), "bits", "error"),
    ],
)
def test_a_model_that_cannot_be_made_is_found(spec, check, level):
    findings = model_checks.check("recipes/a.toml: model.m", spec, paths.nano(), PLENTY)
    assert [(finding.check, finding.level) for finding in findings] == ([(check, level)] if check else [])
    little = Resources(disk=10, memory=0, cpu=True)
    [finding] = model_checks.check("r", Model(base="nano", bits=4), paths.nano(), little)
    assert (finding.check, finding.level) == ("disk", "error")


@pytest.mark.parametrize(("widths", "level"), [((256, 100), "warning"), ((100, 100), "error"), ((256, 128), None)])
def test_weights_that_the_group_size_does_not_divide_are_found(widths, level):
    linear = [weight("a", 64, widths[0]), weight("b", 64, widths[1])]
    base = msgspec.structs.replace(read_architecture(paths.nano()), weights=tuple(linear))
    spec = Model(base="b", bits=4, group_size=64)
    plan = model_checks.ModelPlan(where="r", spec=spec, folder=paths.nano(), base=base, resources=PLENTY)
    assert [finding.level for finding in model_checks.groups(plan)] == ([level] if level else [])


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"bits": 4}, True),
        ({"mode": "mxfp4"}, True),
        ({"bits": 6}, False),
        ({}, False),  # of a base in 16 bits
        ({"bits": 4, "gates": [{"metric": "gain_retained", "min": 0.9}]}, False),
        ({"bits": 4, "gates": [{"metric": "bytes", "max": 10**9}]}, True),
    ],
)
def test_an_adapter_that_is_rounded_to_few_bits_without_a_gate_is_found(fields, found):
    spec = msgspec.convert({"adapter": "v1"} | fields, Model)
    findings = model_checks.check("recipes/a.toml: model.m", spec, paths.nano(), PLENTY)
    assert [finding.level for finding in findings if "v1 is fused and then rounded to 4 bits" in str(finding)] == (
        ["warning"] if found else []
    )
