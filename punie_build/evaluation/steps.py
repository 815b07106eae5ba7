"""The steps that ask a suite, score the answers and compare models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from punie_build.data.example import Example, decode_example
from punie_build.engine import state
from punie_build.engine.work import StepResult, Work
from punie_build.evaluation import asked_weights, contamination, junit, scoring, settings, suite_validation
from punie_build.evaluation import comparison as comparing
from punie_build.evaluation import scores as scoring_files
from punie_build.evaluation import server as model_server
from punie_build.evaluation.arm_spec import identity
from punie_build.evaluation.server import ServedModel
from punie_build.evaluation.spec import TRAINED_FILES, Comparison, Eval, GenerationSpec
from punie_build.runtime import idle
from punie_build.runtime.console import message
from punie_build.schema.spec import digest

if TYPE_CHECKING:
    from punie_build.evaluation.answer_files import Proof
    from punie_build.evaluation.runner import EvalRun

idle.on_release(model_server.release)


def answers(work: Work[GenerationSpec]) -> StepResult:
    """Ask a suite, or take its answers from the cache."""
    from punie_build.evaluation import runner

    run = eval_run(work)
    proof, sent = runner.collect_answers(run, model_server.WARM, work.out)
    count = len(run.suite.cases) * run.spec.epochs
    metrics = {"answers": count, "errors": proof.errors, "parse_failures": proof.parse_failures}
    return StepResult(_answer_counts(count, sent, proof), metrics)


def eval_run(work: Work[GenerationSpec]) -> EvalRun:
    """Return the run of the suite of a step."""
    from punie_build.evaluation import runner

    task, suite = work.task, work.task.uses[work.spec.suite]
    spec = settings.with_settings(work.spec, task.details)
    assert work.key_inputs is not None, "the engine gives a step what decides its result"
    base_path = task.external["base"].path
    adapter = next((work.root / path for path in task.inputs if path != base_path), None)
    served = ServedModel(
        model=work.external("base"),
        adapter=adapter,
        draft=work.external("draft") if "draft" in task.external else None,
        serving=spec.serving,
    )
    key = work.key_inputs
    return runner.EvalRun(
        root=work.root,
        served=served,
        spec=spec,
        suite=suite,
        weights=digest([key.code, sorted(key.inputs.values()), key.tools]),
        logs=work.logs,
        ignore_cache=work.afresh,
        notify=work.say,
        is_current=lambda: state.key_inputs(work.root, task).inputs == key.inputs,
    )


@message
def _answer_counts(count: int, sent: int, proof: Proof) -> str:
    missing = f", {proof.errors} missing" if proof.errors else ""
    return f"{count} answers{missing}, {sent} requests sent (canary {proof.canary})"


def eval_(work: Work[Eval]) -> StepResult:
    """Score answers."""
    spec, suite = work.spec, work.task.uses[work.spec.suite]
    folder, *data = work.inputs()
    trained = work.task.details.chat_template_args
    scores = scoring_files.write_scores(spec, suite, folder, work.out, data[0] if data else None, trained)
    for line in scores.prompt_match.warnings() if scores.prompt_match else ():
        work.say(line)
    notes = unknown_data(work) | unproven(scores.canary)
    metrics = scoring.eval_metrics(suite, scores.cases, suite_validation.validate_suite(suite).sound)
    return StepResult(pass_counts(scores), metrics | {"parse_failures": scores.parse_failures} | notes)


def unproven(*canaries: str) -> dict[str, float]:
    """Return the number of arms without a canary as a metric, if there are any."""
    count = sum(not canary for canary in canaries)
    return {"unproven_identity": float(count)} if count else {}


def unknown_data(work: Work[Any]) -> dict[str, float]:
    """Print the arms whose training data are unknown; return their number as a metric, if there are any."""
    arms = work.task.details.unknown_data
    for arm in arms:
        work.say(f"{arm} was trained elsewhere: its rows are unknown, so cases that it was trained on are not found")
    return {"unknown_training_data": float(len(arms))} if arms else {}


@message
def pass_counts(scores: scoring_files.Scores) -> str:
    """Return how many cases passed, and how many answers could not be scored."""
    unscored = sum(case.errors for case in scores.cases)
    errors = f", {unscored} answers are missing or cannot be scored" if unscored else ""
    return f"{scores.passed} of {len(scores.cases)} cases passed{errors} ({identity(scores.canary)})"


def comparison(work: Work[Comparison]) -> StepResult:
    """Compare the scores of models on one suite."""
    task, spec, suite = work.task, work.spec, work.task.uses[work.spec.suite]
    arms = [scoring_files.read_scores(work.root / task.needs[f"eval:{name}"]) for name in task.details.evals]
    result = comparing.compare(
        task.name,
        arms,
        margin=spec.margin,
        parity=spec.parity,
        contaminated=contamination.contaminated_cases(suite, trained_rows(work.root, task.details.learnt)),
        sound=suite_validation.validate_suite(suite).sound,
        weights=(weights := [asked_weights.read(work.root, task.needs[f"eval:{name}"]) for name in task.details.evals]),
    )
    for line in asked_weights.similar_weights(arms, spec.parity, weights):
        work.say(line)
    (work.out / "comparison.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    (work.out / "junit.xml").write_text(
        junit.to_xml(task.name, comparing.junit_results(result, arms)) + "\n", encoding="utf-8"
    )
    notes = unknown_data(work) | unproven(*result.canaries)
    return StepResult(comparing.comparison_summary(result), comparing.comparison_metrics(result) | notes)


def trained_rows(root: Path, folders: Iterable[str]) -> Iterator[tuple[str, Example]]:
    """Yield every row that an arm was trained or selected on, with its place `data/NAME/train.jsonl:LINE`."""
    for folder in folders:
        for file in TRAINED_FILES:
            with (root / folder / file).open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield f"{folder}/{file}:{number}", decode_example(line)
