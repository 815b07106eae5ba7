"""The parts of a chat: events of a stream, and text that a terminal may show."""

from __future__ import annotations

from punie_build.cli.chat import deltas, visible


def test_the_parts_of_an_answer_are_read_from_a_stream():
    lines = [
        ": keepalive 1/2",
        "",
        'data: {"choices": [{"delta": {"content": "Hel"}}]}',
        'data:{"choices": [{"delta": {"content": "lo", "reasoning": "hm"}}]}',
        'data: {"choices": [], "usage": {}}',
        "data: [DONE]",
    ]
    assert list(deltas(iter(lines))) == [{"content": "Hel"}, {"content": "lo", "reasoning": "hm"}]


def test_the_message_of_a_server_that_does_not_stream_is_read():
    reply = ['{"choices": [', '{"message": {"content": "Hello"}}]}']
    assert list(deltas(iter(reply))) == [{"content": "Hello"}]


def test_an_answer_cannot_control_the_terminal():
    assert visible("a\tb\n\x1b[2Jc\r\x07é\u202e") == "a\tb\n\ufffd[2Jc\ufffd\ufffdé\ufffd"
