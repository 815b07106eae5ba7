"""The file `scores.json` of an eval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.evaluation import accepted_answers, answer_files
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.prompt_match import PromptMatch, match_prompts
from punie_build.evaluation.scoring import CaseScore, score_once, score_suite
from punie_build.evaluation.spec import Eval
from punie_build.evaluation.suite import Suite


class Scores(Struct, frozen=True, kw_only=True):
    """`scores.json`: the scores of one model on a suite.

    `canary`, `base_canary`: fingerprints of the weights that answered, with and without the adapter. `errors`: missing
    answers.
    `parse_failures`: answers with tool calls that cannot be parsed. `prompt_match`: how the training prompts match the
    suite.
    """

    arm: str
    suite: str
    cases: tuple[CaseScore, ...]
    canary: str
    base_canary: str
    parse_failures: int = 0
    errors: int = 0
    prompt_match: PromptMatch | None = field(default=None, name="parity")

    @property
    def passed(self) -> int:
        """The number of cases whose answers all pass."""
        return sum(case.passed for case in self.cases)


def read_scores(folder: Path) -> Scores:
    """Read `scores.json` of a folder."""
    return msgspec.json.decode((folder / "scores.json").read_bytes(), type=Scores)


def answers_by_case(folder: Path) -> dict[str, list[Answer]]:
    """Read the answers of a folder by case id, one for each epoch."""
    answers: dict[str, list[Answer]] = {}
    for answer in answer_files.read_answers(folder):
        answers.setdefault(answer.case, []).append(answer)
    return answers


def write_scores(
    spec: Eval,
    suite: Suite,
    answers: Path,
    out: Path,
    dataset: Path | None = None,
    trained: Mapping[str, Any] | None = None,
) -> Scores:
    """Score the answers of a folder and write `scores.json` and `accepted.jsonl` to `out`.

    `dataset` is the folder of the data that the model was trained on; its first rows are compared with the suite.
    `trained`: the arguments of the chat template in training.
    """
    proof, by_case, score_of = answer_files.read_proof(answers), answers_by_case(answers), score_once()
    scores = Scores(
        arm=spec.arm,
        suite=spec.suite,
        cases=score_suite(suite, by_case, score_of),
        canary=proof.canary,
        base_canary=proof.base_canary,
        parse_failures=proof.parse_failures,
        errors=proof.errors,
        prompt_match=_prompt_match(spec, suite, dataset / "train.jsonl", trained or {}) if dataset else None,
    )
    accepted_answers.write(suite, by_case, out, score_of)
    (out / "scores.json").write_bytes(msgspec.json.format(msgspec.json.encode(scores), indent=1) + b"\n")
    return scores


def _prompt_match(spec: Eval, suite: Suite, rows: Path, trained: Mapping[str, Any]) -> PromptMatch | None:
    with rows.open("rb") as file:
        return match_prompts(suite, file, spec.serving.chat_template_args or trained, trained)
