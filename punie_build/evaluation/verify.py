"""Verification of the files of answers and evals against the recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from punie_build.evaluation.answer_files import read_answers
from punie_build.evaluation.scores import read_scores
from punie_build.evaluation.spec import GenerationSpec
from punie_build.models.safetensors import read


def answers(folder: Path, spec: GenerationSpec, _model: Path | None = None) -> Iterator[str]:
    """Yield a line if a case does not have one answer for each epoch."""
    try:
        rows = read(folder / "answers.jsonl", lambda path: read_answers(path.parent))
    except ValueError as error:
        yield str(error)
        return
    epochs: dict[str, list[int]] = {}
    for answer in rows:
        epochs.setdefault(answer.case, []).append(answer.epoch)
    wrong = [case for case, numbers in epochs.items() if numbers != list(range(spec.epochs))]
    if wrong or not rows:
        yield f"answers.jsonl: not {spec.epochs} answers to each case: {', '.join(wrong[:3]) or 'no answers'}"


def scores(folder: Path, spec: GenerationSpec, _model: Path | None = None) -> Iterator[str]:
    """Yield a line if a case occurs twice, or its scored and missing answers are not one for each epoch."""
    try:
        cases = read(folder / "scores.json", lambda path: read_scores(path.parent)).cases
    except ValueError as error:
        yield str(error)
        return
    wrong = [case.case for case in cases if case.epochs + case.errors != spec.epochs]
    if wrong or len({case.case for case in cases}) < len(cases):
        yield f"scores.json: {len(cases)} cases, not {spec.epochs} answers to each"
