from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from punie_build.data.example import Example
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import AnyFilter, FilterContext
from punie_build.data.filters.where import PythonFilter
from punie_build.data.transforms import PythonMap
from punie_build.data.user_function import UserFunction
from punie_build.errors import DataError

FILE = """
import json
def keep(row): return row["score"] > 1
def change(row):
    print("not an answer")
    if row["score"]:
        row["messages"][0]["content"] += "!"
        return row
def broken(row): return 1 / 0
def number(row): return 1
def bare(row): return {"messages": []}
def slow(row):
    while True: pass
def dies(row):
    import os
    os._exit(3)
def writes(row): open("x", "w")
def connects(row):
    import socket
    socket.create_connection(("127.0.0.1", 9))
def starts(row):
    import subprocess
    subprocess.run(["true"])
def fills(row): return len("x" * (8 << 30)) > 0
def no_number(row): return float("nan")
def surrogate(row): return "\\ud800"
def environment(row):
    import os
    return sorted(os.environ)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "mine.py").write_text(FILE)
    return tmp_path


def rows(project: Path) -> Path:
    lines = [{"messages": [{"role": "user", "content": str(n)}], "score": n} for n in range(4)]
    for split in ("train", "valid", "test"):
        (project / f"{split}.jsonl").write_bytes(
            b"".join(msgspec.json.encode(line) + b"\n" for line in lines) if split == "train" else b""
        )
    return project


def test_a_function_keeps_and_another_changes_rows(project: Path):
    maps = (PythonMap(function="filters.mine:change"),)
    chain = FilterChain(maps, (PythonFilter(function="filters.mine:keep"),), FilterContext(root=project))
    block = next(iter(chain.run(rows(project))))[1]
    records = [msgspec.json.decode(line) for line in block.kept]
    assert [record["messages"][0]["content"] for record in records] == ["2!", "3!"]
    assert len(block.dropped) == 2
    assert block.changed == 3


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("broken", "raised ZeroDivisionError"),
        ("absent", "raised KeyError"),
        ("writes", "may not write x"),
        ("connects", "may not do socket"),
        ("starts", "may not do subprocess"),
        ("fills", "raised MemoryError"),
        ("dies", "its process ended"),
        ("slow", "no result after 0.5 seconds"),
        ("no_number", "a value that JSON cannot hold"),
        ("surrogate", "a value that JSON cannot hold"),
    ],
)
def test_an_error_and_a_forbidden_act_stop_with_their_reason(project: Path, name: str, problem: str):
    function = UserFunction(project, f"filters.mine:{name}", 0.5 if name == "slow" else 20.0)
    with pytest.raises(DataError, match=problem):
        function({"score": 1})


def test_results_of_another_type_are_errors(project: Path):
    keep = PythonFilter(function="filters.mine:number").line_predicate(FilterContext(root=project))
    with pytest.raises(DataError, match="return True or False"):
        keep(b'{"messages":[]}\n', Example(()))
    rewriter = PythonMap(function="filters.mine:bare").bind(FilterContext(root=project))
    with pytest.raises(DataError, match="not a conversation"):
        rewriter.rewrite({"messages": [{"role": "user", "content": "x"}]})


def test_the_process_has_none_of_the_variables(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_TOKEN", "1")
    assert "MY_TOKEN" not in UserFunction(project, "filters.mine:environment", 10)({})


def test_a_missing_file_and_a_wrong_name_are_errors(project: Path):
    with pytest.raises(DataError, match="not found"):
        UserFunction(project, "filters.other:keep", 10)({})
    with pytest.raises(msgspec.ValidationError, match="write module:function"):
        msgspec.convert({"type": "python", "function": "mine.py"}, AnyFilter)


@pytest.mark.parametrize("name", ["broken", "dies", "no_number"])
def test_an_error_names_the_row_without_its_secrets(project: Path, name: str):
    token = "ghp_4fBq93kLmZx81TyWv02HnRcDs75UjAePoG6I"
    function = UserFunction(project, f"filters.mine:{name}", 20.0)
    with pytest.raises(DataError, match=r"row that asks 'why \[token\]\?'") as caught:
        function({"messages": [{"role": "user", "content": f"why {token}?"}]})
    assert token[:12] not in str(caught.value)


def test_an_absent_key_is_named_beside_the_keys_of_the_row(project: Path):
    function = UserFunction(project, "filters.mine:keep", 20.0)
    with pytest.raises(DataError, match=r"raised KeyError: 'score' \(the row has messages, scores\) - correct"):
        function({"messages": [{"role": "user", "content": "q"}], "scores": 1})
