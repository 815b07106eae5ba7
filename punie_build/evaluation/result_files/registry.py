"""The reader of a result file of any format, which its first bytes decide.

To add a format, write a module that returns a `ResultFile`, and recognize it in `read`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from punie_build.errors import DataError
from punie_build.evaluation.result_files import (
    bfcl_score,
    content,
    inspect_log,
    lm_eval_samples,
    promptfoo_output,
    tables,
)
from punie_build.evaluation.result_files.outcome import ResultFile

FORMATS = (
    "logs of Inspect (.eval, .json), samples of lm-eval, outputs of promptfoo, score files of BFCL, scores.json of an "
    "eval, and CSV or JSONL with an id"
)


def read(name: str, metric: str | None = None) -> ResultFile:
    """Read a result file; `FILE::ARM` names one of several arms of it. Raise DataError for files of no known format."""
    file, _, arm = name.partition("::")
    path = Path(file)
    data = content.read_bytes(path)
    if data.startswith(b"PK\x03\x04"):
        return inspect_log.read_archive(path, metric)
    if path.suffix in (".csv", ".tsv"):
        return tables.read_delimited(path, data, metric)
    start = data.lstrip()[:1]
    if start not in (b"{", b"["):
        raise DataError(f"{path}: a format that is not known - the formats are {FORMATS}")
    if start == b"{" and (keys := _keys(data)) is not None:
        return _read_object(path, data, keys, metric, arm or None)
    if start == b"[":
        if len(data) > content.MAX_TREE_BYTES:
            raise DataError(f"{path}: a list of more than {content.MAX_TREE_BYTES >> 20} MiB - write it as JSONL")
        rows = content.decode(data, list[dict[str, Any]], str(path))
        return tables.read_table(path, rows, metric)
    return _read_lines(path, data, metric, arm or None)


def _keys(data: bytes) -> set[str] | None:
    """Return the keys of a file that is one object; None for other files, such as JSONL of several lines."""
    try:
        return set(msgspec.json.decode(data, type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if b"NaN" not in data and b"Infinity" not in data:
            return None
    try:
        return set(content.decode(data, dict[str, Any], ""))
    except DataError:
        return None


def _read_object(path: Path, data: bytes, keys: set[str], metric: str | None, arm: str | None) -> ResultFile:
    if {"samples", "status", "plan"} & keys and "results" in keys | {"results"} and "version" in keys:
        return inspect_log.read_json(path, data, metric)
    if {"arm", "cases", "canary"} <= keys:
        return tables.read_scores(path, data, metric)
    if "results" in keys and keys & {"configs", "lm_eval_version", "higher_is_better"}:
        return lm_eval_samples.read_results(path, data, metric)
    if "results" in keys and keys & {"evalId", "config", "shareableUrl"}:
        return promptfoo_output.read_json(path, data, metric, arm)
    return _read_lines(path, data, metric, arm)


def _read_lines(path: Path, data: bytes, metric: str | None, arm: str | None) -> ResultFile:
    _, first = next(content.lines(data, str(path)))
    if {"accuracy", "total_count", "correct_count"} <= first.keys():
        return bfcl_score.read_score(path, data, metric)
    if "doc_id" in first and first.keys() & {"doc_hash", "resps", "filtered_resps"}:
        return lm_eval_samples.read_samples(path, data, metric)
    if {"promptIdx", "success"} <= first.keys():
        return promptfoo_output.read_rows(path, data, metric, arm)
    if {"id", "result"} <= first.keys() and not first.keys() & {*tables.VALUES}:
        raise DataError(
            f"{path}: answers without scores - name the score file of the leaderboard, such as BFCL_v4_..._score.json"
        )
    return tables.read_table(path, [row for _, row in content.lines(data, str(path))], metric)
