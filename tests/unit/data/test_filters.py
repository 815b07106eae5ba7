from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from punie_build.data.example import Example, Message, decode_example, parse
from punie_build.data.filters import union
from punie_build.data.filters.union import (
    AnyFilter,
    Balance,
    C4Quality,
    ContentQuality,
    DatasetFilter,
    Decontaminate,
    EndsWithAssistant,
    ExactDedup,
    Filter,
    FilterContext,
    GopherQuality,
    Language,
    LineFilter,
    MaxMessages,
    MaxTokens,
    MinMessages,
    MinTokens,
    NearDedup,
    NoScript,
    PythonFilter,
    PythonVersion,
    Regex,
    Repetition,
    SampleRows,
    ScoredFilter,
    Secrets,
    ValidTools,
    Where,
)
from punie_build.storage import paths


def chat(user: str, assistant: str | None = None) -> Example:
    turns = [Message("user", user)] + ([Message("assistant", assistant)] if assistant is not None else [])
    return decode_example(msgspec.json.encode(Example(tuple(turns))))


CALL = parse(
    b'{"messages":[{"role":"user","content":"go"},{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]},'
    b'{"role":"tool","content":""}]}'
).example

TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "s": {"type": ["string", "null"]}},
            "required": ["n"],
            "additionalProperties": False,
        },
    },
}


def call(arguments: object, name: str = "f", tools: tuple = (TOOL,), answer: str = "1") -> Example:
    function = {
        "name": name,
        "arguments": arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode(),
    }
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": [{"id": "1", "function": function}]},
        {"role": "tool", "tool_call_id": answer, "content": "done"},
    ]
    return decode_example(msgspec.json.encode({"messages": messages, "tools": list(tools)}))


