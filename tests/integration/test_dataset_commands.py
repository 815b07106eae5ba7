from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from punie_build.data.pipeline import build_dataset
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset


def line(*texts: str, **more: object) -> str:
    turns = zip(["user", "assistant"] * 9, texts, strict=False)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **more}) + "\n"


def run(place: Path, *words: str, code: int = 0) -> str:
    program = "from punie_build.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "dataset", *words], cwd=place, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "train.jsonl").write_text(
        line("What does the function do with the list?", "It sorts the list and returns it.", category="words")
        + line("Wie kann ich diese Datei in meinem Projekt finden?", "Sie liegt im Ordner mit den Tests.")
        + line("Old code", '```python\nprint "x"\n```')
        + line("only a question about the list of files")
    )
    (raw / "valid.jsonl").write_text(
        line("What does the function do with the list?", "It sorts the list and returns it.")
    )
    return tmp_path


@pytest.mark.slow
def test_filter_with_the_old_options(place):
    said = run(place, "filter", "raw", "-o", "clean", "--language", "en", "--min-python", "3.10", "--min-messages", "2")
    assert "train  1 of 4 kept (25%)" in said
    assert "1 dropped by language" in said
    assert "next: punie-build dataset head clean --dropped" in said
    assert (place / "clean/train.jsonl").read_text() == (place / "raw/train.jsonl").read_text().splitlines(True)[0]
    assert "dropped by python-version" in run(place, "head", "clean", "--dropped")
    assert run(place, "filter", "raw", "-o", "few", "--max", "5", "--filter", '{"type": "min-messages", "messages": 1}')
    assert "no filter named" in run(place, "filter", "raw", "-o", "x", code=2)
    assert "--filter {: " in run(place, "filter", "raw", "-o", "x", "--filter", "{", code=2)
    assert "did you mean 'en'?" in run(place, "filter", "raw", "-o", "x", "--language", "english", code=2)


