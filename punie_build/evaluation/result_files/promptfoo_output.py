"""Outputs of promptfoo in JSON and JSONL: a pass, a score and named scores for each test, prompt and provider.

A case is known by its variables, its description and its assertions, so that prompts and providers can be compared.
A test with an error counts as failed, as in promptfoo. A file with several prompts or providers needs the name of one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from punie_build.errors import DataError, join_first
from punie_build.evaluation.result_files import content
from punie_build.evaluation.result_files.outcome import CaseValues, ResultFile, choose_metric, collect, number
from punie_build.schema.spec import digest

ERROR = 2  # a failure that no assertion caused
PASS, SCORE = "pass", "score"


class FooRow(Struct, frozen=True, kw_only=True):
    """The result of a test for one prompt and one provider."""

    success: bool
    score: float | None = None
    prompt: Any = None
    prompt_index: int | None = field(default=None, name="promptIdx")
    test: dict[str, Any] | None = field(default=None, name="testCase")
    variables: dict[str, Any] | None = field(default=None, name="vars")
    provider: Any = None
    named: dict[str, Any] | None = field(default=None, name="namedScores")
    failure: int | None = field(default=None, name="failureReason")

    @property
    def provider_name(self) -> str:
        provider = self.provider
        return str(provider.get("label") or provider.get("id")) if isinstance(provider, dict) else str(provider)

    @property
    def prompt_name(self) -> str:
        prompt = self.prompt
        text = (prompt.get("label") or prompt.get("raw")) if isinstance(prompt, dict) else prompt
        return " ".join(str(text).split())[:60]


class FooCounts(Struct, frozen=True):
    """The counts of a prompt and provider."""

    passes: int = field(default=0, name="testPassCount")
    failures: int = field(default=0, name="testFailCount")
    errors: int = field(default=0, name="testErrorCount")


class FooPrompt(Struct, frozen=True):
    """A prompt and a provider with their counts."""

    provider: str = ""
    metrics: FooCounts | None = None


class FooResults(Struct, frozen=True):
    """All results of a run."""

    results: list[FooRow]
    prompts: list[FooPrompt] = []


class FooOutput(Struct, frozen=True):
    """The JSON that `promptfoo eval -o` writes."""

    results: FooResults


def read_json(path: Path, data: bytes, metric: str | None, arm: str | None) -> ResultFile:
    """Read an output in JSON. Raise DataError."""
    output = content.decode(data, FooOutput, str(path))
    return _result(path, output.results, metric, arm)


def read_rows(path: Path, data: bytes, metric: str | None, arm: str | None) -> ResultFile:
    """Read an output in JSONL. Raise DataError."""
    rows = [content.decode(line, FooRow, str(path)) for line in data.split(b"\n") if line.strip()]
    return _result(path, FooResults(rows), metric, arm)


def _result(path: Path, results: FooResults, requested: str | None, wanted_arm: str | None) -> ResultFile:
    if not results.results:
        raise DataError(f"{path}: no results - run `promptfoo eval -o` again")
    arms: dict[tuple[str, int | str], list[FooRow]] = {}
    for row in results.results:
        prompt = row.prompt_name if row.prompt_index is None else row.prompt_index
        arms.setdefault((row.provider_name, prompt), []).append(row)
    name, rows = _choose_arm(arms, wanted_arm, path)
    metrics = dict.fromkeys([PASS, SCORE, *(key for row in rows for key in row.named or ())])
    metric = choose_metric([*metrics], requested, str(path))
    indexes = {row.prompt_index for row in rows}
    counts = None
    if len(indexes) == 1 and (index := indexes.pop()) is not None and index < len(results.prompts):
        counts = results.prompts[index].metrics
    total = counts.passes + counts.failures + counts.errors if counts else 0
    errors = sum(row.failure == ERROR for row in rows)
    return ResultFile(
        file=str(path),
        format="promptfoo",
        arm=name,
        metric=metric,
        metrics=tuple(metrics),
        outcomes=collect([_outcome(row, metric) for row in _numbered(rows)]),
        reported=counts.passes / total if counts and total and metric == PASS else None,
        notes=(f"{errors} tests with an error count as failed, as promptfoo counts them",) if errors else (),
    )


def _choose_arm(
    arms: dict[tuple[str, int | str], list[FooRow]], requested: str | None, path: Path
) -> tuple[str, list[FooRow]]:
    """Return the name and the rows of the requested arm: a provider, a prompt, or `provider prompt`."""
    names = {key: f"{key[0]} {rows[0].prompt_name}" for key, rows in arms.items()}
    if len({provider for provider, _ in arms}) == len(arms):
        names = {key: key[0] for key in arms}
    if requested is None and len(arms) > 1:
        listed = join_first([f"{path}::{name}" for name in names.values()], 4)
        raise DataError(f"{path}: {len(arms)} prompts and providers - name one: {listed}")
    matches = [key for key, name in names.items() if requested is None or name == requested]
    if len(matches) != 1:
        problem = f"no arm '{requested}'" if not matches else f"{len(matches)} arms '{requested}'"
        raise DataError(f"{path}: {problem} - choose {join_first([*names.values()], 4)}")
    return names[matches[0]], arms[matches[0]]


def _numbered(rows: list[FooRow]) -> list[tuple[str, FooRow]]:
    """Return rows with their case: tests that are equal in all parts are numbered in their order."""
    counts: dict[str, int] = {}
    numbered = []
    for row in rows:
        test = row.test or {}
        values = {**(test.get("vars") or {}), **(row.variables or {})}
        values.pop("sessionId", None)
        case = digest([values, test.get("description"), test.get("assert")])
        counts[case] = counts.get(case, 0) + 1
        label = str(test.get("description") or ", ".join(str(value) for value in values.values()))[:60] or "test"
        numbered.append((f"{label} {case[:8]}" + (f" #{counts[case]}" if counts[case] > 1 else ""), row))
    return numbered


def _outcome(numbered: tuple[str, FooRow], metric: str) -> CaseValues:
    case, row = numbered
    if metric == PASS:
        value: float | None = float(row.success)
    else:
        value = number(row.score if metric == SCORE else (row.named or {}).get(metric))
    text = "\n".join(f"{key}: {item}" for key, item in (row.variables or {}).items())
    return CaseValues(case=case, values=[] if value is None else [value], unscored=int(value is None), text=text)