FILTERS = [
    (
        Language(languages=("en",)),
        chat("Please explain how this function works", "It adds the two numbers and returns the result."),
        True,
    ),
    (
        Language(languages=("en",)),
        chat("Wie kann ich diese Datei in meinem Projekt finden?", "Sie liegt im Ordner mit den Tests."),
        False,
    ),
    (
        Language(languages=("de",)),
        chat("Wie kann ich diese Datei in meinem Projekt finden?", "Sie liegt im Ordner mit den Tests."),
        True,
    ),
    (Language(languages=("en",)), chat("この関数を説明してください", "二つの数を足します。"), False),
    (Language(languages=("en",)), chat("ls", "ok"), True),
    (
        Language(languages=("en",)),
        chat(
            "What does the word 漢字 mean in this English sentence?", "It means Chinese characters, as used in Japan."
        ),
        True,
    ),
    (PythonVersion(min="3.10"), chat("x", '```python\nprint "old"\n```'), False),
    (PythonVersion(min="3.10"), chat("x", "```python\nclass Foo:\n    pass\n```"), True),
    (PythonVersion(min="3.10"), chat("x", "from __future__ import annotations\nx = 1"), True),
    (PythonVersion(min="3.10"), chat("create a file with a print statement", "Use print to show a list."), True),
    (
        PythonVersion(min="3.10"),
        chat("How do I print in Python?", "Use print without parentheses: print 'Hello'"),
        False,
    ),
    (PythonVersion(min="3.10"), chat("How do I print in Python?", "Use `print 3` in Python 2."), False),
    (PythonVersion(min="3.10"), chat("Count columns with Python or awk", "awk '{print \"x\"}' file does it."), True),
    (MinMessages(messages=2), chat("x"), False),
    (MinMessages(messages=2), chat("x", "y"), True),
    (ContentQuality(), chat("x", "  "), False),
    (ContentQuality(), chat("x", "7"), True),
    (ContentQuality(), chat("x", " " * 200), False),
    (ContentQuality(min_chars=3), chat("xyz", "  ab  "), False),
    (ContentQuality(min_chars=2), chat("xyz", "  ab  "), True),
    (ContentQuality(), CALL, True),
    (EndsWithAssistant(), chat("x"), False),
    (EndsWithAssistant(), chat("x", "y"), True),
    (EndsWithAssistant(), CALL, False),
    (MaxMessages(messages=1), chat("x", "y"), False),
    (MaxMessages(messages=2), chat("x", "y"), True),
    (MinTokens(tokens=8, base="nano"), chat("x", "y"), True),
    (MinTokens(tokens=90, base="nano"), chat("x", "y"), False),
    (MaxTokens(tokens=90, base="nano"), chat("x", "y"), True),
    (MaxTokens(tokens=8, base="nano"), chat("x", "y" * 90), False),
    (MaxTokens(tokens=8, base="nano"), call({"n": 1}), False),
    (ValidTools(), call({"n": 1}), True),
    (ValidTools(), call({"n": 1, "s": None}), True),
    (ValidTools(), call({"n": "1"}), False),
    (ValidTools(), call('{"n": "1", "n": 1}'), False),
    (ValidTools(), call({"n": True}), False),
    (ValidTools(), call({}), False),
    (ValidTools(), call({"n": 1, "x": 2}), False),
    (ValidTools(), call({"n": 1}, name="g"), False),
    (ValidTools(), call({"n": 1}, name="g", tools=()), True),
    (ValidTools(), call("{", tools=()), False),
    (ValidTools(), call("[1]"), False),
    (ValidTools(), call({"n": 1}, answer="2"), False),
    (ValidTools(), chat("x", "y"), True),
    (NoScript(scripts=("han", "kana")), chat("x", "the word 漢字"), False),
    (NoScript(scripts=("cyrillic",)), chat("привет", "hi"), False),
    (NoScript(scripts=("cyrillic", "thai")), chat("x", "漢字, naïve"), True),
    (Regex(drop="(?i)as an ai"), chat("x", "As an AI model"), False),
    (Regex(drop="(?i)as an ai", roles=("user",)), chat("x", "As an AI model"), True),
    (Regex(keep_only="def "), chat("x", "def f(): ..."), True),
    (Regex(keep_only="def "), chat("x", "no code"), False),
    (Repetition(), chat("x", "I will do it now. " * 30), False),
    (Repetition(), chat("x", " ".join(f"word{n}" for n in range(100))), True),
    (Repetition(), chat("x", "yes yes yes yes yes yes"), True),
    (Secrets(), chat("x", "key = AKIAIOSFODNN7EXAMPLE"), True),
    (Secrets(), chat("x", "key = AKIAIOSFODNN7ABCDEFG"), False),
    (Secrets(), chat("-----BEGIN RSA PRIVATE KEY-----", "oh"), False),
    (Secrets(), call({"s": "ghp_" + "a" * 36}), False),
    (Secrets(), chat("write to ann@company.org", "done, from 8.8.8.8"), True),
    (Secrets(kinds=("email",)), chat("write to ann@company.org", "done"), False),
    (Secrets(kinds=("email",)), chat("write to ann@example.com", "git clone git@host.org:a/b"), True),
    (GopherQuality(), chat("x", "The words of the answer have to be with that. " * 9), True),
    (GopherQuality(), chat("x", "Short."), False),
    (C4Quality(), chat("x", "This is a whole sentence.\n" * 5), True),
    (C4Quality(), chat("x", "not a sentence\n" * 5), False),
    (Secrets(kinds=("ip",)), chat("x", "ping 8.8.8.8"), False),
    (Secrets(kinds=("ip",)), chat("x", "127.0.0.1, 10.0.0.3, 192.168.1.1, version 1.2.3.4.5"), True),
]
LONG = "the quick brown fox jumps over the lazy dog while many other animals sit and watch what it does next"
SUITE = FilterContext({"s": ("please open the file notes.txt and tell me what the third line of it says", "hello")})
DATASET_FILTERS = [
    (ExactDedup(), [chat("a", "b"), chat("A ", "b"), chat("a", "c")], [1]),
    (ExactDedup(on="prompt"), [chat("a", "b"), chat("b", "b"), chat("a", "c")], [2]),
    (ExactDedup(on="answer"), [chat("a", "b"), chat("b", "b"), chat("a", "c")], [1]),
    (ExactDedup(digits=True), [chat("add 1 and 2", "3"), chat("add 14 and 2", "16")], [1]),
    (ExactDedup(), [chat("add 1 and 2", "3"), chat("add 14 and 2", "16")], []),
    (NearDedup(), [chat(LONG, "ok"), chat("else", "no"), chat(LONG + " again", "ok")], [2]),
    (NearDedup(threshold=0.99), [chat(LONG, "ok"), chat(LONG + " again", "ok")], []),
    (
        Decontaminate(suites=("s",)),
        [
            chat("now please open the file notes.txt and tell me what the first", "x"),
            chat("Hello", "x"),
            chat("hello there", "x"),
        ],
        [0, 1],
    ),
    (Decontaminate(suites=("s",), n=20), [chat("now please open the file notes.txt and tell me", "x")], []),
    (Balance(most=1), [Example((Message("user", str(n)),), "ab"[n % 2]) for n in range(6)], 4),
    (Balance(most=1, categories=("a",)), [Example((Message("user", str(n)),), "ab"[n % 2]) for n in range(6)], 2),
    (SampleRows(most=3), [chat(str(n)) for n in range(10)], 7),
    (SampleRows(share=1.0), [chat(str(n)) for n in range(10)], 0),
]


