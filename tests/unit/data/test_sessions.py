"""Session logs of coding agents: a file is one conversation."""

from __future__ import annotations

import json
from pathlib import Path

from punie_build.data.example import Row
from punie_build.data.ingest import UnreadableRow, ingest
from punie_build.data.sources import Local
from tests.support.chat_rows import HI, LOOK

CLAUDE = [
    {"type": "summary", "summary": "s", "leafUuid": "u"},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "meta"}, "isMeta": True},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "Look"}, "isSidechain": False},
    {"type": "assistant", "sessionId": "s1", "message": {
        "id": "m1", "role": "assistant", "model": "c",
        "content": [{"type": "thinking", "thinking": "T", "signature": "x"}]}},
    {"type": "assistant", "sessionId": "s1", "message": {"id": "m1", "role": "assistant", "content": [
        {"type": "tool_use", "id": "call_1", "name": "read", "input": {"path": "a"}}]}},
    {"type": "user", "sessionId": "s1", "toolUseResult": {}, "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "x = 1"}]}},
    {"type": "assistant", "sessionId": "s1", "message": {
        "id": "m2", "role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "Hi"}, "isSidechain": True},
    {"type": "assistant", "sessionId": "s1", "isSidechain": True, "message": {
        "id": "m3", "role": "assistant", "content": [{"type": "text", "text": "Hello."}]}},
]  # fmt: skip
CODEX = [
    {"timestamp": "t", "type": "session_meta", "payload": {"id": "s2", "instructions": None}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look"}]}},
    {"timestamp": "t", "type": "event_msg", "payload": {"type": "user_message", "message": "Look"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}], "encrypted_content": "x"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "function_call", "name": "read", "arguments": '{"path": "a"}', "call_id": "call_1"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "function_call_output", "call_id": "call_1", "output": "x = 1"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is 1."}]}},
]  # fmt: skip
PI = [
    {"type": "session", "id": "s3", "cwd": "/x", "version": 3},
    {"type": "model_change", "modelId": "m"},
    {"type": "message", "message": {"role": "user", "content": [{"type": "text", "text": "Look"}]}},
    {"type": "message", "message": {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "T"},
        {"type": "toolCall", "id": "call_1", "name": "read", "arguments": {"path": "a"}}]}},
    {"type": "message", "message": {
        "role": "toolResult", "toolCallId": "call_1", "toolName": "read",
        "content": [{"type": "text", "text": "x = 1"}]}},
    {"type": "message", "message": {"role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
]  # fmt: skip
THOUGHT = [LOOK[0], LOOK[1] | {"reasoning_content": "T"}, *LOOK[2:]]


def read(root: Path, events: list[object], extra: str = "") -> list[Row | UnreadableRow]:
    (root / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + extra)
    return [row for _, row in ingest(root, Local(path="log.jsonl"), "auto", root)]


def test_a_log_of_claude_code_is_a_conversation_and_its_side_chains(tmp_path):
    main, side = (json.loads(row.line) for row in read(tmp_path, CLAUDE))
    assert main == {"messages": THOUGHT, "id": "s1", "skipped_events": {"meta": 1, "summary": 1}}
    assert side == {"messages": HI, "id": "s1 side"}


def test_a_log_of_codex_is_a_conversation(tmp_path):
    [row] = read(tmp_path, CODEX)
    assert json.loads(row.line) == {
        "messages": THOUGHT,
        "id": "s2",
        "skipped_events": {"event_msg: user_message": 1},
    }


def test_a_log_of_pi_is_a_conversation(tmp_path):
    [row] = read(tmp_path, PI)
    assert json.loads(row.line) == {"messages": THOUGHT, "id": "s3", "skipped_events": {"model_change": 1}}


def test_skipped_events_are_named_and_broken_lines_reported(tmp_path):
    broken, row = read(tmp_path, PI, "{oops\n")
    assert isinstance(broken, UnreadableRow)
    assert row.unknown_keys == ("skipped_events",)


def test_other_files_with_types_are_no_sessions(tmp_path):
    rows = read(tmp_path, [{"type": "chat", "messages": HI}, {"type": "user", "prompt": "a", "completion": "b"}])
    assert len(rows) == 2
    assert all(isinstance(row, Row) for row in rows)
