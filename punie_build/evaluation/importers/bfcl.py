"""The Berkeley Function-Calling Leaderboard's form: a question, functions, and for each parameter the values that are allowed, "" for
one that may be left out. Texts are compared as it does, loosely; calls in any order, by optimal assignment where it is greedy."""

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
VARIANTS = 64  # spellings of one object that are written out


def import_suite(source: ImportSource) -> ImportedSuite:
    """Raises DataError for files that are no JSONL."""
    told = (
        {str(row.get("id")): row.get("ground_truth") for row in read_objects(source.answers)} if source.answers else {}
    )
    cases, notes = [], []
    for row in read_objects(source.path):
        name, turns = str(row.get("id")), row.get("question") or []
        turns = turns if turns and isinstance(turns[0], list) else [turns]
        check = _check(name, row, told.get(name, row.get("ground_truth")))
        if len(turns) != 1:
            notes.append(f"{name}: {len(turns)} turns - conversations with a state are not imported")
        elif check is None:
            notes.append(f"{name}: no possible answer - give the file of answers with --answers")
        else:
            messages = msgspec.convert(turns[0], tuple[Message, ...])
            alone = len(messages) == 1 and messages[0].role == "user"
            cases.append(
                Case(
                    id=name,
                    category=name.rstrip("0123456789-").rstrip("_") or "all",
                    prompt=messages[0].content if alone else None,
                    messages=None if alone else messages,
                    tools=tuple(_declared(function) for function in row.get("function") or ()),
                    checks=(check,),
                )
            )
    return build_suite(source.path, cases, notes, system="")


def _check(name: str, row: dict[str, Any], truth: Any) -> AnyCheck | None:
    if "irrelevance" in name:
        return NoCall()
    if truth is None and "relevance" in name:  # any call at all
        functions = [str(each.get("name")) for each in row.get("function") or ()]
        return Calls(calls=tuple(ExpectedCall(name=each, more=True) for each in functions), mode="any", allow=("*",))
    if not isinstance(truth, list) or not truth or not all(isinstance(each, dict) for each in truth):
        return None
    calls = [
        ExpectedCall(name=function, arguments={key: _allowed(values) for key, values in parameters.items()})
        for each in truth
        for function, parameters in each.items()
    ]
    return Calls(calls=tuple(calls), mode="unordered", compare="loose")


def _allowed(values: Any) -> Matcher:
    """The list of allowed values; "" in it: may be left out."""
    listed = values if isinstance(values, list) else [values]
    said = [spelling for value in listed if value != "" for spelling in _spellings(value)]
    if len(said) > VARIANTS:
        return AnyValue()
    if "" in [value for value in listed if isinstance(value, str)]:
        return OptionalValue(value=OneOf(values=tuple(said)) if said else OneOf(values=("",)))
    return OneOf(values=tuple(said))


def _spellings(value: Any) -> list[Any]:
    """An object is given as the allowed values of each of its keys: every object that they make."""
    if isinstance(value, dict) and all(isinstance(each, list) for each in value.values()):
        keys = [
            [(key, spelling) for each in values if each != "" for spelling in _spellings(each)]
            + [None for each in values if each == ""]
            for key, values in value.items()
        ]
        some = [dict(pair for pair in pairs if pair) for pairs in product(*keys)] if keys else [{}]
        return some[: VARIANTS + 1]
    return [value]


def _declared(function: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {**function, "parameters": _schema(function.get("parameters") or {})}}


def _schema(value: Any) -> Any:
    """JSON Schema's names of types for Python's."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not (key == "type" and each == "any")}
        return {
            key: TYPES.get(each, each) if key == "type" and isinstance(each, str) else _schema(each)
            for key, each in kept.items()
        }
    return [_schema(each) for each in value] if isinstance(value, list) else value
