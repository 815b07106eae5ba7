"""Importer of the Berkeley Function-Calling Leaderboard: a question, functions, and the allowed values of each
parameter.

The value "" means that the parameter may be omitted. Texts are compared loosely, as the leaderboard does. Calls may
have any order; they are paired by optimal assignment, where the leaderboard is greedy.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec

from punie_build.data.example import Message
from punie_build.evaluation.checks.matchers import AnyValue, Matcher, OneOf, OptionalValue
from punie_build.evaluation.checks.union import AnyCheck, Calls, ExpectedCall, NoCall
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case

TYPES = {"dict": "object", "float": "number", "tuple": "array"}
MAX_VARIANTS = 64  # of one object; with more, any value is accepted


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import questions and possible answers. Raise DataError for files that are not JSONL."""
    rows = read_objects(source.answers) if source.answers else []
    truths = {str(row.get("id")): row.get("ground_truth") for row in rows}
    cases, notes = [], []
    for row in read_objects(source.path):
        name, turns = str(row.get("id")), row.get("question") or []
        turns = turns if turns and isinstance(turns[0], list) else [turns]
        check = _check(name, row, truths.get(name, row.get("ground_truth")))
        if len(turns) != 1:
            notes.append(f"{name}: {len(turns)} turns - conversations with a state are not imported")
        elif check is None:
            notes.append(f"{name}: no possible answer - set --answers to the file of answers")
        else:
            cases.append(_case(name, row, turns[0], check))
    return build_suite(source.path, cases, notes, system="")


def _case(name: str, row: dict[str, Any], turn: list[Any], check: AnyCheck) -> Case:
    messages = msgspec.convert(turn, tuple[Message, ...])
    is_prompt = len(messages) == 1 and messages[0].role == "user"
    return Case(
        id=name,
        category=name.rstrip("0123456789-").rstrip("_") or "all",
        prompt=messages[0].content if is_prompt else None,
        messages=None if is_prompt else messages,
        tools=tuple(_declaration(function) for function in row.get("function") or ()),
        checks=(check,),
    )


def _check(name: str, row: dict[str, Any], truth: Any) -> AnyCheck | None:
    """Return the check of a row; None without possible answers."""
    if "irrelevance" in name:
        return NoCall()
    if truth is None and "relevance" in name:  # any call is correct
        functions = [str(function.get("name")) for function in row.get("function") or ()]
        calls = tuple(ExpectedCall(name=function, more=True) for function in functions)
        return Calls(calls=calls, mode="any", allow=("*",))
    if not isinstance(truth, list) or not truth or not all(isinstance(call, dict) for call in truth):
        return None
    calls = tuple(
        ExpectedCall(name=function, arguments={key: _matcher(values) for key, values in parameters.items()})
        for call in truth
        for function, parameters in call.items()
    )
    return Calls(calls=calls, mode="unordered", compare="loose")


def _matcher(values: Any) -> Matcher:
    """Return the matcher of a list of allowed values, in which "" means omitted."""
    allowed = values if isinstance(values, list) else [values]
    variants = [variant for value in allowed if value != "" for variant in _variants(value)]
    if len(variants) > MAX_VARIANTS:
        return AnyValue()
    if "" in [value for value in allowed if isinstance(value, str)]:
        return OptionalValue(value=OneOf(values=tuple(variants)) if variants else OneOf(values=("",)))
    return OneOf(values=tuple(variants))


def _variants(value: Any) -> list[Any]:
    """Return all objects that combine the allowed values of each key; other values are their only variant."""
    if isinstance(value, dict) and all(isinstance(allowed, list) for allowed in value.values()):
        options = [
            [(key, variant) for item in allowed if item != "" for variant in _variants(item)]
            + [None for item in allowed if item == ""]
            for key, allowed in value.items()
        ]
        objects = [dict(pair for pair in pairs if pair) for pairs in product(*options)] if options else [{}]
        return objects[: MAX_VARIANTS + 1]
    return [value]


def _declaration(function: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {**function, "parameters": _schema(function.get("parameters") or {})}}


def _schema(value: Any) -> Any:
    """Replace Python names of types by those of JSON Schema."""
    if isinstance(value, dict):
        items = {key: item for key, item in value.items() if not (key == "type" and item == "any")}
        return {
            key: TYPES.get(item, item) if key == "type" and isinstance(item, str) else _schema(item)
            for key, item in items.items()
        }
    return [_schema(item) for item in value] if isinstance(value, list) else value
