from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import parse


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
