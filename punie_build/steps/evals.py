"""Steps of evaluation: evals and comparisons."""

from __future__ import annotations

import msgspec

from punie_build import bases, comparing, evaluating, layout
from punie_build.build import Made, Work
from punie_build.serving import Served, Warm
from punie_build.spec import digest
from punie_build.steps.base import Suites, base


def answers(suites: Suites, warm: Warm, work: Work) -> Made:
    from punie_build import answering

    task, spec = work.task, work.task.spec
    assert work.facts is not None
    assert task.base is not None, "graph gives all answers their base"
    made = [work.root / place for place in task.inputs if place != task.base.path]  # an adapter, or nothing
    served = Served(
        model=base(work),
        adapter=next(iter(made), None),
        draft=bases.locate(work.root, task.draft) if task.draft else None,
        serving=spec.serving,
    )
    job = answering.Job(
        root=work.root,
        served=served,
        spec=spec,
        suite=suites[spec.suite],
        weights=digest([work.facts.code, sorted(work.facts.inputs.values()), work.facts.tools]),
        logs=work.logs,
        afresh=work.again,
        say=work.say,
    )
    proof, put = answering.answer(job, warm, work.out)
    given = len(suites[spec.suite].case) * spec.epochs
    missing = f", {proof.errors} never came" if proof.errors else ""
    return Made(
        f"{given} answers{missing}, {put} questions asked (canary {proof.canary})",
        {"answers": given, "errors": proof.errors, "parse_failures": proof.parse_failures},
    )


def eval_(suites: Suites, work: Work) -> Made:
    spec = work.task.spec
    scores = evaluating.evaluate(spec, suites[spec.suite], work.root / work.task.inputs[0], work.out)
    passed, cases = scores.passed, len(scores.cases)
    return Made(
        f"{passed} of {cases} cases passed (canary {scores.canary})",
        {
            "passed": passed,
            "cases": cases,
            "share": passed / cases,
            "parse_failures": scores.parse_failures,
            "errors": scores.errors,
        },
    )


def comparison(work: Work) -> Made:
    task = work.task
    arms = [evaluating.scores(work.root / layout.target("eval", name)) for name in task.config["evals"]]
    result = comparing.compared(task.name, arms)
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    cases = len(arms[0].cases)
    return Made(
        "; ".join(comparing.sentence(delta, cases, result.arms[0]) for delta in result.deltas),
        comparing.metrics(result),
    )
