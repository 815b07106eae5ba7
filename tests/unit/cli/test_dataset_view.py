"""The commands `dataset ...` in this process: what they name of the files, rows and filters that they read."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from punie_build.cli import dataset
from punie_build.errors import UseError
from tests.support.chat_rows import assistant, user


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    rows = [{"messages": [user(f"question {word}"), assistant(word)], "odd_key": 1} for word in ("a", "b", "")]
    (tmp_path / "raw/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "raw/more.jsonl").write_text("")
    (tmp_path / "raw/notes.txt").write_text("notes")
    return tmp_path


def run(folder: Path, name: str, *words: str) -> int:
    command, add_options = dataset.COMMANDS[f"dataset {name}"]
    parser = ArgumentParser()
    add_options(parser)
    return command(folder, parser.parse_args(words, Namespace()))


@pytest.mark.parametrize("name", ["validate", "stats", "head", "filter", "merge", "audit"])
def test_commands_name_the_files_of_a_folder_that_are_not_read(folder, capfd, name):
    output = ("--output", "out") if name in ("filter", "merge") else ()
    run(folder, name, "raw", *output, *(("--min-messages", "1") if name == "filter" else ()))
    assert "read 1 file; not read: more.jsonl (no split in the name" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "output"), [("validate", ()), ("download", ("--output", "out"))])
def test_commands_name_rows_that_teach_less_and_keys_without_effect(folder, capfd, monkeypatch, name, output):
    monkeypatch.chdir(folder)
    run(folder, name, "raw", *output)
    told = capfd.readouterr().out
    assert "1 row has an empty answer: the filter `content-quality` drops it" in told
    assert "odd_key (in 3 rows)" in told


def test_download_names_splits_that_are_empty(folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "one.jsonl").write_text((folder / "raw/train.jsonl").read_text().replace("question", "number 1"))
    run(folder, "download", "one.jsonl", "--output", "out", "--valid", "0.5", "--test", "0.4")
    run(folder, "download", "out", "--output", "again", "--valid", "0.1")
    assert "note: " in capfd.readouterr().out


def test_filters_of_the_command_line_may_name_bases_and_suites(folder, capfd):
    tables = (
        {"type": "max-tokens", "tokens": 20, "base": "nano"},
        {"type": "decontaminate", "suites": ["tool-calling"]},
    )
    words = [word for table in tables for word in ("--filter", json.dumps(table))]
    assert run(folder, "filter", "raw", "--output", "out", *words) == 0
    assert "dropped by max-tokens" in capfd.readouterr().out
    with pytest.raises(UseError, match="did you mean 'tool-calling'"):
        run(
            folder,
            "filter",
            "raw",
            "--output",
            "out",
            "--filter",
            '{"type": "decontaminate", "suites": ["tool-caling"]}',
        )


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('{"type": "langauge"}', "unknown filter 'langauge' - did you mean 'language'?"),
        ('{"type": "max-tokens", "tokns": 3, "base": "nano"}', "tokns: unknown key - did you mean 'tokens'?"),
        ("[1]", "expected 'object', got 'array'"),
    ],
)
def test_a_wrong_filter_of_the_command_line_is_named_as_in_a_recipe(folder, table, problem):
    with pytest.raises(UseError) as caught:
        run(folder, "filter", "raw", "--output", "out", "--filter", table)
    assert problem in str(caught.value)
