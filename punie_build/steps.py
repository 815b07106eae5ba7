"""Steps: what each kind of task does. A step reads its inputs, calls the part that knows how, and writes into `work.out`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from punie_build import (
    bases,
    blas,
    comparing,
    conformance,
    data_steps,
    evaluating,
    layout,
    spreading,
    training,
    workers,
)
from punie_build.build import Made, Step, Work
from punie_build.data_steps import Stats
from punie_build.filters import Context, MaxTokens, MinTokens
from punie_build.recipe import Recipe
from punie_build.reporting.material import Material
from punie_build.suites import Suite

Suites = dict[str, Suite]


def steps(recipe: Recipe) -> dict[str, Step]:
    """The step of each kind of task. What computes in Python goes through `workers`; the rest has processes of its own."""
    return {
        "dataset": partial(workers.run, _dataset),
        "stage": partial(workers.run, partial(_stage, recipe.suites)),
        "mix": partial(workers.run, _mix),
        "adapter": _adapter,
        "eval": partial(_eval, recipe.suites),
        "comparison": partial(workers.run, partial(_comparison, recipe.suites)),
    }


def _dataset(work: Work) -> Made:
    return _counts(data_steps.dataset(work.task.name, work.task.spec, work.root, work.out, work.logs, _held(work)))


def _stage(suites: Suites, work: Work) -> Made:
    named = {name: suites[name].prompts() for name in work.task.config.get("cases", {})}
    source = work.root / work.task.inputs[0]
    bases_ = {f.base: _base(work) for f in work.task.spec.filters if isinstance(f, MinTokens | MaxTokens)}
    context = Context(named, bases_, work.root / layout.STATE / "memo.db")
    cores = 1 if workers.within() else spreading.cores()
    stats = data_steps.stage(work.task.name, work.task.spec, source, work.out, context, cores)
    lost = ", ".join(f"{count} by {reason}" for reason, count in stats.total.dropped.items())
    kept = f"{stats.total.kept} of {stats.total.seen} examples kept ({stats.total.retention:.0%})"
    changed = f"; {stats.changed} rewritten" if stats.changed else ""
    return Made(kept + (f"; dropped {lost}" if lost else "") + changed, stats.metrics())


def _mix(work: Work) -> Made:
    sources = [work.root / place for place in work.task.inputs if place != work.task.remembers]
    return _counts(data_steps.mix(work.task.name, work.task.spec, sources, work.out, _held(work)))


def _held(work: Work) -> Path | None:
    return work.root / work.task.remembers if work.task.remembers else None


def _counts(stats: Stats) -> Made:
    sides = ", ".join(f"{counts.kept} {split}" for split, counts in stats.splits.items() if counts.kept)
    twins, between = (stats.total.dropped.get(reason, 0) for reason in ("twin", "between"))
    said = f"{stats.total.kept} examples: {sides}" + (f"; {twins} twins dropped" if twins else "")
    if between:
        said += f"; {between} left out: near to what trains and to what is held back (dropped.jsonl)"
    return Made(said, stats.metrics())


def _adapter(work: Work) -> Made:
    data = work.root / work.task.inputs[0]
    count = conformance.lines(data / "train.jsonl")
    if count < training.FEWEST:
        work.say(f"only {count} training examples - fewer than {training.FEWEST} are mostly learnt by heart")
    if advice := blas.advice():
        work.say(advice)
    training.train(work.root, _base(work), data, work.task.spec, work.out, work.logs / "training.log")
    return Made(*training.summary(work.out))


def _eval(suites: Suites, work: Work) -> Made:
    from punie_build.serving import Served

    adapter = work.root / work.task.inputs[0] if work.task.inputs else None
    served = Served(model=_base(work), adapter=adapter)
    suite = suites[work.task.spec.suite]
    scores = evaluating.evaluate(work.root, served, work.task.spec, suite, work.out, work.logs)
    passed, cases = scores.passed, len(scores.cases)
    return Made(
        f"{passed} of {cases} cases passed (canary {scores.canary})",
        {"passed": passed, "cases": cases, "share": passed / cases, "parse_failures": scores.parse_failures},
    )


def _comparison(suites: Suites, work: Work) -> Made:
    from punie_build.reporting.page import render

    task = work.task
    evals = [work.root / layout.target("eval", name) for name in task.config["evals"]]
    arms = tuple(evaluating.scores(folder) for folder in evals)
    result = comparing.compared(task.name, list(arms))
    lineage = [work.root / place for place in task.inputs]
    material = Material(
        result=result,
        suite=suites[task.spec.suite],
        scores=arms,
        answers=tuple(evaluating.answers(folder) for folder in evals),
        data=tuple((folder.name, data_steps.stats(folder)) for folder in lineage if folder.parent.name == "data"),
        curves=tuple((folder.name, training.metrics(folder)) for folder in lineage if folder.parent.name == "adapters"),
    )
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    (work.out / "report.html").write_text(render(material), encoding="utf-8")
    cases = len(arms[0].cases)
    return Made(
        "; ".join(comparing.sentence(delta, cases, result.arms[0]) for delta in result.deltas),
        comparing.metrics(result),
    )


def _base(work: Work) -> Path:
    assert work.task.base is not None, "graph gives every adapter and eval its base"
    return bases.locate(work.root, work.task.base)
