"""Importer of OpenAI evals: JSONL with `input`, a text or messages, and `ideal`, one answer or several.

The eval classes `Match` (the answer begins with an ideal one), `Includes` and `FuzzyMatch` are in another file: by
default an answer must begin with an ideal answer, and equal it with `strict`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from punie_build.data.example import Message
from punie_build.evaluation.checks.union import MatchesRegex
from punie_build.evaluation.importers.imported import ImportedSuite, ImportSource, build_suite, read_objects
from punie_build.evaluation.suite import Case, ReferenceAnswer

KEYS = {"input", "ideal", "id", "metadata", "category"}
EXAMPLES = {"example_user": "user", "example_assistant": "assistant"}  # names of system messages that are examples


def import_suite(source: ImportSource) -> ImportedSuite:
    """Import samples. Raise DataError for a file that has none."""
    rule = "equal" if source.strict else "begin with"
    notes = [f"the eval class is in another file: an answer must {rule} an ideal answer"]
    cases = list[Case]()
    for number, row in enumerate(read_objects(source.path), 1):
        try:
            cases.append(_case(f"sample-{number}", row, source.strict))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            notes.append(f"sample {number} is left out: {error}")
    return build_suite(source.path, cases, notes)


def _case(name: str, row: dict[str, Any], strict: bool) -> Case:
    if unknown := sorted(row.keys() - KEYS):
        raise ValueError(f"the key {unknown[0]} is not imported")
    ideals = row["ideal"] if isinstance(row["ideal"], list) else [row["ideal"]]
    if not ideals or not all(isinstance(ideal, str) and ideal.strip() for ideal in ideals):
        raise ValueError(f"ideal {str(row['ideal'])[:60]} is no text")
    pattern = rf"\A\s*(?:{'|'.join(re.escape(ideal.strip()) for ideal in ideals)})" + (r"\s*\Z" if strict else "")
    return Case(
        id=str(row.get("id") or name),
        category=str(row.get("category") or "all"),
        checks=(MatchesRegex(pattern=pattern),),
        oracle=ReferenceAnswer(content=ideals[0]),
        **_fields(row["input"]),
    )


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"prompt": value}
    messages = []
    for message in value:
        role, name = message["role"], message.get("name")
        if name is not None and name not in EXAMPLES:
            raise ValueError(f"a message of the name {name} is not imported")
        if not isinstance(message["content"], str):
            raise ValueError("a message without text is not imported")
        messages.append({"role": EXAMPLES.get(name, role), "content": message["content"]})
    if not messages:
        raise ValueError("input has no message")
    system = {"system": messages.pop(0)["content"]} if messages[0]["role"] == "system" else {}
    if messages and messages[-1]["role"] == "system":  # evals of one system message ask with it
        messages[-1]["role"] = "user"
    if not messages:
        return {"prompt": system["system"]}
    if any(message["role"] not in ("user", "assistant") for message in messages):
        raise ValueError("a system message between others is not imported")
    if [message["role"] for message in messages] == ["user"]:
        return {"prompt": messages[0]["content"], **system}
    return {"messages": msgspec.convert(messages, tuple[Message, ...]), **system}
