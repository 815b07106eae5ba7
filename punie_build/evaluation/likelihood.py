"""Multiple choice by likelihood: which of several continuations of a context an arm finds most probable.

The definitions are those of lm-evaluation-harness. `acc`: the right choice has the highest log-probability; `acc_norm`:
the highest per character of the choice; `acc_bytes`: the highest per byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from punie_build.engine.gates import Gate
from punie_build.engine.work import StepResult, Work
from punie_build.errors import DataError
from punie_build.evaluation.continuations import ChoiceQuestion
from punie_build.evaluation.loaded_files import stamps_by_folder
from punie_build.runtime.console import message
from punie_build.schema.spec import Spec
from punie_build.storage import project_file

SAMPLES = "samples.jsonl"
METRICS = ("acc", "acc_norm", "acc_bytes")
MAX_MISTAKES = 10  # that are printed of a file


class Likelihood(Spec, frozen=True, kw_only=True):
    """The accuracy of an arm on questions with choices, by their log-probabilities.

    `file`: JSONL with `context`, `choices` and `answer`, or a multiple_choice task of lm-eval in YAML, in the project.
    `chat`: the context is a message of a user in the chat template of the arm, and choices follow without a blank.
    """

    arm: str
    file: str
    chat: bool = False
    gates: tuple[Gate, ...] = ()
    description: str = ""


class QuestionRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of a file of questions. `answer`: the index of the right choice, or of several. `delimiter`: the text
    between the context and a choice."""

    context: str
    choices: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=2)]
    answer: int | tuple[int, ...]
    id: str | int = ""
    delimiter: str = " "


class LikelihoodJob(Struct, frozen=True, kw_only=True):
    """The file that starts the process: weights and the stamps of their files, questions, and where to write the
    log-probabilities."""

    model: str
    adapter: str | None
    questions: tuple[ChoiceQuestion, ...]
    chat: bool
    result: str
    stamps: dict[str, str] = {}


class Measured(Struct, frozen=True):
    """The log-probabilities of the choices of a question, in nats, and the tokens that were cut from its beginning."""

    logprobs: tuple[float, ...]
    cut: int = 0


class ChoiceSample(Struct, frozen=True, kw_only=True):
    """A line of `samples.jsonl`, in the form of the samples of lm-eval, which `punie-build compare` reads."""

    doc_id: str
    doc: dict[str, Any]
    target: tuple[int, ...]
    filtered_resps: tuple[float, ...]
    acc: float
    acc_norm: float
    acc_bytes: float
    filter: str = "none"
    metrics: tuple[str, ...] = METRICS


class LikelihoodResult(Struct, frozen=True, kw_only=True):
    """`likelihood.json`: accuracies with their standard errors. `cut`: the questions longer than the positions of the
    base, which lost their beginning."""

    acc: float
    acc_error: float
    acc_norm: float
    acc_norm_error: float
    acc_bytes: float
    questions: int
    cut: int = 0


def read_questions(spec: Likelihood, root: Path, where: str) -> tuple[tuple[ChoiceQuestion, ...] | None, list[str]]:
    """Return the questions of a file, or None and a line for each mistake."""
    from punie_build.evaluation.importers import registry

    path = root / spec.file
    try:
        if path.suffix in (".yaml", ".yml"):
            questions, notes = registry.choice_questions(path)
            problems = [f"{spec.file}: {note}" for note in notes]
        else:
            questions, problems = _read_rows(project_file.read(path), spec.file)
    except FileNotFoundError:
        return None, [f"{where}.file: no file '{spec.file}' - create it, or correct the path"]
    except (DataError, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        return None, [f"{where}.file: {error}"]
    if not questions and not problems:
        problems = [f"{spec.file}: no questions - write a line for each"]
    n_unlisted = len(problems) - MAX_MISTAKES
    problems = problems[:MAX_MISTAKES] + ([f"{spec.file}: {n_unlisted} more mistakes"] if n_unlisted > 0 else [])
    return (None, problems) if problems else (tuple(questions), [])


def _read_rows(data: bytes, name: str) -> tuple[list[ChoiceQuestion], list[str]]:
    questions, problems, ids = list[ChoiceQuestion](), list[str](), set[str]()
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=QuestionRow)
            answers = (row.answer,) if isinstance(row.answer, int) else row.answer
            question = ChoiceQuestion(
                id=str(row.id) or f"line-{number}",
                context=row.context,
                choices=row.choices,
                answers=answers,
                delimiter=row.delimiter,
            )
            if question.id in ids:
                raise ValueError(f"the id {question.id} occurs twice")
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
            problems.append(f"{name}:{number}: {error} - write context, choices and answer")
            continue
        ids.add(question.id)
        questions.append(question)
    return questions, problems


