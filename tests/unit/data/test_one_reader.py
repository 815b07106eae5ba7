"""The law of one reader: what a row becomes does not depend on its bytes, nor on the type of its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from punie_build.data.dialects import normalize
from punie_build.data.dialects.canonical import is_canonical, is_canonical_line
from punie_build.data.ingest import ingest, to_chat_row
from punie_build.data.sources import Local
from punie_build.data.unreadable import UnreadableRow
from tests.support.call_cases import CALLS
from tests.support.chat_rows import HI, LOOK, READ, answered, assistant, user
from tests.support.container_cases import CONTAINERS
from tests.support.file_cases import FILES
from tests.support.shape_cases import DIALOGUES, SHAPES

# an unrelated key with every word that begins a call, a result, a fence or a declaration, also escaped
HINTS = (
    "``` <tool_call> <function=f> <functioncall> FUNCTION RESPONSE: <|endoftext|> <tools> Tool result: arguments \u00e9"
)
MORE = {
    "arguments that are no JSON": {
        "messages": [
            user("a"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}],
            },
        ],
    },
    "an orphan result": {"messages": [user("a"), {"role": "tool", "content": "1"}]},
    "no content": {"messages": [user("a"), {"role": "assistant"}]},
    "messages null beside a pair": {"messages": None, "prompt": "a", "completion": "b"},
    "a label of a result after a call": {"messages": [*LOOK[:2], user("Tool result: 1")]},
    "a prompt of Glaive": {"messages": [{"role": "system", "content": "SYSTEM: be kind"}, *HI]},
    "numeric ids": {
        "messages": [
            user("a"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": 1, "type": "function", "function": {"name": "read", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": 1, "content": "x"},
        ],
        "tools": [READ],
    },
    "a turn that is not learned": {"messages": [user("a"), assistant("b") | {"train": False}]},
    "reasoning": {"messages": [user("a"), assistant("b") | {"thinking": "c"}]},
    "images": {"messages": HI, "images": ["a.png"]},
    "an answer that is not wanted": {"messages": HI, "label": False},
    "a pair": {"messages": HI, "chosen": "a", "rejected": "b"},
    "a robot": {"messages": [{"role": "robot", "content": "x"}]},
    "a key nobody knows": {"messages": [HI[0] | {"mood": 1}, HI[1]], "weather": "fine"},
}
FORMS: dict[str, dict[str, Any]] = (
    {name: record for name, record, *_ in CONTAINERS}
    | {f"calls: {name}": answered(text) for name, text, *_ in CALLS}
    | {f"shape: {name}": record for name, record, _ in SHAPES}
    | {f"dialogue: {name}": {"text": text} for name, text, _ in DIALOGUES}
    | MORE
)


def read_one(root: Path, name: str) -> Any:
    [row] = [row for _, row in ingest(root, Local(path=name), "auto", root)]
    return row


def read_all(root: Path, name: str) -> list[Any]:
    return [outcome(row) for _, row in ingest(root, Local(path=name), "auto", root)]


def outcome(row: Any) -> Any:
    """Return what a row became: its content without the unrelated key and without nulls, or the reason."""
    if isinstance(row, UnreadableRow):
        return row.reason
    return without_nulls({key: value for key, value in json.loads(row.line).items() if key != "note"})


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def write_parquet(path: Path, *records: dict[str, Any]) -> bool:
    """Write records as the rows of a table. Return whether Parquet can hold them: a column has one type."""
    keys = dict.fromkeys(key for record in records for key in record)
    try:
        pq.write_table(pa.Table.from_pylist([{key: record.get(key) for key in keys} for record in records]), path)
    except (pa.ArrowException, NotImplementedError):
        return False
    return True


@pytest.mark.parametrize("record", FORMS.values(), ids=FORMS)
def test_a_row_is_the_same_from_every_file(tmp_path, record):
    (tmp_path / "line.jsonl").write_text(json.dumps(record) + "\n")
    (tmp_path / "hints.jsonl").write_text(json.dumps(record | {"note": HINTS}) + "\n")
    (tmp_path / "raw.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n")
    (tmp_path / "array.json").write_text(json.dumps([record], indent=2))
    expected = outcome(read_one(tmp_path, "line.jsonl"))
    for name in ("hints.jsonl", "raw.jsonl", "array.json"):
        assert outcome(read_one(tmp_path, name)) == expected, name
    if write_parquet(tmp_path / "table.parquet", record):
        assert outcome(read_one(tmp_path, "table.parquet")) == expected


@pytest.mark.parametrize("records", [records for records, _ in FILES.values()], ids=FILES)
def test_the_parts_of_conversations_are_joined_in_every_file(tmp_path, records):
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "hints.jsonl").write_text("".join(json.dumps(record | {"note": HINTS}) + "\n" for record in records))
    (tmp_path / "array.json").write_text(json.dumps(records, indent=1))
    (tmp_path / "run.traj").write_text(json.dumps(records))
    written = ["table.parquet"] if write_parquet(tmp_path / "table.parquet", *records) else []
    expected = read_all(tmp_path, "lines.jsonl")
    for name in ("hints.jsonl", "array.json", "run.traj", *written):
        assert read_all(tmp_path, name) == expected, name


def test_an_array_of_messages_is_one_conversation_in_every_file(tmp_path):
    for name in ("line.jsonl", "array.json", "run.traj"):
        (tmp_path / name).write_text(json.dumps(LOOK))
        assert read_all(tmp_path, name) == [{"messages": LOOK}]


@pytest.mark.parametrize("record", FORMS.values(), ids=FORMS)
def test_a_line_that_is_read_quickly_needs_no_conversion(record):
    line = json.dumps(record).encode()
    if is_canonical_line(line):
        assert is_canonical(record)
        assert normalize.to_canonical(record) is record
        assert to_chat_row(line, "auto").line is line


def test_canonical_rows_are_read_quickly():
    for record in ({"messages": HI}, {"messages": LOOK, "tools": [READ], "id": 7, "source": "x", "category": "c"}):
        assert is_canonical_line(json.dumps(record).encode())


CALL = '{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}'
TOOL = '{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}'
DOUBLE = {  # a key and its second value -> a canonical row in which it stands once, at the place of the mark
    '"category": "a"': '{"messages": [{"role": "user", "content": "q"}], @}',
    '"score": 1': '{"messages": [{"role": "user", "content": "q"}], @}',
    '"x": {"y": 1}': '{"messages": [{"role": "user", "content": "q"}], "metadata": {"z": "\\": ", @}}',
    '"role": "user"': '{"messages": [{@, "content": "q"}]}',
    '"weight": 0': '{"messages": [{"role": "assistant", "content": "q", @}]}',
    '"reasoning_content": "x"': '{"messages": [{"role": "assistant", "content": "\\"a\\": b", @}]}',
    '"tool_calls": null': '{"messages": [{"role": "assistant", "content": "a", @}]}',
    '"name": "f"': f'{{"messages": [{{"role": "assistant", "tool_calls": [{CALL}]}}]}}'.replace('"name": "f"', "@"),
    '\\"a\\": {\\"b\\": 1}': f'{{"messages": [{{"role": "assistant", "tool_calls": [{CALL}]}}]}}'.replace("{}", "{@}"),
    '"type": "object"': f'{{"messages": [{{"role": "user", "content": "q"}}], "tools": [{TOOL}]}}'.replace(
        '"type": "object"', "@"
    ),
}


@pytest.mark.parametrize(("pair", "row"), DOUBLE.items(), ids=DOUBLE)
@pytest.mark.parametrize("blank", ["", " "])
def test_a_key_that_occurs_twice_anywhere_is_refused(pair: str, row: str, blank: str):
    once = row.replace("@", pair).replace(': "', f': {blank}"').encode()
    assert is_canonical_line(once)
    assert to_chat_row(once, "auto").line == once
    twice = row.replace("@", f"{pair}, {pair}").encode()
    assert not is_canonical_line(twice)
    for line in (twice, twice.replace(b'{"messages"', b'{"unknown": "```", "messages"')):
        with pytest.raises(ValueError, match="occurs twice in"):
            to_chat_row(line, "auto")
