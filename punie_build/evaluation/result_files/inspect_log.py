"""Logs of Inspect: `.eval` archives and JSON. Only the header, the summaries and the reductions of an archive are read.

Values are numbers as Inspect converts them: C is 1, I and N are 0, P is 0.5. Samples without a score are unscored.
"""

from __future__ import annotations

from collections import Counter
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.errors import DataError
from punie_build.evaluation.result_files import content
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile, choose_metric, collect, number
from punie_build.schema.spec import digest

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


class LogScore(Struct, frozen=True):
    """The score of a sample by one scorer."""

    value: Any = None


class LogSample(Struct, frozen=True):
    """A sample in one epoch, or its summary."""

    id: str | int
    epoch: int = 1
    input: Any = ""
    target: Any = ""
    scores: dict[str, LogScore] | None = None


class LogConfig(Struct, frozen=True):
    """Settings of the run that decide how epochs become one value."""

    epochs_reducer: list[str] | None = None


class LogSpec(Struct, frozen=True):
    """The task, the model and the settings of a run."""

    task: str
    model: str
    config: LogConfig = LogConfig()


class LogMetric(Struct, frozen=True):
    """A metric over all samples."""

    value: Any = None


class LogResult(Struct, frozen=True):
    """The metrics of a scorer."""

    name: str
    reducer: str | None = None
    metrics: dict[str, LogMetric] = {}


class LogResults(Struct, frozen=True):
    """The metrics of all scorers."""

    scores: list[LogResult] = []


class ReducedSample(Struct, frozen=True):
    """The value of a sample over all epochs."""

    sample_id: str | int
    value: Any = None


class LogReduction(Struct, frozen=True):
    """The values of a scorer over all epochs."""

    scorer: str
    reducer: str | None = None
    samples: list[ReducedSample] = []


class InspectLog(Struct, frozen=True, kw_only=True):
    """A log: JSON as a file, or the members of an archive."""

    run: LogSpec = field(name="eval")
    status: str = "success"
    results: LogResults | None = None
    samples: list[LogSample] | None = None
    reductions: list[LogReduction] | None = None


def read_archive(path: Path, metric: str | None) -> ResultFile:
    """Read an `.eval` archive. Raise DataError."""
    archive = content.Archive(path)
    names = archive.members
    header = "header.json" if "header.json" in names else "_journal/start.json"
    log = content.decode(archive.read(header), InspectLog, f"{path}: {header}")
    journal = sorted(name for name in names if name.startswith("_journal/summaries/"))
    summaries = ["summaries.json"] if "summaries.json" in names else journal
    samples = [
        sample
        for name in summaries
        for sample in content.decode(archive.read(name), list[LogSample], f"{path}: {name}")
    ]
    reductions = None
    if "reductions.json" in names:
        reductions = content.decode(archive.read("reductions.json"), list[LogReduction], f"{path}: reductions.json")
    status = log.status if header == "header.json" else "started"
    return _result(path, msgspec.structs.replace(log, samples=samples, reductions=reductions, status=status), metric)


def read_json(path: Path, data: bytes, metric: str | None) -> ResultFile:
    """Read a log in JSON. Raise DataError."""
    return _result(path, content.decode(data, InspectLog, str(path)), metric)


def _result(path: Path, log: InspectLog, requested: str | None) -> ResultFile:
    samples = log.samples or []
    if not samples:
        raise DataError(f"{path}: no samples - run it with --log-samples")
    reducers = log.run.config.epochs_reducer or ["mean"]
    kinds: dict[str, None] = {}
    for sample in samples:
        for scorer, score in (sample.scores or {}).items():
            keys = score.value if isinstance(score.value, dict) else [""]
            kinds |= dict.fromkeys(f"{scorer}/{key}" if key else scorer for key in keys)
    metric = choose_metric([*kinds], requested, str(path))
    unknown = Counter[str]()
    rows = [
        CaseValues(
            case=str(sample.id),
            values=values,
            unscored=1 - len(values),
            category=log.run.task,
            question=digest([_text(sample.input), sample.target]),
            text=_text(sample.input),
        )
        for sample in samples
        for values in [_values(sample, metric, unknown)]
    ]
    outcomes = collect(rows)
    notes = [f"{count} values {text} are no numbers: 0, as Inspect counts them" for text, count in unknown.items()]
    if reducers[0] != "mean":
        notes.append(f"epochs are reduced by `{reducers[0]}`, as in the log")
        _replace_by_reductions(log, metric, reducers[0], outcomes, path)
    if log.status != "success":
        notes.append(f"the run has the status `{log.status}`")
    return ResultFile(
        file=str(path),
        format="inspect",
        arm=log.run.model,
        metric=metric,
        metrics=tuple(kinds),
        outcomes=outcomes,
        reported=_reported(log, metric, reducers[0]),
        notes=tuple(notes),
    )


def _values(sample: LogSample, metric: str, unknown: Counter[str]) -> list[float]:
    scorer, _, key = metric.partition("/")
    scores = sample.scores or {}
    score = scores.get(metric) or scores.get(scorer)
    value = score.value if score else None
    value = value.get(key) if isinstance(value, dict) else value
    if value is None or (isinstance(value, float) and isnan(value)):
        return []
    if isinstance(value, str) and value in LETTERS:
        return [LETTERS[value]]
    result = number(value)
    if result is None:
        unknown[repr(value)[:40]] += 1
    return [result or 0.0]


def _replace_by_reductions(
    log: InspectLog, metric: str, reducer: str, outcomes: dict[str, CaseValues], path: Path
) -> None:
    """Replace the values of epochs by those that the log reduced them to. Raise DataError if it has none."""
    reduction = next((r for r in log.reductions or [] if r.scorer == metric and r.reducer in (None, reducer)), None)
    if reduction is None:
        raise DataError(
            f"{path}: epochs of {metric} are reduced by `{reducer}`, without their values in the log - score it again"
        )
    reduced = {str(sample.sample_id): sample.value for sample in reduction.samples}
    for case, outcome in outcomes.items():
        value = LETTERS.get(reduced.get(case, "")) if isinstance(reduced.get(case), str) else number(reduced.get(case))
        outcome.values = [] if value is None else [value]


def _reported(log: InspectLog, metric: str, reducer: str) -> float | None:
    for score in log.results.scores if log.results else []:
        if score.name == metric and score.reducer in (None, reducer):
            means = (score.metrics[name].value for name in ("accuracy", "mean") if name in score.metrics)
            return number(next(means, None))
    return None


def _text(value: Any) -> str:
    """Return the question of a sample as text: its text, or the content of its last message."""
    while isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, dict):
        return _text(value.get("content") or value.get("text") or "")
    return value if isinstance(value, str) else ""
