"""Steps: what each kind of task does. A step reads its inputs, calls the part that knows how, and writes into `work.out`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from punie_build import bases, comparing, data_steps, evaluating, layout, training
from punie_build.build import Work
from punie_build.data_steps import Stats
from punie_build.recipe import Recipe
from punie_build.reporting.material import Material
from punie_build.serving import Served


def steps(recipe: Recipe) -> dict[str, Callable[[Work], str]]:
    """The step of each kind of task; the recipe is there for the cases of its suites."""
    return {
        "dataset": _dataset,
        "stage": _stage,
        "mix": _mix,
        "adapter": _adapter,
        "eval": lambda work: _eval(recipe, work),
        "comparison": lambda work: _comparison(recipe, work),
    }


def _dataset(work: Work) -> str:
    return _counts(data_steps.dataset(work.task.name, work.task.spec, work.root, work.out))


def _stage(work: Work) -> str:
    stats = data_steps.stage(work.task.name, work.task.spec, work.root / work.task.inputs[0], work.out)
    lost = ", ".join(f"{count} by {reason}" for reason, count in stats.total.dropped.items())
    return f"{stats.total.kept} of {stats.total.seen} examples kept ({stats.total.retention:.0%})" + (
        f"; dropped {lost}" if lost else ""
    )


def _mix(work: Work) -> str:
    return _counts(
        data_steps.mix(work.task.name, work.task.spec, [work.root / place for place in work.task.inputs], work.out)
    )


def _counts(stats: Stats) -> str:
    sides = ", ".join(f"{counts.kept} {split}" for split, counts in stats.splits.items() if counts.kept)
    twins = stats.total.dropped.get("twin", 0)
    return f"{stats.total.kept} examples: {sides}" + (f"; {twins} twins dropped" if twins else "")


def _adapter(work: Work) -> str:
    data = work.root / work.task.inputs[0]
    count = data_steps.stats(data).splits["train"].kept
    if count < training.FEWEST:
        print(
            f"   {work.task.label}: only {count} training examples - fewer than {training.FEWEST} are mostly learnt by heart"
        )
    training.train(work.root, _base(work), data, work.task.spec, work.out, work.logs / "training.log")
    return training.summary(work.out)


def _eval(recipe: Recipe, work: Work) -> str:
    adapter = work.root / work.task.inputs[0] if work.task.inputs else None
    served = Served(model=_base(work), adapter=adapter)
    scores = evaluating.evaluate(
        work.root, served, work.task.spec, recipe.suites[work.task.spec.suite], work.out, work.logs
    )
    return f"{scores.passed} of {len(scores.cases)} cases passed (canary {scores.canary})"


def _comparison(recipe: Recipe, work: Work) -> str:
    from punie_build.reporting.page import render

    task = work.task
    evals = [work.root / layout.target("eval", name) for name in task.config["evals"]]
    arms = tuple(evaluating.scores(folder) for folder in evals)
    result = comparing.compared(task.name, list(arms))
    lineage = [work.root / place for place in task.inputs]
    material = Material(
        result=result,
        suite=recipe.suites[task.spec.suite],
        scores=arms,
        answers=tuple(evaluating.answers(folder) for folder in evals),
        data=tuple((folder.name, data_steps.stats(folder)) for folder in lineage if folder.parent.name == "data"),
        curves=tuple((folder.name, training.metrics(folder)) for folder in lineage if folder.parent.name == "adapters"),
    )
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    (work.out / "report.html").write_text(render(material), encoding="utf-8")
    cases = len(arms[0].cases)
    return "; ".join(comparing.sentence(delta, cases, result.arms[0]) for delta in result.deltas)


def _base(work: Work) -> Path:
    assert work.task.base is not None, "graph gives every adapter and eval its base"
    return bases.locate(work.root, work.task.base)
