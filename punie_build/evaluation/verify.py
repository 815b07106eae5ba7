"""Compare the numbers of answers and scores with the recipe of an eval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.evaluation.spec import GenerationSpec
from punie_build.models.safetensors import json_as, read


class _Case(Struct):
    case: str
    epoch: int = 0


class _Judged(Struct):
    case: str
    epochs: int = 1
    errors: int = 0


class _Scores(Struct):
    cases: list[_Judged]


def answers(folder: Path, spec: GenerationSpec, _model: Path | None = None) -> Iterator[str]:
    """Lines where the answers are not as many to each case as the recipe asks for."""
    try:
        given = read(folder / "answers.jsonl", _answers)
    except ValueError as error:
        yield str(error)
        return
    epochs: dict[str, list[int]] = {}
    for each in given:
        epochs.setdefault(each.case, []).append(each.epoch)
    odd = [case for case, found in epochs.items() if found != list(range(spec.epochs))]
    if odd or not given:
        yield f"answers.jsonl: not {spec.epochs} to each case: {', '.join(odd[:3]) or 'none at all'}"


def scores(folder: Path, spec: GenerationSpec, _model: Path | None = None) -> Iterator[str]:
    """Lines where a case of an eval was not judged as often as it was asked."""
    try:
        judged = read(folder / "scores.json", json_as(_Scores)).cases
    except ValueError as error:
        yield str(error)
        return
    odd = [each.case for each in judged if each.epochs + each.errors != spec.epochs]
    if odd or len({each.case for each in judged}) < len(judged):
        yield f"scores.json: {len(judged)} cases are judged: not {spec.epochs} answers to each"


def _answers(path: Path) -> list[_Case]:
    return msgspec.json.Decoder(_Case).decode_lines(path.read_bytes())
