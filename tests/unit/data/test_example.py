from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import parse
from punie_build.data.filters.content import Secrets
from punie_build.data.ingest import to_chat_row
from punie_build.data.transform import transform_line
from punie_build.data.transforms import FixText, Redact


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text() | st.none()),
        min_size=1,
        max_size=5,
    )
)
def test_content_hash_ignores_the_formatting_of_the_json(turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    one = parse(msgspec.json.encode({"messages": messages, "id": 7}))
    two = parse(msgspec.json.format(msgspec.json.encode({"other": 1, "messages": messages}), indent=0))
    assert one.content_hash() == two.content_hash()
    assert one.line != two.line


@given(st.binary(max_size=200))
def test_any_bytes_give_a_row_or_a_reason(line):
    try:
        row = parse(line)
    except ValueError as reason:
        assert str(reason)  # noqa: PT017 - either way is right
    else:
        assert row.line == line
        assert row.example.messages


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (
            b'{"messages":[{"role":"user"},{"role":"assistant","tool_calls":[{"function":{"name":1}}]}]}',
            "messages[1].tool_calls[0].function.name",
        ),
        (b'{"messages":[{"role":"user"}],"tools":[1]}', "tools[0]"),
        (b'{"messages":[{"role":"user","content":3}]}', "messages[0].content"),
        (b"[]", "line"),
    ],
)
def test_a_reason_names_the_path_in_the_line(line, path):
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected")):
        parse(line)


def nested(depth: int, opening: str) -> str:
    return (
        opening * depth + '"café ghp_4fBq93kLmZx81TyWv02HnRcDs75UjAePoG6I"' + opening.translate(CLOSING)[::-1] * depth
    )


CLOSING = {ord("["): "]", ord("{"): "}", ord('"'): None, ord("a"): None, ord(":"): None}
DEEP_PLACES = {
    "arguments": '"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{"x":%s}}}]}]}',
    "a message's other key": '"other":%s}]}',
    "declarations": '"weight":1}],"tools":[{"type":"function","function":{"name":"f","parameters":{"x":%s}}}]}',
    "rejected": '"weight":1}],"form":"preference","rejected":[{"role":"assistant","content":"no","other":%s}]}',
}
CHAT = '{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes",'


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("place", DEEP_PLACES)
def test_a_row_is_refused_before_its_depth_ends_a_stack_and_can_be_rewritten_below_it(place: str, opening: str):
    for depth in (400, 900, 10_000):
        with pytest.raises(ValueError, match="nested more than 100 levels"):
            parse((CHAT + DEEP_PLACES[place] % nested(depth, opening)).encode())
    row = parse((CHAT + DEEP_PLACES[place] % nested(90, opening)).encode())
    assert b"[token]" in transform_line(row.line, [Redact(), FixText()])
    assert Secrets().keep(row.example) is (place in ("a message's other key", "rejected"))  # these are not rendered


@pytest.mark.parametrize("depth", [400, 900, 10_000])
def test_the_quick_test_of_canonical_lines_refuses_deep_declarations_too(depth: int):
    assert to_chat_row((CHAT + DEEP_PLACES["declarations"] % nested(90, "[")).encode(), "auto")
    with pytest.raises(ValueError, match="nested more than 100 levels"):
        to_chat_row((CHAT + DEEP_PLACES["declarations"] % nested(depth, "[")).encode(), "auto")


def test_the_depth_of_a_text_in_quotes_does_not_count():
    assert parse(msgspec.json.encode({"messages": [{"role": "user", "content": '\\"[{' * 500}]}))


def test_strings_of_arguments_keep_their_order_at_any_depth():
    arguments = '{"a":["b",{"c":"d"}],"e":' + "[" * 500 + '"f"' + "]" * 500 + "}"
    call = {"id": "1", "type": "function", "function": {"name": "g", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    example = parse(msgspec.json.encode({"messages": [message]})).example
    assert list(example.argument_texts()) == ["a", "b", "c", "d", "e", "f"]
