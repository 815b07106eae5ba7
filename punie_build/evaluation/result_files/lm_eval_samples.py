"""Samples of lm-evaluation-harness: `samples_TASK_TIME.jsonl`, or `results_TIME.json` with the samples beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.errors import DataError
from punie_build.evaluation.result_files import content
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile, choose_metric, collect, number
from punie_build.schema.spec import digest

LOWER = ("perplexity", "bits_per_byte", "brier", "mse", "mae", "ter")  # where a file does not say it
NOT_METRICS = ("doc_id", "filter", "fewshot_seed")


class LmEvalResults(Struct, frozen=True, kw_only=True):
    """`results_TIME.json`: means by task and metric, and which metrics are better if larger."""

    results: dict[str, dict[str, Any]]
    larger: dict[str, dict[str, Any]] = field(default={}, name="higher_is_better")
    model_name: str = ""
    model_source: str = ""
    config: dict[str, Any] = {}

    @property
    def arm(self) -> str:
        arguments = self.config.get("model_args")
        pretrained = arguments.get("pretrained") if isinstance(arguments, dict) else None
        return str(self.model_name or pretrained or self.model_source or "")


def read_samples(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read a file of samples. The mean is that of the results beside it, if they are there. Raise DataError."""
    task, _, time = path.stem.removeprefix("samples_").rpartition("_")
    results, beside = LmEvalResults(results={}), path.with_name(f"results_{time}.json")
    if task and beside.is_file():
        results = content.decode(content.read_bytes(beside), LmEvalResults, str(beside))
    rows = [(task or path.stem, row) for _, row in content.lines(data, str(path))]
    return _result(path, rows, results, metric, task)


def read_results(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read the samples of all tasks of a file of results. Raise DataError if they are not beside it."""
    results = content.decode(data, LmEvalResults, str(path))
    time = path.stem.removeprefix("results_")
    files = sorted(path.parent.glob(f"samples_*_{time}.jsonl"))
    if not files:
        raise DataError(f"{path}: means only, and no samples_*_{time}.jsonl beside it - run with --log_samples")
    rows = [
        (file.stem.removeprefix("samples_").removesuffix(f"_{time}"), row)
        for file in files
        for _, row in content.lines(content.read_bytes(file), str(file))
    ]
    tasks = {task for task, _ in rows}
    return _result(path, rows, results, metric, tasks.pop() if len(tasks) == 1 else "")


def _result(
    path: Path, rows: Iterable[tuple[str, dict[str, Any]]], results: LmEvalResults, requested: str | None, task: str
) -> ResultFile:
    """Return the outcomes of samples; `task` is the only task, or empty."""
    rows = list(rows)
    metric = choose_metric(_metrics(row for _, row in rows), requested, str(path))
    name, _, filter_ = metric.partition(",")
    tasks = {of_task for of_task, row in rows if name in row}
    outcomes = [
        CaseValues(
            case=f"{row.get('doc_id')}" if task else f"{of_task}/{row.get('doc_id')}",
            values=[] if value is None else [value],
            unscored=int(value is None),
            category=of_task,
            question=f"{row.get('doc_hash') or digest(row.get('doc'))}",
            text=_text(row),
        )
        for of_task, row in rows
        if name in row and str(row.get("filter", "none")) == (filter_ or "none")
        for value in [number(row[name])]
    ]
    task = next(iter(tasks)) if len(tasks) == 1 else ""
    larger = [results.larger.get(of_task, {}).get(name) for of_task in tasks]
    known = [value for value in larger if isinstance(value, bool)]
    return ResultFile(
        file=str(path),
        format="lm-eval",
        arm=results.arm,
        metric=metric,
        metrics=tuple(_metrics(row for _, row in rows)),
        outcomes=collect(outcomes),
        reported=number(results.results.get(task, {}).get(f"{name},{filter_ or 'none'}")),
        lower=not all(known) if known else any(word in name for word in LOWER),
    )


def _metrics(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the metrics that have a number for a sample, with their filter unless it is `none`."""
    names: dict[str, None] = {}
    for row in rows:
        listed = row.get("metrics")
        keys = listed if isinstance(listed, list) else [key for key in row if key not in NOT_METRICS]
        filter_ = str(row.get("filter", "none"))
        for key in keys:
            if isinstance(key, str) and isinstance(row.get(key), bool | int | float):
                names[key if filter_ == "none" else f"{key},{filter_}"] = None
    return [*names]


def _text(row: dict[str, Any]) -> str:
    """Return the prompt of a sample."""
    arguments: Any = row.get("arguments")
    while isinstance(arguments, dict | list) and arguments:
        arguments = next(iter(arguments.values())) if isinstance(arguments, dict) else arguments[0]
    return arguments if isinstance(arguments, str) else msgspec.json.encode(row.get("doc")).decode()[:2000]