def test_head_shows_dropped_rows_that_could_not_be_read(place):
    with (place / "raw/train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user"\n\n')
    spec = Dataset(source=Local(path="raw"), unreadable="drop")
    out = place / "data"
    out.mkdir()
    assert build_dataset("d", spec, place, out).total.dropped == {"unreadable": 1, "held-out": 1}
    shown = run(place, "head", "data", "--dropped")
    assert "--- train, unreadable: not JSON: " in shown
    assert '{"messages": [{"role": "user"\n' in shown


def test_what_is_there_is_not_overwritten(place):
    (place / "notes").mkdir()
    (place / "notes/mine.txt").write_text("mine")
    assert "there is something else" in run(place, "filter", "raw", "-o", "notes", "--max", "1", code=2)
    assert (place / "notes/mine.txt").exists()
    assert not [path for path in place.iterdir() if path.name.startswith(".notes")]


@pytest.mark.slow
def test_audit_tells_what_is_odd(place):
    said = run(place, "audit", "raw", code=1)
    assert "held-out rows that equal a training row: 1 of 1 rows (100%) - first valid.jsonl:1 = train.jsonl:1" in said
    assert "no assistant at the end: 1 of 5 rows" in said
    (place / "good.jsonl").write_text(line("hello", "hi"))
    assert run(place, "audit", "good.jsonl") == "nothing odd found\n"
    (place / "bad.jsonl").write_text("oops\n" + line("hello", "hi"))
    assert "rows that cannot be read: 1 - first bad.jsonl:1: not JSON" in run(place, "audit", "bad.jsonl", code=1)


@pytest.mark.slow
def test_audit_tells_what_stood_in_the_file_before_it_was_read(place):
    """Markers and places are those of the file, whatever reading made of it, and whatever it could not read."""
    glaive = [
        {"role": "system", "content": "SYSTEM: You are helpful with access to the following functions. Use them if required -\n{}"},
        {"role": "user", "content": "Book a flight"},
        {"role": "assistant", "content": "I cannot book flights. <|endoftext|>"},
    ]  # fmt: skip
    glaive[0]["content"] = glaive[0]["content"].replace("{}", '{"name": "f", "parameters": {}}')
    escaped = json.dumps({"messages": glaive}).replace("<", "\\u003c")
    (place / "g").mkdir()
    (place / "g/train.jsonl").write_text("oops\n" + json.dumps({"messages": glaive}) + "\n" + escaped + "\n")
    (place / "g/valid.jsonl").write_text("oops\n" + line("Book a flight", "No."))
    said = run(place, "audit", "g", code=1)
    assert "end-of-text markers that a dataset removes: 2 of 3 rows (67%) - first train.jsonl:2, train.jsonl:3" in said
    assert "    such as: I cannot book flights. <|endoftext|>\n" in said
    assert "markers in the text" not in said
    assert (
        "held-out rows with the first question of a training row: 1 of 1 rows (100%) - first valid.jsonl:2 = train.jsonl:3"
        in said
    )
    kept = run(place, "audit", "g", "--dialect", "messages", code=1)
    assert "end-of-text markers in the text: 2 of 3 rows" in kept
    assert "leaves out" not in kept
    (place / "code.csv").write_text("docstring,code\nAdd two numbers,def add(a b): return a + b\n")
    assert run(place, "audit", "code.csv") == "nothing odd found\n"


@pytest.mark.slow
def test_merge_drops_twins_and_leaks_nothing(place):
    (place / "more.jsonl").write_text("".join(line(f"question {word}", word) for word in "abcdefghijklmnopqrst"))
    said = run(place, "merge", "raw", "more.jsonl", "-o", "all", "--valid", "0.3")
    assert "1 twins dropped" in said
    assert "20 rows from more.jsonl" in said
    assert "held-out" not in run(place, "audit", "all", code=1)
    (place / "two.jsonl").write_text(line("x", "y") + line("x", "z"))
    said = run(place, "merge", "two.jsonl", "-o", "two")
    assert "2 rows: 2 train" in said
    assert "valid is empty instead of 10%: 2 rows have one first question" in said


@pytest.mark.slow
def test_validate_stats_head_and_download(place):
    assert "5 rows, all of them can be read" in run(place, "validate", "raw")
    (place / "bad.jsonl").write_text("oops\n")
    assert "bad.jsonl:1: not JSON" in run(place, "validate", "bad.jsonl", code=2)
    assert "train      4 rows, 7 messages, 0 calls" in run(place, "stats", "raw")
    assert re.search(r"valid +1 rows, .* tokens, \d+ at most in a row", run(place, "stats", "raw", "--base", "nano"))
    assert "user What does the function do" in run(place, "head", "raw", "-n", "1")
    assert "30 rows: " in run(place, "download", "sample", "-o", "s", "--max", "30")
    assert "no such file or folder" in run(place, "download", "nothing", "-o", "x", code=2)
    assert "--sha256 is needed" in run(place, "download", "http://127.0.0.1/x.jsonl", "-o", "x", code=2)


@pytest.mark.slow
def test_audit_renders_with_a_base_and_reads_calls_back(place):
    """nano's own template and parser: what it writes down, the server reads."""
    run(place, "download", "hand-authored", "-o", "mine")
    said = run(place, "audit", "mine", "--base", "nano", code=1)
    assert "the server" not in said
    call = {"function": {"name": "f", "arguments": json.dumps({"text": "</tool_call>"})}}
    rows = [{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [call]}]
    (place / "odd.jsonl").write_text("oops\n" + json.dumps({"messages": rows}) + "\n")
    said = run(place, "audit", "odd.jsonl", "--base", "nano", code=1)
    assert "calls that the server cannot parse" in said
    assert "- first odd.jsonl:2\n" in said
    long = line("word " * 5000, "ok")
    (place / "long.jsonl").write_text(long)
    assert "rows above 2048 tokens of nano" in run(place, "audit", "long.jsonl", "--base", "nano", code=1)
    (place / "recipes").mkdir()
    (place / "recipes/base.toml").write_text('[base.mine]\npath = "models/mine"\n')
    assert "no base is called so, and no model's folder" in run(place, "audit", "mine", "--base", "nanno", code=2)


@pytest.mark.slow
def test_commands_may_drop_what_cannot_be_read(place):
    with (place / "raw/train.jsonl").open("a") as file:
        file.write("oops\noops\n")
    run(place, "stats", "raw", code=2)
    for command in (("validate", "raw"), ("stats", "raw"), ("head", "raw"), ("merge", "raw", "-o", "merged")):
        run(place, *command, "--unreadable", "drop")
    run(place, "filter", "raw", "--min-messages", "1", "-o", "filtered", "--unreadable", "drop")
    assert "rows that cannot be read" not in run(place, "audit", "raw", "--unreadable", "drop", code=1)


@pytest.mark.slow
def test_audit_shows_training_rows_that_other_data_holds_back(place):
    for name, split in (("a", "test"), ("b", "train")):
        (place / name).mkdir()
        (place / name / f"{split}.jsonl").write_text(line("amber", "one") + line("birch", "two"))
    assert "training rows that a holds back: 2 of 2 rows" in run(place, "audit", "b", "--held-out", "a", code=1)
    run(place, "merge", "a", "b", "-o", "both")
    assert "holds back" not in run(place, "audit", "both", "--held-out", "a", code=0)
