"""Score files of the Berkeley Function-Calling Leaderboard: a line of counts, then a line for each failed case.

Cases that pass have no line. Two score files of one category and one total name the cases that only one of them fails;
the others pass in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from punie_build.errors import DataError
from punie_build.evaluation.result_files import content
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile, choose_metric, collect, number

METRIC = "accuracy"


def read_score(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read a score file. Raise DataError."""
    rows = [row for _, row in content.lines(data, str(path))]
    counts = rows[0]
    total, correct = counts.get("total_count"), counts.get("correct_count")
    if not isinstance(total, int) or not isinstance(correct, int) or not 0 <= correct <= total:
        raise DataError(f"{path}: no counts in its first line - name a score file of the leaderboard")
    failed = collect([_outcome(row) for row in rows[1:]])
    if len(failed) != total - correct:
        raise DataError(
            f"{path}: {total} cases, {correct} correct, but {len(failed)} failed cases - score the results again"
        )
    arms = [str(row["model_name"]) for row in rows[1:] if row.get("model_name")]
    return ResultFile(
        file=str(path),
        format="bfcl",
        arm=arms[0] if arms else "",
        metric=choose_metric([METRIC], metric, str(path)),
        metrics=(METRIC,),
        outcomes=failed,
        reported=number(counts.get(METRIC)),
        implied_passes=correct,
    )


def _outcome(row: dict[str, Any]) -> CaseValues:
    prompt = row.get("prompt")
    return CaseValues(
        case=str(row.get("id")),
        values=[0.0],
        category=str(row.get("test_category") or ""),
        text=str(prompt.get("question") if isinstance(prompt, dict) else prompt or "")[:2000],
    )


def with_passes(file: ResultFile, other: ResultFile) -> ResultFile:
    """Return a score file with the cases that pass, as far as the failed cases of the other name them. Raise DataError
    for files of other cases."""
    totals = [len(score.outcomes) + score.implied_passes for score in (file, other)]
    if totals[0] != totals[1]:
        raise DataError(f"{file.file} has {totals[0]} cases, {other.file} {totals[1]} - name scores of the same cases")
    categories = [{outcome.category for outcome in score.outcomes.values()} for score in (file, other)]
    if all(categories) and not categories[0] & categories[1]:
        of_both = " and ".join(", ".join(sorted(names)) for names in categories)
        raise DataError(
            f"{file.file} and {other.file} are of other categories: {of_both} - name scores of the same cases"
        )
    passed = {
        case: CaseValues(case=case, values=[1.0], category=outcome.category, text=outcome.text)
        for case, outcome in other.outcomes.items()
        if case not in file.outcomes
    }
    both = totals[0] - len(file.outcomes) - len(passed)
    if both < 0:
        raise DataError(f"{file.file} and {other.file} fail more cases than they have - name scores of the same cases")
    known = categories[0] | categories[1]
    category = known.pop() if len(known) == 1 else ""
    names = [f"passed in both {i}" for i in range(1, both + 1)]
    unnamed = {name: CaseValues(case=name, values=[1.0], category=category) for name in names}
    return replace(file, outcomes={**file.outcomes, **passed, **unnamed}, implied_passes=0)
