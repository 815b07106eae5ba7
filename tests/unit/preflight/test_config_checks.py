"""Checks of a training by recipe, base and tokens: each failure of docs/gates.md that they show is found."""

from __future__ import annotations

import msgspec
import pytest

from punie_build.models.architecture import Architecture, read_architecture
from punie_build.preflight import config_checks
from punie_build.preflight.config_checks import TrainingPlan
from punie_build.preflight.resources import Resources
from punie_build.storage import paths
from punie_build.training.batch_sampler import Coverage
from punie_build.training.spec import Adapter, Lora
from punie_build.training.token_file import TokenStats

NANO = read_architecture(paths.nano())


def training_plan(base=NANO, tokens=None, coverage=None, free=10**12, memory=10**12, rows=500, **spec) -> TrainingPlan:
    """Return the plan of a training that no check reports, apart from the given values."""
    return TrainingPlan(
        where="recipes/a.toml: adapter.v1",
        tokens_target="data/x@nano",
        spec=Adapter(base="nano", data="x", **spec),
        base=base,
        rows=rows,
        tokens=msgspec.convert(tokens, TokenStats) if tokens else None,
        coverage=coverage,
        resources=Resources(disk=free, memory=memory, cpu=True),
    )


def changed_nano(**changed: object) -> Architecture:
    """Return nano's architecture with other values."""
    return msgspec.structs.replace(NANO, **changed)


CASES = {  # failure, with its number in docs/gates.md -> (values of the plan, check, level, part of the message)
    "5 more layers than there are": ({"num_layers": 9}, "layers", "error", "num_layers: 9, and nano has 4 layers"),
    "10 a rank above every width": ({"lora": Lora(rank=300)}, "rank", "error", "lora.rank: 300"),
    "10 a rank above some widths": ({"lora": Lora(rank=200)}, "rank", "warning", "is 128 wide"),
    "10 keys that no module has": (
        {"lora": Lora(keys=("self_attn.q_prj",))},
        "keys",
        "error",
        "did you mean 'self_attn.q_proj'?",
    ),
    "a batch larger than the split": (
        {"batch_size": 64, "rows": 40},
        "batch",
        "error",
        "batch_size: 64, and x has 40 training rows",
    ),
    "a base without a chat template": ({"base": changed_nano(chat_template="")}, "base", "error", "no chat template"),
    "14 delimiters that a model writes are several tokens": (
        {"base": changed_nano(special_tokens=NANO.special_tokens - {"<tool_call>"})},
        "delimiters",
        "error",
        "writes <tool_call>",
    ),
    "14 delimiters that a model reads are several tokens": (
        {
            "base": changed_nano(
                chat_template=NANO.chat_template + "<tool_response>",
                special_tokens=NANO.special_tokens - {"<tool_response>"},
            )
        },
        "delimiters",
        "warning",
        "<tool_response>",
    ),
    "19 less than an epoch, estimated": (
        {"iters": 100, "batch_size": 1},
        "epochs",
        "warning",
        "100 iterations are 0.20 epochs: 80% of 500",
    ),
    "19 less than an epoch, counted": (
        {"tokens": {}, "coverage": Coverage(iters=300, updates=75, epochs=0.69, tokens=9, padding=0.1)},
        "epochs",
        "warning",
        "300 iterations are 0.69 epochs",
    ),
    "21 not enough disk": ({"free": 10**6}, "disk", "error", "need about"),
    "23 not enough memory for the weights": ({"memory": 10**7}, "memory", "error", "needs roughly"),
    "23 not enough memory for a batch": (
        {"memory": 10**9, "batch_size": 64},
        "memory",
        "warning",
        "KiB for each of the",
    ),
    "truncated rows": (
        {"tokens": {"train": {"rows": 90, "cut": 9, "longest": 3000}}},
        "too-long",
        "warning",
        "3000 keeps them complete",
    ),
    "rows longer than the base was trained on": (
        {"base": changed_nano(positions=512), "tokens": {"train": {"rows": 90, "longest": 700}}},
        "positions",
        "warning",
        "up to 700 tokens, and nano knows 512 positions: it was trained on no later ones - max_seq_length = 512",
    ),
    "rows longer than a table of positions": (
        {"base": changed_nano(positions=512, position_table=True), "tokens": {"valid": {"rows": 9, "longest": 3000}}},
        "positions",
        "error",
        "rows of up to 2048 tokens, and nano knows 512 positions: it has no embeddings of later ones",
    ),
    "some fully masked rows": (
        {"tokens": {"train": {"rows": 90, "mute": 9}}},
        "turns",
        "warning",
        "9 of 99 training rows",
    ),
    "mostly fully masked rows": (
        {"tokens": {"train": {"rows": 9, "mute": 90}}},
        "turns",
        "error",
        "90 of 99 training rows",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_that_recipes_bases_and_locks_show_is_found(case):
    values, check, level, text = CASES[case]
    findings = {finding.check: finding for finding in config_checks.check(training_plan(**values))}
    assert findings[check].level == level
    assert text in str(findings[check])


def test_rows_that_are_cut_at_the_last_position_are_no_failure():
    values = {"base": changed_nano(positions=512), "tokens": {"train": {"rows": 990, "longest": 700}}}
    assert config_checks.check(training_plan(**values, max_seq_length=512)) == []


def test_a_correct_training_and_an_unknown_one_have_no_findings():
    assert config_checks.check(training_plan()) == []
    assert config_checks.check(TrainingPlan(where="r", spec=Adapter(base="b", data="d", num_layers=99))) == []
