"""Steps of evaluation: evals and comparisons."""

from __future__ import annotations

import msgspec

from punie_build import comparing, data_steps, evaluating, layout, training
from punie_build.build import Made, Work
from punie_build.reporting.material import Material
from punie_build.steps.base import Suites, base


def eval_(suites: Suites, work: Work) -> Made:
    from punie_build.serving import Served

    made = work.root / work.task.inputs[0] if work.task.inputs else None
    served = Served(model=base(work), adapter=made) if work.task.base else Served(model=made or work.root)
    suite = suites[work.task.spec.suite]
    scores = evaluating.evaluate(work.root, served, work.task.spec, suite, work.out, work.logs)
    passed, cases = scores.passed, len(scores.cases)
    return Made(
        f"{passed} of {cases} cases passed (canary {scores.canary})",
        {"passed": passed, "cases": cases, "share": passed / cases, "parse_failures": scores.parse_failures},
    )


def comparison(suites: Suites, work: Work) -> Made:
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
