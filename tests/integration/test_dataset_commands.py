"""The commands `dataset ...` on files and folders, each in a process of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from punie_build.data.filters.union import Regex
from punie_build.data.pipeline import build_dataset, build_stage
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset, Stage
from tests.support.command import punie_build


def line(*texts: str, **more: object) -> str:
    turns = zip(["user", "assistant"] * 9, texts, strict=False)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **more}) + "\n"


def run(folder: Path, *words: str, code: int = 0) -> str:
    process = punie_build(folder, "dataset", *words)
    assert process.returncode == code, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    return process.stdout + process.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
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
def test_filter_keeps_rows_by_language_python_version_and_length(folder):
    output = run(
        folder, "filter", "raw", "-o", "clean", "--language", "en", "--min-python", "3.10", "--min-messages", "2"
    )
    assert "train  1 of 4 kept (25%)" in output
    assert "1 dropped by language" in output
    assert "next: punie-build dataset head clean --dropped" in output
    assert (folder / "clean/train.jsonl").read_text() == (folder / "raw/train.jsonl").read_text().splitlines(True)[0]
    assert "dropped by python-version" in run(folder, "head", "clean", "--dropped")
    assert run(
        folder, "filter", "raw", "-o", "few", "--max", "5", "--filter", '{"type": "min-messages", "messages": 1}'
    )
    assert "no filter is named" in run(folder, "filter", "raw", "-o", "x", code=2)
    assert "--filter {: " in run(folder, "filter", "raw", "-o", "x", "--filter", "{", code=2)
    assert "did you mean 'en'?" in run(folder, "filter", "raw", "-o", "x", "--language", "english", code=2)


def test_head_shows_dropped_rows_that_could_not_be_read(folder):
    with (folder / "raw/train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user"\n\n')
    spec = Dataset(source=Local(path="raw"), unreadable="drop")
    out = folder / "data"
    out.mkdir()
    assert build_dataset("d", spec, folder, out).total.dropped == {"unreadable": 1, "held-out": 1}
    output = run(folder, "head", "data", "--dropped")
    assert "--- train, unreadable: not JSON: " in output
    assert '{"messages": [{"role": "user"\n' in output


def test_a_folder_of_other_origin_is_not_overwritten(folder):
    (folder / "notes").mkdir()
    (folder / "notes/mine.txt").write_text("mine")
    assert "the folder exists and was not written by punie-build" in run(
        folder, "filter", "raw", "-o", "notes", "--max", "1", code=2
    )
    assert (folder / "notes/mine.txt").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".notes")]


@pytest.mark.slow
def test_audit_reports_problems_with_their_first_rows(folder):
    output = run(folder, "audit", "raw", code=1)
    assert "held-out rows that equal a training row: 1 of 1 rows (100%) - first valid.jsonl:1 = train.jsonl:1" in output
    assert "no assistant at the end: 1 of 5 rows" in output
    (folder / "good.jsonl").write_text(line("hello", "hi"))
    assert run(folder, "audit", "good.jsonl") == "no problems found\n"
    (folder / "bad.jsonl").write_text("oops\n" + line("hello", "hi"))
    assert "rows that cannot be read: 1 - first bad.jsonl:1: not JSON" in run(folder, "audit", "bad.jsonl", code=1)


@pytest.mark.slow
def test_audit_reports_the_text_and_lines_of_the_file_before_its_conversion(folder):
    """Locations and markers are those of the file, before its conversion to chat and with unreadable lines."""
    glaive = [
        {
            "role": "system",
            "content": "SYSTEM: You are helpful with access to the following functions. Use them if required -\n{}",
        },
        {"role": "user", "content": "Book a flight"},
        {"role": "assistant", "content": "I cannot book flights. <|endoftext|>"},
    ]
    glaive[0]["content"] = glaive[0]["content"].replace("{}", '{"name": "f", "parameters": {}}')
    escaped = json.dumps({"messages": glaive}).replace("<", "\\u003c")
    (folder / "g").mkdir()
    (folder / "g/train.jsonl").write_text("oops\n" + json.dumps({"messages": glaive}) + "\n" + escaped + "\n")
    (folder / "g/valid.jsonl").write_text("oops\n" + line("Book a flight", "No."))
    output = run(folder, "audit", "g", code=1)
    assert (
        "end-of-text markers that a dataset removes: 2 of 3 rows (67%) - first train.jsonl:2, train.jsonl:3" in output
    )
    assert "    such as: I cannot book flights. <|endoftext|>\n" in output
    assert "markers in the text" not in output
    assert (
        "held-out rows with the first question of a training row: "
        "1 of 1 rows (100%) - first valid.jsonl:2 = train.jsonl:3"
    ) in output
    unconverted = run(folder, "audit", "g", "--dialect", "messages", code=1)
    assert "end-of-text markers in the text: 2 of 3 rows" in unconverted
    assert "leaves out" not in unconverted
    (folder / "code.csv").write_text("docstring,code\nAdd two numbers,def add(a b): return a + b\n")
    assert run(folder, "audit", "code.csv") == "no problems found\n"


@pytest.mark.slow
def test_merge_drops_duplicates_and_splits_without_leakage(folder):
    (folder / "more.jsonl").write_text("".join(line(f"question {word}", word) for word in "abcdefghijklmnopqrst"))
    output = run(folder, "merge", "raw", "more.jsonl", "-o", "all", "--valid", "0.3")
    assert "1 duplicate dropped" in output
    assert "20 rows from more.jsonl" in output
    assert "held-out" not in run(folder, "audit", "all", code=1)
    (folder / "two.jsonl").write_text(line("x", "y") + line("x", "z"))
    output = run(folder, "merge", "two.jsonl", "-o", "two")
    assert "2 rows: 2 train" in output
    assert "valid is empty instead of 10%: 2 rows have one first question" in output


@pytest.mark.slow
def test_validate_stats_head_and_download(folder):
    assert "5 rows, all of them readable" in run(folder, "validate", "raw")
    (folder / "bad.jsonl").write_text("oops\n")
    assert "bad.jsonl:1: not JSON" in run(folder, "validate", "bad.jsonl", code=2)
    assert "train      4 rows, 7 messages, 0 calls" in run(folder, "stats", "raw")
    assert re.search(r"valid +1 rows, .* tokens, \d+ in the longest row", run(folder, "stats", "raw", "--base", "nano"))
    assert "user What does the function do" in run(folder, "head", "raw", "-n", "1")
    assert "30 rows: " in run(folder, "download", "sample", "-o", "s", "--max", "30")
    assert "no such file or folder" in run(folder, "download", "nothing", "-o", "x", code=2)
    assert "a file of the web needs its digest - add --sha256" in run(
        folder, "download", "http://127.0.0.1/x.jsonl", "-o", "x", code=2
    )


@pytest.mark.slow
def test_audit_renders_rows_with_a_base_and_parses_their_calls(folder):
    """The chat template and the parser of nano agree."""
    run(folder, "download", "hand-authored", "-o", "mine")
    output = run(folder, "audit", "mine", "--base", "nano", code=1)
    assert "the server" not in output
    call = {"function": {"name": "f", "arguments": json.dumps({"text": "</tool_call>"})}}
    rows = [{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [call]}]
    (folder / "odd.jsonl").write_text("oops\n" + json.dumps({"messages": rows}) + "\n")
    output = run(folder, "audit", "odd.jsonl", "--base", "nano", code=1)
    assert "calls that the server cannot parse" in output
    assert "- first odd.jsonl:2\n" in output
    long = line("word " * 5000, "ok")
    (folder / "long.jsonl").write_text(long)
    assert "rows above 2048 tokens of nano" in run(folder, "audit", "long.jsonl", "--base", "nano", code=1)
    misspelled = run(folder, "audit", "odd.jsonl", "--base", "nanno", code=2)
    assert "--base nanno: no base of this name, and no folder with a model - did you mean 'nano'?" in misspelled
    (folder / "recipes").mkdir()
    (folder / "recipes/base.toml").write_text('[base.mine]\npath = "models/mine"\n')
    assert "no base of this name, and no folder with a model" in run(folder, "audit", "mine", "--base", "nanno", code=2)


@pytest.mark.slow
def test_commands_may_drop_what_cannot_be_read(folder):
    with (folder / "raw/train.jsonl").open("a") as file:
        file.write("oops\noops\n")
    run(folder, "stats", "raw", code=2)
    for command in (("validate", "raw"), ("stats", "raw"), ("head", "raw"), ("merge", "raw", "-o", "merged")):
        run(folder, *command, "--unreadable", "drop")
    run(folder, "filter", "raw", "--min-messages", "1", "-o", "filtered", "--unreadable", "drop")
    assert "rows that cannot be read" not in run(folder, "audit", "raw", "--unreadable", "drop", code=1)


@pytest.mark.slow
def test_audit_shows_training_rows_that_other_data_holds_back(folder):
    for name, split in (("a", "test"), ("b", "train")):
        (folder / name).mkdir()
        (folder / name / f"{split}.jsonl").write_text(line("amber", "one") + line("birch", "two"))
    assert "training rows that a holds back: 2 of 2 rows" in run(folder, "audit", "b", "--held-out", "a", code=1)
    run(folder, "merge", "a", "b", "-o", "both")
    assert "holds back" not in run(folder, "audit", "both", "--held-out", "a", code=0)


def test_audit_shows_near_copies_of_held_out_rows_that_other_data_has_or_dropped(folder):
    (folder / "a").mkdir()
    (folder / "a/test.jsonl").write_text(line("amber 1", "one") + line("birch", "two") + line("delta", "x"))
    (folder / "b").mkdir()
    (folder / "b/train.jsonl").write_text(line("amber 2", "three") + line("Birch", "two") + line("cedar", "four"))
    (folder / "whole").mkdir()
    (folder / "filtered").mkdir()
    build_dataset("whole", Dataset(source=Local(path="a")), folder, folder / "whole")
    build_stage("s", Stage(from_="d", filters=(Regex(drop="birch"),)), folder / "whole", folder / "filtered")
    output = run(folder, "audit", "b", "--held-out", "filtered", code=1)
    assert (
        "filtered: held-out rows that equal a training row: 1 of 3 rows (33%) - first filtered, dropped row 1" in output
    )
    assert "filtered: held-out rows with the first question of a training row: 1 of 3 rows" in output
    assert "first filtered, test row 1 = train.jsonl:1" in output
    assert "delta" not in output
