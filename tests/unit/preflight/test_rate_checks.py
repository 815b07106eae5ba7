"""Checks of learning rate, warm-up and schedule: what is found, and what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from punie_build.preflight import rate_checks
from punie_build.preflight.config_checks import TrainingPlan
from punie_build.training.batch_sampler import Coverage
from punie_build.training.spec import Adapter

FULL = {"fine_tune_type": "full"}
LINEAR, COSINE, EXPONENTIAL, STEPS = (
    {"lr_schedule": {"type": name}} for name in ("linear", "cosine-decay", "exponential-decay", "step-decay")
)


def with_(schedule: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"lr_schedule": schedule["lr_schedule"] | fields}


def findings(coverage: Coverage | None = None, **fields: object) -> list[tuple[str, str, str]]:
    spec = msgspec.convert({"base": "b", "data": "d"} | fields, Adapter)
    plan = TrainingPlan(where="r", spec=spec, coverage=coverage)
    return [(each.check, each.level, str(each)) for check in rate_checks.CHECKS for each in check(plan)]


@pytest.mark.parametrize(
    ("fields", "check", "level", "text"),
    [
        (
            {"learning_rate": 1e-2},
            "rate",
            "warning",
            "more than 10 times above the rates published for a LoRA of scale 20",
        ),
        ({"learning_rate": 2e-7}, "rate", "warning", "below"),
        ({"learning_rate": 1e-2, "fine_tune_type": "dora"}, "rate", "warning", "above"),
        ({"learning_rate": 1e-4, "lora": {"scale": 500.0}}, "rate", "warning", "scale 500"),
        ({"learning_rate": 2e-3} | FULL, "rate", "warning", "published for full training with cross-entropy"),
        ({"learning_rate": 1e-4, "loss": "dpo"} | FULL, "rate", "warning", "with dpo - try 1e-07 to 5e-06 first"),
        ({"learning_rate": 1e-3, "loss": "orpo"}, "rate", "warning", "with orpo"),
        ({"optimizer": {"type": "adafactor", "relative_step": True}}, "rate", "warning", "have no effect"),
        ({"lora": {"scale": 1e-5}}, "rate", "warning", "raise lora.scale"),
        ({"lora": {"scale": 1e-3}}, "rate", "warning", "try 5e-02 to 1e+00 first"),
        ({"neftune_noise_alpha": 500.0}, "rate", "warning", "500 is more than 10 times above the highest"),
        ({"max_grad_norm": 1e-9}, "rate", "warning", "1e-09 is not above the optimizer's eps of 1e-08"),
        ({"optimizer": {"type": "sgd", "dampening": 0.5}}, "rate", "warning", "has no effect without a momentum"),
        ({"early_stop": 3}, "schedule", "warning", "of 3: it never stops early - steps_per_eval = 33"),
        ({"warmup": 9, "warmup_init": 0.1}, "schedule", "warning", "0.1 is above the learning_rate 0.0001"),
        ({"warmup": 300}, "schedule", "error", "warmup: 300 updates, and the training has 300: the rate never reaches"),
        ({"warmup": 75, "grad_accumulation_steps": 4}, "schedule", "error", "75 updates, and the training has 75"),
        ({"warmup": 200}, "schedule", "warning", "200 of 300 updates"),
        ({"iters": 1} | COSINE, "schedule", "warning", "cosine-decay within one update"),
        ({"iters": 2} | with_(LINEAR, steps=1), "schedule", "warning", "linear within one update"),
        ({"grad_accumulation_steps": 1000}, "schedule", "warning", "one update in all"),
        (with_(LINEAR, steps=1), "schedule", "warning", "within one update"),
        (with_(COSINE, steps=100), "schedule", "warning", "the last 200 change nothing"),
        (with_(COSINE, steps=900), "schedule", "warning", "takes 900 updates, and 300 follow"),
        (with_(LINEAR, end=1e-3), "schedule", "warning", "rises from 0.0001 to 0.001"),
        (with_(EXPONENTIAL, rate=0.9), "schedule", "warning", "less than 0.1% of the rate"),
        (with_(STEPS, rate=0.5, every=300), "schedule", "warning", "it never does - every = 100"),
        (with_(STEPS, rate=0.1, every=50), "schedule", "warning", "less than 0.1% of the rate"),
    ],
)
def test_a_rate_or_schedule_that_would_waste_a_training_is_found(fields, check, level, text):
    [found] = findings(**fields)
    assert found[:2] == (check, level)
    assert text in found[2]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"learning_rate": 1e-3},
        {"early_stop": 2},
        {"early_stop": 3, "epochs": 1.0},  # how many validations there are is not known yet
        {"max_grad_norm": 1.0, "neftune_noise_alpha": 15.0},
        {"learning_rate": 1e-5},
        {"learning_rate": 2e-5} | FULL,
        {"learning_rate": 5e-6, "loss": "dpo"},
        {"learning_rate": 0.5, "optimizer": {"type": "sgd"}},
        {"learning_rate": 0.02, "optimizer": {"type": "muon"}},
        {"warmup": 20} | COSINE,
        with_(COSINE, steps=100, end=1e-5),
        with_(EXPONENTIAL, rate=0.99),
        with_(STEPS, rate=0.5, every=100),
        {"epochs": 1.0, "warmup": 10_000},  # how many updates there are is not known yet
    ],
)
def test_a_usual_rate_has_no_finding(fields):
    assert findings(**fields) == []


def test_the_updates_of_epochs_are_those_of_the_tokens():
    coverage = Coverage(iters=40, updates=40, epochs=1.0, tokens=9, padding=0.1)
    [found] = findings(coverage, epochs=1.0, warmup=50)
    assert "50 updates, and the training has 40" in found[2]
