from __future__ import annotations

import json
import os
from datetime import datetime

from punie_build.engine import events
from punie_build.storage import paths


def test_an_event_is_one_line_with_its_time_and_its_build(tmp_path):
    events.record(tmp_path, "start", tasks=2)
    events.record(tmp_path, "ran", task="stage:a", reasons=["a\nb"])
    first, second = map(json.loads, (tmp_path / paths.STATE / "events.jsonl").read_text().splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {"event": "start", "build": os.getpid(), "tasks": 2}
    assert (second["event"], second["task"], second["reasons"]) == ("ran", "stage:a", ["a\nb"])


def test_a_large_file_is_renamed_and_a_new_one_begun(tmp_path):
    path = tmp_path / paths.STATE / "events.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"x" * (events.MAX_BYTES + 1))
    events.record(tmp_path, "start")
    assert path.with_name("events.1.jsonl").stat().st_size == events.MAX_BYTES + 1
    assert len(path.read_text().splitlines()) == 1


def test_an_event_that_cannot_be_written_does_not_fail_a_build(tmp_path):
    (tmp_path / paths.STATE).write_text("a file, not a folder")
    events.record(tmp_path, "start")
    assert (tmp_path / paths.STATE).read_text() == "a file, not a folder"


def test_a_pipe_in_the_place_of_the_events_keeps_no_build_waiting(tmp_path):
    (tmp_path / paths.STATE).mkdir()
    os.mkfifo(tmp_path / paths.STATE / "events.jsonl")
    events.record(tmp_path, "start")
    assert list((tmp_path / paths.STATE).iterdir()) == [tmp_path / paths.STATE / "events.jsonl"]


def test_a_follower_gets_the_events_of_the_newest_build_then_each_new_one(tmp_path):
    for number in range(2):
        events.record(tmp_path, "start", tasks=number)
        events.record(tmp_path, "ran", task=f"stage:{number}")
    lines = events.follow(tmp_path)
    assert [json.loads(next(lines))["event"] for _ in range(2)] == ["start", "ran"]
    assert next(lines) is None
    events.record(tmp_path, "end")
    assert json.loads(next(lines))["event"] == "end"
    assert next(lines) is None
    (tmp_path / events.FILE).unlink()
    assert next(lines) is None
    events.record(tmp_path, "start", tasks=7)
    assert json.loads(next(lines))["tasks"] == 7


def test_a_follower_waits_for_the_end_of_a_line(tmp_path):
    events.record(tmp_path, "start")
    lines = events.follow(tmp_path)
    assert [next(lines) is None, next(lines) is None] == [False, True]
    with (tmp_path / events.FILE).open("a") as file:
        file.write('{"event": ')
        file.flush()
        assert next(lines) is None
        file.write('"end"}\n')
    assert next(lines) == '{"event": "end"}'


def test_a_follower_of_a_project_without_builds_waits_for_the_first_one(tmp_path):
    lines = events.follow(tmp_path)
    assert [next(lines), next(lines)] == [None, None]
    events.record(tmp_path, "start")
    assert json.loads(next(lines))["event"] == "start"


def test_a_follower_passes_over_events_without_a_build(tmp_path):
    events.record(tmp_path, "ran", task="stage:a")
    assert next(events.follow(tmp_path)) is None
