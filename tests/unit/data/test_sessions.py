"""Session logs of coding agents: a file is one conversation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import Row
from punie_build.data.ingest import UnreadableRow, ingest
from punie_build.data.sources import Local
from tests.support.chat_rows import HI
from tests.support.file_cases import CLAUDE, FILES, OF_OPENHANDS, OPENHANDS, OPENHANDS_SDK, PI
from tests.support.profiles import examples
from tests.support.spoiled_values import spoiled


def read(root: Path, events: list[object], extra: str = "") -> list[Row | UnreadableRow]:
    (root / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + extra)
    return [row for _, row in ingest(root, Local(path="log.jsonl"), "auto", root)]


def outcome(row: Row | UnreadableRow) -> object:
    return row.reason.partition(" - ")[0] if isinstance(row, UnreadableRow) else json.loads(row.line)


@pytest.mark.parametrize(("records", "expected"), FILES.values(), ids=FILES)
def test_the_records_of_a_file_are_joined(tmp_path, records, expected):
    got = [outcome(row) for row in read(tmp_path, records)]
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one == other if isinstance(other, dict) else str(one).startswith(other)


@pytest.mark.parametrize("name", ["{}.json", "event-{:05}-1f.json"])
def test_a_folder_with_a_file_for_each_event_is_one_conversation(tmp_path, name):
    events = [
        event | {"id": number} for number, event in enumerate([*OPENHANDS[:3], *[OPENHANDS[2]] * 8, *OPENHANDS[3:]])
    ]
    for session in ("a", "b"):
        (tmp_path / "sessions" / session).mkdir(parents=True)
        for number, event in enumerate(events):
            (tmp_path / "sessions" / session / name.format(number)).write_text(json.dumps(event))
    (tmp_path / "sessions/b/metadata.json").write_text(json.dumps({"title": "t"}))
    rows = [row for _, row in ingest(tmp_path, Local(path="sessions"), "auto", tmp_path)]
    expected = OF_OPENHANDS | {"skipped_events": {"action: recall": 9, "observation: recall": 1}}
    assert [outcome(row) for row in rows[:2]] == [expected, expected]
    assert [str(outcome(row)).startswith("no dialect fits") for row in rows[2:]] == [True]


def test_side_chains_are_told_apart(tmp_path):
    sides = [{**event, "isSidechain": True, "agentId": name} for name in "ab" for event in CLAUDE[2:4]]
    rows = read(tmp_path, [*CLAUDE[:7], sides[0], sides[2], sides[1], sides[3]])
    assert [json.loads(row.line)["id"] for row in rows] == ["s1", "s1 side", "s1 side 2"]


def test_calls_of_one_response_are_in_one_message(tmp_path):
    second = {**OPENHANDS_SDK[3], "id": "9", "tool_call_id": "call_2"}
    result = {**OPENHANDS_SDK[4], "tool_call_id": "call_2"}
    [row] = read(tmp_path, [*OPENHANDS_SDK[:5], second, result, OPENHANDS_SDK[5]])
    messages = json.loads(row.line)["messages"]
    assert [len(message.get("tool_calls", ())) for message in messages] == [0, 0, 2, 0, 0, 0]


@examples(240)
@given(st.data())
def test_spoiled_parts_of_a_file_are_read_or_reported(tmp_path_factory, data):
    records, _ = FILES[data.draw(st.sampled_from(sorted(FILES)))]
    for row in read(tmp_path_factory.mktemp("log"), [spoiled(record, data.draw) for record in records]):
        assert isinstance(row, Row) or " - " in row.reason


def test_skipped_events_are_named_and_broken_lines_reported(tmp_path):
    broken, row = read(tmp_path, PI, "{oops\n")
    assert isinstance(broken, UnreadableRow)
    assert row.unknown_keys == ("skipped_events",)


def test_other_files_with_types_are_no_sessions(tmp_path):
    rows = read(tmp_path, [{"type": "chat", "messages": HI}, {"type": "user", "prompt": "a", "completion": "b"}])
    assert len(rows) == 2
    assert all(isinstance(row, Row) for row in rows)
