"""One view of a row: every stage sees contents, reasoning, calls, results and tool declarations."""

from __future__ import annotations

import json

import msgspec
import pytest

from punie_build.data.audit import audit
from punie_build.data.audit_checks import AuditedRow
from punie_build.data.chat_template import load_tokenizer, template_arguments, text_tokens, token_counter
from punie_build.data.dialects.columns import Layout
from punie_build.data.example import Example, decode_example
from punie_build.data.filters.content import NoScript, Regex, Secrets
from punie_build.data.filters.dataset_level import Decontaminate, ExactDedup
from punie_build.data.filters.filter import EMPTY_CONTEXT, FilterContext
from punie_build.data.filters.structure import MaxTokens
from punie_build.data.ingest import to_chat_row
from punie_build.data.transform import transform_line
from punie_build.data.transforms import FixText, Redact, StripMarkers, SystemPrompt
from punie_build.storage import paths
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


@pytest.mark.parametrize("place", PLACES)
def test_scripts_are_found_in_rows_with_escapes(place):
    filter_ = NoScript(scripts=("han",)).predicate()
    for text, kept in (("推理", False), ("é", True), ("a\\u63a8", True), ("a\nb", True)):
        row = json.dumps(msgspec.json.decode(line(place, text))).encode()
        assert filter_(decode_example(row)) is filter_(example(place, text)) is kept, text


@pytest.mark.parametrize(
    ("calls", "expected"), [(b"null", False), (b"[ ]", False), (b' [\n{"function":{"name":"f"}}]', True)]
)
def test_a_message_has_calls_without_decoding_them(calls, expected):
    (message,) = decode_example(b'{"messages":[{"role":"assistant","tool_calls":%b}]}' % calls).messages
    assert message.has_calls is bool(message.tool_calls) is expected


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


CHAT = {"messages": [user("q"), assistant("one"), user("again"), assistant("two")]}
PAIR = {"messages": [user("q"), assistant("good")], "rejected": [assistant("bad")], "form": "preference"}


def weighted(*weights: object) -> dict[str, object]:
    marks: list[dict[str, object]] = [{} if weight is None else {"weight": weight} for weight in weights]
    pairs = zip(CHAT["messages"], ({}, marks[0], {}, marks[1]), strict=True)
    return {"messages": [message | mark for message, mark in pairs]}


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (weighted(0, None), CHAT, False),
        (weighted(0, None), weighted(None, 0), False),
        (weighted(0, 1), weighted(False, None), True),
        (weighted(1, 1.0), CHAT, True),
        (PAIR, PAIR | {"rejected": [assistant("worse")]}, False),
        (PAIR, {"messages": PAIR["messages"]}, False),
        (PAIR | {"rejected": None, "label": True}, PAIR | {"rejected": None, "label": False}, False),
        (PAIR | {"id": 1}, PAIR | {"id": 2}, True),
    ],
)
def test_rows_are_equal_if_they_teach_the_same(one, two, equal):
    rows = [decode_example(msgspec.json.encode(row)) for row in (one, two)]
    assert (rows[0].content_hash() == rows[1].content_hash()) is equal
    assert (list(ExactDedup().drops(rows, EMPTY_CONTEXT)) == [1]) is equal
    assert rows[0].conversation_hash() == rows[1].conversation_hash()


def test_a_row_without_marks_keeps_its_hash():
    row = decode_example(msgspec.json.encode(CHAT))
    assert row.content_hash() == row.conversation_hash()
    assert row.content_hash().startswith("9ba86667a953ba6e")


@pytest.mark.parametrize("place", PLACES)
def test_markers_are_removed_and_encodings_repaired_in_every_place(place):
    clean = transform_line(line(place, "x<|im_end|>"), [StripMarkers()])
    assert b"<|im_end|>" not in clean
    assert msgspec.json.decode(clean) == msgspec.json.decode(line(place, "x"))
    assert msgspec.json.decode(transform_line(line(place, "cafÃ©"), [FixText()])) == msgspec.json.decode(
        line(place, "café")
    )


def test_a_rejected_answer_is_seen_and_rewritten_as_the_wanted_one():
    row = msgspec.json.encode(PAIR | {"rejected": [assistant(f"use {SECRET}<|im_end|>")]})
    assert not Secrets().predicate()(decode_example(row))
    clean = msgspec.json.decode(transform_line(row, [Redact(kinds=("token",)), StripMarkers()]))
    assert clean["rejected"][0]["content"] == "use [token]"


def test_arguments_stay_json_and_code_in_them_keeps_its_margin():
    row = {"messages": [user("q"), assistant("", ("write", {"content": '    "x" &lt;<|im_end|>'}))]}
    maps = [StripMarkers(), FixText(unescape_html=True, straight_quotes=True)]
    clean = decode_example(transform_line(msgspec.json.encode(row), maps))
    [call] = clean.calls()
    assert msgspec.json.decode(call.arguments) == {"content": '    "x" <'}


def test_raw_text_gets_no_system_prompt():
    row = msgspec.json.encode({"messages": [assistant("Some text.")], "form": "text"})
    assert transform_line(row, [SystemPrompt(prompt="s")]) is row


def test_raw_text_is_counted_without_a_chat_template():
    text = "Some text about rivers."
    raw, chat = ({"messages": [assistant(text)], **form} for form in ({"form": "text"}, {}))
    count = token_counter(paths.nano())
    tokenizer = load_tokenizer(paths.nano())
    lengths = [count(decode_example(msgspec.json.encode(row))) for row in (raw, chat)]
    assert lengths[0] == len(text_tokens(tokenizer, text)) < lengths[1]
    context = FilterContext(bases={"nano": paths.nano()})
    keep = MaxTokens(tokens=lengths[0], base="nano").predicate(context)
    assert [keep(decode_example(msgspec.json.encode(row))) for row in (raw, chat)] == [True, False]


@pytest.mark.parametrize(
    ("keys", "form", "problem"),
    [
        ({"label": "false"}, "chat", "label is false"),
        ({"kto_tag": 0}, "chat", "kto_tag is false"),
        ({"desirable": "False"}, "chat", "desirable is false"),
        ({"form": "text"}, "chat", "raw text is one message"),
        ({"form": "preference"}, "preference", "neither messages under `rejected` nor a label"),
        ({"form": "preference", "rejected": "bad"}, "preference", "neither messages under `rejected` nor a label"),
        ({"form": "preference", "rejected": [{"role": "x"}]}, "preference", "wrong role"),
    ],
)
def test_rows_that_are_not_what_they_claim_are_refused(keys, form, problem):
    with pytest.raises(ValueError, match=problem):
        to_chat_row(msgspec.json.encode({"messages": [user("q"), assistant("a")]} | keys), "auto", Layout(form=form))


@pytest.mark.parametrize("keys", [{"label": 0}, {"label": "positive"}, {"form": "poem"}])
def test_labels_and_forms_without_an_effect_are_named(keys):
    row = to_chat_row(msgspec.json.encode({"messages": [user("q"), assistant("a")]} | keys), "auto")
    assert row.unknown_keys == tuple(keys)


def test_one_answer_of_a_pair_is_chosen_by_its_column():
    pair = {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": "b",
    }
    columns = {"conversations": "messages", "chosen": "assistant"}
    row = to_chat_row(msgspec.json.encode(pair), "auto", Layout(columns))
    assert msgspec.json.decode(row.line) == {"messages": [user("q"), assistant("a")]}