@pytest.mark.parametrize(("filter_", "examples", "dropped"), DATASET_FILTERS)
def test_dataset_filters_drop(filter_: DatasetFilter, examples: list[Example], dropped: list[int] | int):
    positions = sorted(filter_.drops(iter(examples), SUITE))
    assert (positions if isinstance(dropped, list) else len(positions)) == dropped
    assert len(set(positions)) == len(positions)


def test_a_larger_sample_contains_a_smaller_one():
    examples = [chat(str(n)) for n in range(50)]
    few, many = (set(range(50)) - set(SampleRows(most=most).drops(examples, FilterContext())) for most in (5, 20))
    assert few < many
    half = set(range(50)) - set(SampleRows(share=0.5).drops(examples, FilterContext()))
    assert 10 < len(half) < 40


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"type": "regex"}, "either `drop` or `keep_only`"),
        ({"type": "regex", "drop": "("}, "not a regular expression"),
        ({"type": "sample"}, "either `most` or `share`"),
        ({"type": "secrets", "kinds": []}, "length >= 1"),
    ],
)
def test_invalid_filters_are_errors(table, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(table, AnyFilter)


@pytest.mark.parametrize(("filter_", "example", "kept"), FILTERS)
def test_filters_keep_or_drop(filter_: Filter, example: Example, kept: bool):
    assert filter_.predicate(FilterContext(bases={"nano": paths.nano()}))(example) is kept


def test_every_filter_is_in_the_union_and_has_a_row_and_a_docstring():
    bases = {Filter, LineFilter, ScoredFilter, DatasetFilter}
    classes = {cls for cls in vars(union).values() if isinstance(cls, type) and issubclass(cls, Filter)} - bases
    assert classes == set(get_args(AnyFilter))
    for cls in classes - {Where, PythonFilter}:  # they test lines: test_where.py, test_user_function.py
        assert cls.__doc__.startswith(("Keep ", "Drop "))
        if issubclass(cls, DatasetFilter):
            assert any(type(filter_) is cls and dropped for filter_, _, dropped in DATASET_FILTERS)
        else:
            assert {kept for filter_, _, kept in FILTERS if type(filter_) is cls} == {True, False}


def test_a_filter_is_a_value():
    table = {"type": "python-version", "min": "3.11"}
    assert msgspec.convert(table, AnyFilter) == PythonVersion(min="3.11")
    assert hash(Language(languages=("en",))) == hash(Language(languages=("en",)))
