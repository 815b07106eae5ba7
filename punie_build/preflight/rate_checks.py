"""Checks of the learning rate of a training: its size, its warm-up, its schedule, and of what else sets its updates.

`PUBLISHED` has the rates that published sweeps and recipes found for Adam, by the kind of training. A LoRA is compared
by `learning_rate` times `lora.scale`, because that product moves the weights: scales are 1 to 4 in publications, and 20
in mlx-lm. Sources: Hu et al. 2021 and Dettmers et al. 2023 (LoRA, 1e-4 to 2e-4), Biderman et al. 2024 (LoRA 5e-5 to
5e-4, full 5e-6 to 5e-5), Schulman et al. 2025 (LoRA ten times full); Rafailov et al. 2023 and Tunstall et al. 2023
(DPO, full 5e-7 to 1e-6, LoRA 5e-6); Hong et al. 2024 (ORPO, full 5e-6 to 8e-6).
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from punie_build.preflight.config_checks import Findings, TrainingPlan
from punie_build.preflight.finding import Level
from punie_build.training.optimizer_spec import (
    Adafactor,
    Adam,
    Adamw,
    CosineDecay,
    ExponentialDecay,
    Linear,
    Sgd,
    StepDecay,
)
from punie_build.training.spec import ITERS, Adapter

PUBLISHED = {  # (are layers trained themselves, loss) -> the lowest and the highest product of rate and scale
    (False, "cross-entropy"): (5e-5, 2e-3),
    (False, "dpo"): (5e-6, 2e-4),
    (False, "orpo"): (5e-6, 4e-4),
    (True, "cross-entropy"): (1e-6, 1e-4),
    (True, "dpo"): (1e-7, 5e-6),
    (True, "orpo"): (1e-6, 5e-5),
}
FAR = 10  # times outside of what is published
HIGHEST_RATE = 1.0  # of a recipe
MOST_NOISE = 15.0  # the highest neftune_noise_alpha of Jain et al. 2023
SMALL = 1e-3  # share of a rate below which an update is lost


def updates(plan: TrainingPlan) -> int | None:
    """Return the number of updates of a training; None if it depends on rows that are not known yet."""
    spec = plan.spec
    if plan.coverage:
        return plan.coverage.updates
    return None if spec.epochs or spec.tokens else ceil((spec.iters or ITERS) / spec.grad_accumulation_steps)


def rate(plan: TrainingPlan) -> Findings:
    """Check that the learning rate is not far from those that were published for this kind of training."""
    spec, is_full = plan.spec, plan.spec.fine_tune_type == "full"
    if not isinstance(spec.optimizer, Adam | Adamw):
        if isinstance(spec.optimizer, Adafactor) and spec.optimizer.relative_step:
            problem = (
                f"{spec.learning_rate:g}, its warm-up and schedule have no effect: Adafactor computes its own rate"
            )
            yield plan.finding("rate", "warning", "learning_rate", problem, "set relative_step = false to use them")
        return
    scale = 1 if is_full else spec.lora.scale
    low, high = (bound / scale for bound in PUBLISHED[is_full, spec.loss])
    if low / FAR <= spec.learning_rate * (1 + 1e-9) and spec.learning_rate <= high * FAR * (1 + 1e-9):
        return
    side = "above" if spec.learning_rate > high else "below"
    kind = f"{'full training' if is_full else f'a LoRA of scale {scale:g}'} with {spec.loss}"
    problem = f"{spec.learning_rate:g} is more than {FAR} times {side} the rates published for {kind}"
    if low > HIGHEST_RATE:
        advice = "raise lora.scale: 1 to 20 are usual"
    else:
        advice = f"try {low:.0e} to {min(high, HIGHEST_RATE):.0e} first"
    yield plan.finding("rate", "warning", "learning_rate", problem, advice)


def strength(plan: TrainingPlan) -> Findings:
    """Check that noise and clipping leave something to learn, and that no parameter of the optimizer is ignored."""
    spec = plan.spec
    if spec.neftune_noise_alpha and spec.neftune_noise_alpha > FAR * MOST_NOISE:
        problem = f"{spec.neftune_noise_alpha:g} is more than {FAR} times above the highest that was published"
        yield plan.finding("rate", "warning", "neftune_noise_alpha", problem, "5 to 15 are usual")
    eps = spec.optimizer.eps if isinstance(spec.optimizer, Adam | Adamw) else 0.0
    if spec.max_grad_norm is not None and spec.max_grad_norm <= eps:
        problem = f"{spec.max_grad_norm:g} is not above the optimizer's eps of {eps:g}: updates almost vanish"
        yield plan.finding("rate", "warning", "max_grad_norm", problem, "1.0 is usual")
    if isinstance(spec.optimizer, Sgd) and spec.optimizer.dampening and not spec.optimizer.momentum:
        problem = f"dampening {spec.optimizer.dampening:g} has no effect without a momentum"
        yield plan.finding("rate", "warning", "optimizer", problem, "set momentum = 0.9, or remove dampening")


def early_stop(plan: TrainingPlan) -> Findings:
    """Check that a training has enough validations to stop early."""
    spec, iters = plan.spec, None
    if spec.early_stop and plan.coverage:
        iters = plan.coverage.iters
    elif spec.early_stop and not (spec.epochs or spec.tokens):
        iters = spec.iters or ITERS
    if iters is not None and spec.early_stop and (validations := iters // spec.steps_per_eval) <= spec.early_stop:
        problem = f"{spec.early_stop} validations without a lower loss, of {validations}: it never stops early"
        advice = f"steps_per_eval = {max(1, iters // (3 * spec.early_stop))}"
        yield plan.finding("schedule", "warning", "early_stop", problem, advice)


def one_update(plan: TrainingPlan) -> Findings:
    """Check that the weights are updated more than once."""
    spec = plan.spec
    if updates(plan) == 1 and spec.grad_accumulation_steps > 1:
        problem = f"{spec.grad_accumulation_steps} batches an update, and the training has one update in all"
        advice = "lower it, or train longer"
        yield plan.finding("schedule", "warning", "grad_accumulation_steps", problem, advice)


def warmup(plan: TrainingPlan) -> Findings:
    """Check that the warm-up ends before the training."""
    count, warmup = updates(plan), plan.spec.warmup
    if warmup and plan.spec.warmup_init > plan.spec.learning_rate:
        problem = f"{plan.spec.warmup_init:g} is above the learning_rate {plan.spec.learning_rate:g}: the warm-up falls"
        yield plan.finding("schedule", "warning", "warmup_init", problem, "warmup_init = 0.0")
    if count is None or warmup < count / 2 or not warmup:
        return
    if warmup >= count:
        problem = f"{warmup} updates, and the training has {count}: the rate never reaches learning_rate"
    else:
        problem = f"{warmup} of {count} updates: the rate is lower than learning_rate for most of the training"
    level: Level = "error" if warmup >= count else "warning"
    yield plan.finding("schedule", level, "warmup", problem, f"warmup = {max(count // 20, 1) if count > 1 else 0}")


def schedule(plan: TrainingPlan) -> Findings:
    """Check that the schedule lasts for the updates after the warm-up."""
    count, spec = updates(plan), plan.spec
    remaining = None if count is None else count - spec.warmup
    if remaining is None or remaining < 1:
        return
    match spec.lr_schedule:
        case CosineDecay(end=end, steps=steps) | Linear(end=end, steps=steps):
            problem, advice = _decay_problem(spec, end, steps, remaining)
        case ExponentialDecay(rate=factor):
            problem, advice = _factor_problem(factor, 1, remaining)
        case StepDecay(rate=factor, every=every):
            problem, advice = _factor_problem(factor, every, remaining)
        case _:
            return
    if problem:
        name = type(spec.lr_schedule).__struct_config__.tag
        yield plan.finding("schedule", "warning", "lr_schedule", f"{name} {problem}", advice)


def _decay_problem(spec: Adapter, end: float, steps: int | None, remaining: int) -> tuple[str, str]:
    """Return problem and advice of a decay to `end` in `steps` of the `remaining` updates; empty if it has none."""
    if (steps or remaining) <= 1:
        problem = f"within one update: all others have the rate {end:g}"
        return problem, "train longer, shorten the warm-up, or leave the schedule out"
    if steps and steps < remaining and end < SMALL * spec.learning_rate:
        problem = f"ends after {steps} updates at {end:g}: the last {remaining - steps} change nothing"
        return problem, f"leave `steps` out, or set `end`, or train {steps + spec.warmup} updates"
    if steps and steps > remaining:
        return f"takes {steps} updates, and {remaining} follow the warm-up: it is cut off", "leave `steps` out"
    if end > spec.learning_rate:
        return f"rises from {spec.learning_rate:g} to {end:g}", "set `end` below learning_rate"
    return "", ""


def _factor_problem(factor: float, every: int, remaining: int) -> tuple[str, str]:
    """Return problem and advice of a rate that is multiplied by `factor` each `every` updates; empty without one."""
    if every >= remaining:
        problem = f"changes the rate every {every} updates, and {remaining} follow the warm-up: it never does"
        return problem, f"every = {max(remaining // 3, 1)}"
    times = (remaining - 1) // every
    if factor**times < SMALL:
        kept = 0.1 ** (1 / times)
        problem = f"leaves less than {SMALL:.1%} of the rate at the end of {remaining} updates"
        return problem, f"a `rate` of {kept:.4g} leaves a tenth"
    return "", ""


CHECKS: tuple[Callable[[TrainingPlan], Findings], ...] = (
    rate, strength, one_update, warmup, schedule, early_stop,
)  # fmt: skip
