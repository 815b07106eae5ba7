"""Tables of results: CSV, TSV, JSONL or a list in JSON, with a column of ids and one of values.

Rows with one id are repetitions of the case. The columns `group` and `category` are read if they are there. The
`scores.json` of an eval of punie-build is a table, too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from punie_build.errors import DataError, join_first
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile, choose_metric, collect, number
from punie_build.evaluation.scores import Scores

IDS = ("id", "case", "case_id", "sample_id", "question_id", "doc_id", "test_id", "task_id", "key", "name")
VALUES = ("passed", "pass", "correct", "is_correct", "success", "valid", "score", "value", "accuracy", "exact_match")
TEXTS = ("question", "prompt", "input", "text")
NO_VALUES = ("", "nan", "null", "none", "n/a")


def read_delimited(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read CSV, or TSV by its name. Raise DataError."""
    try:
        text = data.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ","))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not CSV: {error} - save it as UTF-8 with a line of column names") from None
    if ragged := next((n for n, row in enumerate(rows, 2) if None in row or None in row.values()), None):
        raise DataError(f"{path}: row {ragged} has not as many fields as the first line - correct it")
    return read_table(path, rows, metric)


def read_table(path: Path, rows: Sequence[dict[str, Any]], metric: str | None) -> ResultFile:
    """Return the outcomes of rows with an id. Raise DataError if a row has none, or a value that is no number."""
    if not rows:
        raise DataError(f"{path}: no rows - name a file of results")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    id_ = next((name for name in IDS if name in columns), None)
    if id_ is None:
        raise DataError(f"{path}: no column of ids among {join_first(columns, 8)} - call it `id`")
    metrics = [name for name in columns if name != id_ and _is_numeric([row.get(name) for row in rows])]
    metrics.sort(key=lambda name: VALUES.index(name) if name in VALUES else len(VALUES))
    metric = choose_metric(metrics, metric, str(path))
    if len(metrics) > 1 and metrics[0] == metric and metric not in VALUES:
        raise DataError(f"{path}: several columns of numbers: {join_first(metrics, 8)} - name one by --metric")
    text = next((name for name in TEXTS if name in columns), "")
    outcomes = []
    for row_number, row in enumerate(rows, 1):
        if row.get(id_) in (None, ""):
            raise DataError(f"{path}: row {row_number} has no `{id_}` - write one")
        value = number(row.get(metric))
        outcomes.append(
            CaseValues(
                case=str(row[id_]),
                values=[] if value is None else [value],
                unscored=int(value is None),
                category=str(row.get("category") or ""),
                group=str(row.get("group") or ""),
                text=str(row.get(text) or "")[:2000],
            )
        )
    collected = collect(outcomes)
    repeats = len(outcomes) - len(collected)
    return ResultFile(
        file=str(path),
        format="table",
        arm=path.stem,
        metric=metric,
        metrics=tuple(metrics),
        outcomes=collected,
        notes=(f"{repeats} rows repeat the id of another row: they are repetitions of its case",) if repeats else (),
    )


def _is_numeric(values: Sequence[Any]) -> bool:
    """Return whether some values are numbers, and the others are missing."""
    present = [value for value in values if value is not None and str(value).strip().lower() not in NO_VALUES]
    return bool(present) and all(number(value) is not None for value in present)


def read_scores(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read the `scores.json` of an eval of punie-build. Raise DataError."""
    try:
        scores = msgspec.json.decode(data, type=Scores)
    except msgspec.MsgspecError as error:
        raise DataError(f"{path}: not the scores of an eval: {error} - build the eval again") from None
    metric = choose_metric(("passed", "score"), metric, str(path))
    outcomes = [
        CaseValues(
            case=case.case,
            values=[case.pass_rate if metric == "passed" else case.score] if case.answers else [],
            unscored=int(not case.answers),
            category=case.category,
            group=case.group if case.group != case.case else "",
        )
        for case in scores.cases
    ]
    return ResultFile(
        file=str(path),
        format="punie-build",
        arm=scores.arm,
        metric=metric,
        metrics=("passed", "score"),
        outcomes=collect(outcomes),
    )
