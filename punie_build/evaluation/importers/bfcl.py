"""Importer of the Berkeley Function-Calling Leaderboard: a question, functions, and the allowed values of each
parameter.

The value "" means that the parameter may be omitted. Texts are compared loosely, as the leaderboard does. Calls may
have any order; they are paired by optimal assignment, where the leaderboard is greedy, and values inside tables have
their types compared, which the leaderboard does not. `benchmarks/bfcl.py` runs both checkers: 99.94 % of probes agree.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from punie_build.data.example import Message
from punie_build.evaluation import suite as suites
from punie_build.evaluation.checks.matchers import AbsentValue, Matcher, OneOf, OptionalValue, RegexValue, TableValue
from punie_build.evaluation.checks.union import AnyCheck, Calls, ExpectedCall, NoCall
from punie_build.evaluation.importers.bfcl_conversations import import_conversations
from punie_build.evaluation.importers.bfcl_schema import ANY, HINT, declaration, json_type
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case, Suite


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import questions and possible answers. Raise DataError for files that are not JSONL."""
    answers = read_objects(source.answers) if source.answers else []
    truths = {str(row.get("id")): row.get("ground_truth") for row in answers}
    rows = read_objects(source.path)
    if any("involved_classes" in row for row in rows):
        return import_conversations(source.path, rows, truths)
    cases, notes = list[Case](), list[str]()
    for number, row in enumerate(rows, 1):
        name, turns = str(row.get("id")), row.get("question") or []
        try:
            turns = turns if turns and isinstance(turns[0], list) else [turns]
            check = _check(name, row, truths.get(name, row.get("ground_truth")))
            case = _case(name, row, turns[0], check) if check and len(turns) == 1 else None
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            notes.append(f"{name}, row {number}: not in the form of the leaderboard: {error}")
            continue
        if len(turns) != 1:
            notes.append(f"{name}: {len(turns)} turns - conversations with a state are not imported")
        elif case is None:
            advice = "this file of answers has none" if source.answers else "set --answers to the file of answers"
            notes.append(f"{name}: no possible answer - {advice}")
        elif problems := suites.problems(Suite(cases=(case,))):
            notes.append(f"{name} is left out, no answer can pass it: {'; '.join(problems)}")
        else:
            cases.append(case)
    if foreign := sum(_foreign(case.id) for case in cases):
        notes.append(
            f"{foreign} cases of Java or JavaScript expect values of JSON, where the leaderboard expects source text, "
            "such as 10L: their pass rates are not comparable with its own"
        )
    return build_suite(source.path, cases, notes, system="")


def _foreign(name: str) -> bool:
    """Return whether the functions of a question are of another language than Python."""
    return "java" in name


def _case(name: str, row: dict[str, Any], turn: list[Any], check: AnyCheck) -> Case:
    messages = msgspec.convert(turn, tuple[Message, ...])
    is_prompt = len(messages) == 1 and messages[0].role == "user"
    return Case(
        id=name,
        category=name.rstrip("0123456789-").rstrip("_") or "all",
        prompt=messages[0].content if is_prompt else None,
        messages=None if is_prompt else messages,
        tools=tuple(declaration(function, "" if _foreign(name) else HINT) for function in row.get("function") or ()),
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
    declared = {function.get("name"): function.get("parameters") or {} for function in row.get("function") or ()}
    calls = tuple(
        ExpectedCall(
            name=function,
            arguments={key: _argument(values, declared.get(function, {}), key) for key, values in parameters.items()},
        )
        for call in truth
        for function, parameters in call.items()
    )
    return Calls(calls=calls, mode="unordered", compare="loose")


def _argument(values: Any, parameters: dict[str, Any], key: str) -> Matcher:
    """Return the matcher of a parameter. A required one must be given, also where "" says that it may be omitted; one
    that is not declared must be omitted.

    Where the first value has not the declared type, texts are names of variables, which are compared exactly.
    """
    properties = parameters.get("properties") or {}
    schema = properties.get(key)
    if key not in properties and isinstance(values, list) and "" in values:
        return AbsentValue()
    if isinstance(values, list) and isinstance(schema, dict):
        first = next((value for value in values if value != ""), "")
        if isinstance(first, str) != (json_type(schema) in ("string", "")):
            values = [_variable(value) if isinstance(value, str) and value else value for value in values]
    matcher = _matcher(values, schema)
    is_required = key in (parameters.get("required") or ())
    return matcher.value if is_required and isinstance(matcher, OptionalValue) else matcher


def _variable(name: str) -> RegexValue:
    return RegexValue(pattern=re.escape(name), like=name)


def _matcher(values: Any, schema: Any) -> Matcher:
    """Return the matcher of a list of allowed values, in which "" means omitted, or an empty text."""
    allowed = values if isinstance(values, list) else [values]
    schema = schema if isinstance(schema, dict) else {}
    options = [_option(value, schema) for value in allowed if value != ""]
    if "" not in [value for value in allowed if isinstance(value, str)]:
        return OneOf(values=tuple(options)) if options else AbsentValue()
    if not options or json_type(schema) == "string" or schema.get("type") in ANY:
        options.append("")
    return OptionalValue(value=OneOf(values=tuple(options)))


def _option(value: Any, schema: dict[str, Any]) -> Any:
    """Return an allowed value: of a table, each key has its list of allowed values."""
    if isinstance(value, dict):
        keys = schema.get("properties")
        return TableValue(
            values={key: _matcher(item, keys.get(key) if isinstance(keys, dict) else {}) for key, item in value.items()}
        )
    if isinstance(value, list):
        items = schema.get("items")
        return [_option(item, items if isinstance(items, dict) else {}) for item in value]
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_number and json_type(schema) == "number" else value
