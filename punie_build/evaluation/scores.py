"""Evaluating: the answers of one arm judged, case by case. Pure but for reading and writing: answers in, scores out."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from punie_build.evaluation import answer_files
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.prompt_match import PromptMatch, match_prompts
from punie_build.evaluation.scoring import CaseScore, score_suite
from punie_build.evaluation.spec import Eval
from punie_build.evaluation.suite import Suite


class Scores(Struct, frozen=True, kw_only=True):
    """`scores.json` of an eval. `canary` names the weights that answered, `base_canary` those without the adapter. `errors` are answers
    that never came, `parse_failures` those with markup that is no call. `parity`: whether the arm was trained on what it was asked."""

    arm: str
    suite: str
    cases: tuple[CaseScore, ...]
    canary: str
    base_canary: str
    parse_failures: int = 0
    errors: int = 0
    parity: PromptMatch | None = None

    @property
    def passed(self) -> int:
        return sum(case.passed for case in self.cases)


def read_scores(folder: Path) -> Scores:
    return msgspec.json.decode((folder / "scores.json").read_bytes(), type=Scores)


def answers_by_case(folder: Path) -> dict[str, list[Answer]]:
    """The answers to each case, by its id: one for each epoch."""
    found: dict[str, list[Answer]] = {}
    for answer in answer_files.read_answers(folder):
        found.setdefault(answer.case, []).append(answer)
    return found


def write_scores(spec: Eval, suite: Suite, said: Path, out: Path, trained_on: Path | None = None) -> Scores:
    """Judge the answers of a folder and write scores.json. Asks nobody, and loads nothing but the answers and the first rows of
    the data that the arm was trained on."""
    proof = answer_files.read_proof(said)
    result = Scores(
        arm=spec.arm,
        suite=spec.suite,
        cases=score_suite(suite, answers_by_case(said)),
        canary=proof.canary,
        base_canary=proof.base_canary,
        parse_failures=proof.parse_failures,
        errors=proof.errors,
        parity=_parity(spec, suite, trained_on / "train.jsonl") if trained_on else None,
    )
    (out / "scores.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return result


def _parity(spec: Eval, suite: Suite, rows: Path) -> PromptMatch | None:
    with rows.open("rb") as file:
        return match_prompts(suite, file, spec.serving.chat_template_args)
