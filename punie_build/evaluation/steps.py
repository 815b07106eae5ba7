"""Steps of evaluation: evals and comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from punie_build.artifacts.evaluation import LEARNT
from punie_build.artifacts.inputs import Suites
from punie_build.data.example import Example, decode_example
from punie_build.engine.build import Made, Work
from punie_build.evaluation import comparison as comparing
from punie_build.evaluation import contamination, junit, scoring, suite_validation
from punie_build.evaluation import scores as evaluating
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.models import locate
from punie_build.runtime.console import message
from punie_build.schema.spec import digest
from punie_build.storage import paths


def answers(suites: Suites, warm: WarmServer, work: Work) -> Made:
    from punie_build.evaluation import runner

    task, spec = work.task, work.task.spec
    assert work.facts is not None
    assert task.base is not None, "graph gives all answers their base"
    made = [work.root / place for place in task.inputs if place != task.base.path]  # an adapter, or nothing
    served = ServedModel(
        model=work.base(),
        adapter=next(iter(made), None),
        draft=locate.locate(work.root, task.draft) if task.draft else None,
        serving=spec.serving,
    )
    job = runner.EvalRun(
        root=work.root,
        served=served,
        spec=spec,
        suite=suites[spec.suite],
        weights=digest([work.facts.code, sorted(work.facts.inputs.values()), work.facts.tools]),
        logs=work.logs,
        ignore_cache=work.again,
        notify=work.say,
    )
    proof, put = runner.collect_answers(job, warm, work.out)
    given = len(suites[spec.suite].case) * spec.epochs
    missing = f", {proof.errors} never came" if proof.errors else ""
    return Made(
        f"{given} answers{missing}, {put} questions asked (canary {proof.canary})",
        {"answers": given, "errors": proof.errors, "parse_failures": proof.parse_failures},
    )


def eval_(suites: Suites, work: Work) -> Made:
    spec = work.task.spec
    suite = suites[spec.suite]
    said, *data = (work.root / place for place in work.task.inputs)
    scores = evaluating.evaluate(spec, suite, said, work.out, data[0] if data else None)
    for line in scores.parity.objections() if scores.parity else ():
        work.say(line)
    found = scoring.metrics(suite, scores.cases, suite_validation.validate_suite(suite).sound)
    return Made(_passed(scores), found | {"parse_failures": scores.parse_failures, "errors": scores.errors})


@message
def _passed(scores: evaluating.Scores) -> str:
    return f"{scores.passed} of {len(scores.cases)} cases passed (canary {scores.canary})"


def comparison(suites: Suites, work: Work) -> Made:
    task, spec = work.task, work.task.spec
    suite = suites[spec.suite]
    arms = [evaluating.scores(work.root / paths.target("eval", name)) for name in task.config["evals"]]
    result = comparing.compared(
        task.name,
        arms,
        margin=spec.margin,
        parity=spec.parity,
        leaks=contamination.leaks(suite, _learnt(work.root, task.config["learnt"])),
        sound=suite_validation.validate_suite(suite).sound,
    )
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    (work.out / "junit.xml").write_text(junit.xml(task.name, comparing.tests(result, arms)) + "\n", encoding="utf-8")
    return Made(comparing.told(result), comparing.metrics(result))


def _learnt(root: Path, places: list[str]) -> Iterator[tuple[str, Example]]:
    """Every row that an arm was trained and chosen by, and where it stands."""
    for place in places:
        for file in LEARNT:
            with (root / place / file).open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield f"{place}/{file}:{number}", decode_example(line)