def measure(work: Work[Likelihood]) -> StepResult:
    """Compute the log-probabilities in a process that loads the weights, and the accuracies."""
    from punie_build.runtime import blas, child

    task, spec = work.task, work.spec
    questions: tuple[ChoiceQuestion, ...] = task.uses["questions"]
    base_path = task.external["base"].path
    adapter = next((work.root / path for path in task.inputs if path != base_path), None)
    result = work.logs / "logprobs.json"
    job = LikelihoodJob(
        model=str(work.external("base")),
        adapter=str(adapter) if adapter else None,
        questions=questions,
        chat=spec.chat,
        result=str(result),
        stamps=stamps_by_folder((work.external("base"), adapter)),
    )
    module, log = "punie_build.evaluation.likelihood_process", work.logs / "likelihood.log"
    child.run(
        module,
        [child.job_file(work.logs / "job.json", job)],
        log,
        blas.environment(work.root),
        "computing the likelihoods",
    )
    measured = msgspec.json.decode(result.read_bytes(), type=tuple[Measured, ...])
    accuracy, samples = score(questions, measured)
    (work.out / SAMPLES).write_bytes(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
    (work.out / "likelihood.json").write_bytes(msgspec.json.format(msgspec.json.encode(accuracy), indent=1) + b"\n")
    if accuracy.cut:
        work.say(f"{accuracy.cut} questions are longer than the positions of the base: their beginning was cut")
    return StepResult(_summary(accuracy), {name: float(value) for name, value in msgspec.to_builtins(accuracy).items()})


def score(
    questions: Sequence[ChoiceQuestion], measured: Sequence[Measured]
) -> tuple[LikelihoodResult, list[ChoiceSample]]:
    """Return the accuracies, and a sample for each question."""
    samples = []
    for question, values in zip(questions, measured, strict=True):
        sizes = [len(choice.encode()) for choice in question.choices]
        samples.append(
            ChoiceSample(
                doc_id=question.id,
                doc={"context": question.context, "choices": question.choices},
                target=question.answers,
                filtered_resps=values.logprobs,
                acc=_right(values.logprobs, [1] * len(sizes), question.answers),
                acc_norm=_right(values.logprobs, [len(choice) for choice in question.choices], question.answers),
                acc_bytes=_right(values.logprobs, sizes, question.answers),
            )
        )
    acc, acc_norm = [sample.acc for sample in samples], [sample.acc_norm for sample in samples]
    accuracy = LikelihoodResult(
        acc=_mean(acc),
        acc_error=_error(acc),
        acc_norm=_mean(acc_norm),
        acc_norm_error=_error(acc_norm),
        acc_bytes=_mean([sample.acc_bytes for sample in samples]),
        questions=len(samples),
        cut=sum(values.cut > 0 for values in measured),
    )
    return accuracy, samples


def _right(logprobs: Sequence[float], sizes: Sequence[int], answers: Sequence[int]) -> float:
    """Return 1.0 if a right choice has the highest log-probability per size, the first of equal ones."""
    scores = [logprob / size for logprob, size in zip(logprobs, sizes, strict=True)]
    return float(scores.index(max(scores)) in answers)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _error(values: Sequence[float]) -> float:
    """Return the standard error of a mean, as lm-eval computes it."""
    n, mean = len(values), _mean(values)
    return float((sum((value - mean) ** 2 for value in values) / (n - 1) / n) ** 0.5) if n > 1 else 0.0


@message
def _summary(result: LikelihoodResult) -> str:
    error = f"± {1.96 * result.acc_error:.1%}"
    return f"{result.acc:.1%} {error} of {result.questions} questions, {result.acc_norm:.1%} by length"
