from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build import jsonl
from punie_build.errors import DataError
from punie_build.examples import parse

GOOD = (
    b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "source": "kept as is"}'
)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "not JSON"),
        (b'{"text": "hi"}', "lacks 'messages'"),
        (b'{"messages": []}', "no messages"),
        (b'{"messages": [{"role": "robot", "content": "hi"}]}', "wrong role"),
        (b'{"messages": [{"content": "hi"}]}', "role"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', "not UTF-8"),
        (b"", "empty line"),
        (b'{"messages": "hello"}', "expected"),
        (b"[1, 2]", "expected"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path, line, reason):
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    with pytest.raises(DataError) as caught:
        list(jsonl.read(path))
    assert f"{path}:2: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_line_of_a_hundred_megabytes_is_refused_without_being_held(tmp_path):
    path = tmp_path / "train.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b"\n")
        for _ in range(100):
            file.write(b"x" * 2**20)
        file.write(b"\n" + GOOD + b"\n")
    found = list(jsonl.problems(path))
    assert "train.jsonl:2: longer than 16 MiB" in str(found[1])
    assert len(found) == 3


def test_twenty_bad_lines_are_shown_and_the_rest_counted(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"oops\n" * 33)
    with pytest.raises(DataError) as caught:
        list(jsonl.read(path))
    assert len(str(caught.value).splitlines()) == 21
    assert "13 more such lines" in str(caught.value)


def test_what_is_read_is_written_byte_for_byte(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        GOOD,
        GOOD.replace(b": ", b":  "),
        b'{"tools":[{"x":{"y":null}}],"messages":[{"role":"tool","content":null,"name":"n"}]}',
    ]
    path.write_bytes(b"\n".join(lines))  # no line end after the last one
    out = tmp_path / "b.jsonl"
    with out.open("wb") as file:
        assert jsonl.write(file, jsonl.read(path)) == 3
    assert out.read_bytes() == b"\n".join(lines) + b"\n"


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text() | st.none()),
        min_size=1,
        max_size=5,
    )
)
def test_identity_is_what_is_said_not_how_it_is_spelt(turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    one = parse(msgspec.json.encode({"messages": messages, "id": 7}))
    two = parse(msgspec.json.format(msgspec.json.encode({"other": 1, "messages": messages}), indent=0))
    assert one.identity() == two.identity()
    assert one.line != two.line


@given(st.binary(max_size=200))
def test_any_bytes_are_a_row_or_a_reason(line):
    try:
        row = parse(line)
    except ValueError as reason:
        assert str(reason)  # noqa: PT017 - either way is right
    else:
        assert row.line == line
        assert row.example.messages
