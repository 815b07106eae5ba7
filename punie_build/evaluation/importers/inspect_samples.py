"""Importer of Inspect: the samples of a dataset (JSON, JSONL, CSV), or those of a log, an `.eval` archive or JSON.

A dataset has no scorer: an answer must contain a target, or equal it with `strict`. A log names its scorers; those that
ask a model or run code are refused by name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Message
from punie_build.errors import DataError
from punie_build.evaluation.checks.union import AnyCheck, Contains, MatchesRegex
from punie_build.evaluation.importers.choice_question import NOTE, choice_check, choice_prompt
from punie_build.evaluation.importers.imported import (
    ImportedSuite,
    ImportSource,
    build_suite,
    decode_json,
    read_objects,
)
from punie_build.evaluation.result_files.content import Archive
from punie_build.evaluation.suite import Case, ReferenceAnswer

REFUSED = ("files", "setup", "sandbox")  # of a sample: they need a container
LOG_KEYS = {"status", "plan", "samples"}


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import samples. Raise DataError for a file that has none."""
    rows, scorers = _samples(source.path)
    notes = []
    scorer = "exact" if source.strict else "includes"
    if scorers:
        known = [name for name in scorers if name in SCORERS or name == "choice"]
        notes += [f"the scorer {name} is not imported" for name in scorers if name not in known]
        if not known:
            raise DataError(f"{source.path.name}: no scorer that can be imported: {', '.join(scorers)}")
        scorer = "exact" if source.strict else known[0]
    else:
        notes.append(f"a dataset has no scorer: an answer must {'equal' if source.strict else 'contain'} a target")
    cases = list[Case]()
    for number, row in enumerate(rows, 1):
        name = str(row.get("id") or f"sample-{number}")
        try:
            cases.append(_case(name, row, scorer))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            notes.append(f"{name} is left out: {error}")
    if any(row.get("choices") for row in rows):
        notes.append(NOTE)
    return build_suite(source.path, cases, notes, unique=True)


def _samples(path: Path) -> tuple[Sequence[dict[str, Any]], list[str]]:
    """Return the samples of a file, and the scorers of a log."""
    if path.suffix == ".eval":
        archive = Archive(path)
        header = _object(decode_json(path.name, archive.read("header.json")))
        names = [name for name in archive.members if name.startswith("samples/") and name.endswith("_epoch_1.json")]
        return [_object(decode_json(path.name, archive.read(name))) for name in names], _scorers(header)
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)], []
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path.name}: not CSV: {error} - save it as UTF-8") from None
    rows = read_objects(path)
    if len(rows) == 1 and rows[0].keys() >= LOG_KEYS:
        samples = rows[0]["samples"] if isinstance(rows[0]["samples"], list) else []
        return [sample for sample in map(_object, samples) if sample.get("epoch", 1) == 1], _scorers(rows[0])
    return rows, []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _scorers(header: dict[str, Any]) -> list[str]:
    scores = _object(header.get("results")).get("scores")
    return [str(_object(score).get("scorer")) for score in scores] if isinstance(scores, list) else []


def _case(name: str, row: dict[str, Any], scorer: str) -> Case:
    if used := [key for key in REFUSED if row.get(key)]:
        raise ValueError(f"{used[0]} is not imported")
    metadata = _object(row.get("metadata"))
    targets = _texts(row.get("target"))
    fields: dict[str, Any] = {"id": name, "category": str(metadata.get("category") or "all")}
    if choices := row.get("choices"):
        choices = [str(choice) for choice in choices]
        if len(targets) != 1 or len(targets[0]) != 1 or not targets[0].isalpha():
            raise ValueError("the target of choices is not one letter")
        question = _fields(row["input"], lambda text: choice_prompt(text, choices))
        return Case(**fields, **question, **choice_check(ord(targets[0].upper()) - ord("A"), choices))
    if not targets or not all(target.strip() for target in targets):
        raise ValueError("no target")
    if scorer == "choice":
        raise ValueError("the scorer is `choice`, and the sample has no choices")
    oracle = ReferenceAnswer(content=targets[0])
    return Case(**fields, **_fields(row["input"], str), checks=(SCORERS[scorer](targets),), oracle=oracle)


def _fields(value: Any, last: Callable[[str], str]) -> dict[str, Any]:
    """Return the prompt or the messages of an input; `last` changes its last text."""
    if isinstance(value, str):
        return {"prompt": last(value)}
    messages = [dict(_message(item)) for item in value]
    messages[-1]["content"] = last(messages[-1]["content"])
    system = {"system": messages.pop(0)["content"]} if messages[0]["role"] == "system" else {}
    if [message["role"] for message in messages] == ["user"]:
        return {"prompt": messages[0]["content"], **system}
    return {"messages": msgspec.convert(messages, tuple[Message, ...]), **system}


def _message(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item.get("role") not in ("system", "user", "assistant"):
        raise ValueError(f"a message of the role {item.get('role')} is not imported")
    if item.get("tool_calls"):
        raise ValueError("a message with tool calls is not imported")
    content = item.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if part.get("type") == "text" else None for part in content]
        if None in parts:
            raise ValueError("a message with an image or a sound is not imported")
        content = "\n".join(map(str, parts))
    if not isinstance(content, str):
        raise ValueError("a message without text is not imported")
    yield "role", item["role"]
    yield "content", content


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [str(item) for item in values]


def _end(targets: Sequence[str]) -> AnyCheck:
    return MatchesRegex(pattern=rf"(?i)(?:{_any(targets)})\W*\Z")


def _whole(targets: Sequence[str]) -> AnyCheck:
    return MatchesRegex(pattern=rf"\A\s*(?:{_any(targets)})\s*\Z")


def _any(targets: Sequence[str]) -> str:
    return "|".join(re.escape(target.strip()) for target in targets)


SCORERS: dict[str, Callable[[Sequence[str]], AnyCheck]] = {  # scorer of Inspect -> the check of its targets
    "includes": lambda targets: Contains(words=tuple(targets), mode="any"),
    "match": _end,
    "exact": _whole,
}
