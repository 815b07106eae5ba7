"""One view of a row: every stage sees contents, reasoning, calls, results and tool declarations."""

from __future__ import annotations

import msgspec
import pytest

from punie_build.data.audit import audit
from punie_build.data.audit_checks import AuditedRow
from punie_build.data.chat_template import template_arguments
from punie_build.data.example import Example, decode_example
from punie_build.data.filters.content import NoScript, Regex, Secrets
from punie_build.data.filters.dataset_level import Decontaminate, ExactDedup
from punie_build.data.filters.filter import EMPTY_CONTEXT, FilterContext
from punie_build.data.transforms import Redact, transform_line
from tests.support.chat_rows import assistant, result, system, tool, user

PLACES = ("system", "question", "reasoning", "argument", "result", "declaration", "answer")
SECRET = "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"


def line(place: str = "", text: str = "") -> bytes:
    """Return a row with a text in one place."""

    def at(name: str, other: str) -> str:
        return f"{other} {text}" if name == place else other

    declared = tool("read", path="string")
    declared["function"]["description"] = at("declaration", "reads")
    messages = [
        system(at("system", "s")),
        user(at("question", "q")),
        assistant("", ("read", {"path": at("argument", "p")})) | {"reasoning_content": at("reasoning", "r")},
        result(at("result", "x")),
        assistant(at("answer", "a")),
    ]
    return msgspec.json.encode({"messages": messages, "tools": [declared]})


def example(place: str = "", text: str = "") -> Example:
    return decode_example(line(place, text))


@pytest.mark.parametrize("place", PLACES)
def test_rows_that_differ_in_one_place_are_two_rows(place):
    one, two = example(), example(place, "else")
    assert one.content_hash() != two.content_hash()
    assert one.full_text() != two.full_text()
    assert list(ExactDedup().drops([one, two], EMPTY_CONTEXT)) == []
    assert list(ExactDedup().drops([one, example()], EMPTY_CONTEXT)) == [1]
    rows = [AuditedRow("train", f"train.jsonl:{number}", row) for number, row in enumerate((one, two), 1)]
    assert not [finding for finding in audit(lambda: rows) if finding.problem.startswith("exact duplicates")]


@pytest.mark.parametrize("place", PLACES)
def test_filters_see_every_place(place):
    assert not Secrets().predicate()(example(place, SECRET))
    assert not NoScript(scripts=("han",)).predicate()(example(place, "推理"))
    assert not Regex(drop="ACME").predicate()(example(place, "ACME"))
    context = FilterContext(suites={"s": ("what is the name of the first river in",)})
    leaked = example(place, "what is the name of the first river in Rome")
    assert list(Decontaminate(suites=("s",)).drops([leaked, example()], context)) == [0]
    clean = transform_line(line(place, SECRET), [Redact(kinds=("token",))])
    assert b"[token]" in clean
    assert SECRET.encode() not in clean


def test_a_row_without_secrets_keeps_its_bytes():
    assert transform_line(row := line(), [Redact()]) is row


def test_regex_tests_the_texts_of_its_roles_only():
    assert Regex(drop="ACME", roles=("user",)).predicate()(example("reasoning", "ACME"))
    assert not Regex(drop="ACME", roles=("assistant",)).predicate()(example("argument", "ACME"))


def test_reasoning_and_names_reach_the_chat_template():
    messages, tools = template_arguments(example("reasoning", "else"))
    assert [message.get("reasoning_content") for message in messages] == [None, None, "r else", None, None]
    assert tools
    row = msgspec.json.encode({"messages": [user("q") | {"name": "ann"}, assistant("a")]})
    assert template_arguments(decode_example(row))[0][0]["name"] == "ann"
