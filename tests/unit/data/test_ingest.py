"""Ingestion of any source in any dialect: no row is lost, and canonical rows are not rewritten."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import SPLITS, Row
from punie_build.data.ingest import ingest, require_readable
from punie_build.data.pipeline import build_dataset
from punie_build.data.sources import Command, Local
from punie_build.data.spec import Dataset
from punie_build.data.split import Split
from punie_build.data.unreadable import UnreadableRow
from punie_build.errors import DataError
from tests.support.profiles import examples

CHAT = '{"id":  7, "messages":[{"content":"hi","role":"user","weight":null},{"role":"assistant","content":"ho"}]}'
ALPACA = '{"instruction": "add", "input": "1 2", "output": "3", "source": "x"}'
GLAIVE = json.dumps(
    {
        "system": (
            "SYSTEM: You are a helpful assistant with access to the following functions. Use them if "
            'required -\n{"name": "f", "parameters": {"type": "object"}}'
        ),
        "chat": (
            'USER: go\n\n\nASSISTANT: <functioncall> {"name": "f", "arguments": \'{}\'} <|endoftext|>\n'
            "\n\nFUNCTION RESPONSE: done\n\n\nASSISTANT: It is done. <|endoftext|>"
        ),
    }
)
CODE = (
    '{"func_documentation_string": "Add two numbers.", "func_code_string": "def add(a, b):\\n   '
    ' return a + b", "language": "python"}'
)
BAD = '{"messages": [{"role": "robot", "content": "x"}]}'


def rows(root: Path, path: str, dialect: str = "auto", **options: object) -> list[Row | UnreadableRow]:
    return [row for _, row in ingest(root, Local(path=path, **options), dialect, root / "scratch")]


def test_chat_keeps_its_bytes_and_other_dialects_become_chat(tmp_path):
    (tmp_path / "all.jsonl").write_text(f"{CHAT}\n{ALPACA}\n{GLAIVE}\n{CODE}\n")
    chat, alpaca, glaive, code = rows(tmp_path, "all.jsonl")
    assert chat.line == CHAT.encode()
    assert [m.content for m in alpaca.example.messages] == ["add\n1 2", "3"]
    assert json.loads(alpaca.line)["source"] == "x"
    assert [call.name for call in glaive.example.calls()] == ["f"]
    assert glaive.example.tools
    assert b"endoftext" not in glaive.line
    assert "```python\ndef add(a, b):" in code.example.messages[1].content


def test_a_named_dialect_accepts_no_other(tmp_path):
    (tmp_path / "all.jsonl").write_text(ALPACA + "\n")
    [row] = rows(tmp_path, "all.jsonl", "sharegpt")
    assert isinstance(row, UnreadableRow)
    assert row.where.endswith("all.jsonl:1")


def test_compressed_files_tables_and_splits(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.jsonl.gz").write_bytes(gzip.compress(f"{CHAT}\n{CHAT}\n".encode()))
    (folder / "validation.csv").write_text("prompt,completion\nhello,there\n")
    pairs = [(split, row.line) for split, row in ingest(tmp_path, Local(path="mine"), "auto", tmp_path)]
    assert [split for split, _ in pairs] == ["train", "train", "valid"]
    assert pairs[0][1] == CHAT.encode()
    assert len(rows(tmp_path, "mine", limit=1)) == 2, "a limit is for each split"


def test_a_command_is_a_source(tmp_path):
    (tmp_path / "make.py").write_text(f"print({CHAT!r})\n")
    pairs = list(require_readable(ingest(tmp_path, Command(argv=("python", "make.py")), "auto", tmp_path / "scratch")))
    assert [row.line for _, row in pairs] == [CHAT.encode()]
    assert Command(argv=("python", "make.py")).inputs() == ("make.py",)


def test_the_error_of_unreadable_rows_names_every_line(tmp_path):
    (tmp_path / "all.jsonl").write_text("\n".join([CHAT, BAD, "oops", '{"a": 1}', "[" * 100_000]) + "\n")
    with pytest.raises(DataError) as caught:
        build_dataset("d", Dataset(source=Local(path="all.jsonl")), tmp_path, tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split("all.jsonl:")[1][0] for line in lines] == ["2", "3", "4", "5"]


def test_unreadable_rows_may_be_dropped_with_their_reasons(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "all.jsonl").write_text(f"{CHAT}\n{BAD}\noops\n")
    spec = Dataset(source=Local(path="all.jsonl"), unreadable="drop", split=Split(valid=0.0))
    stats = build_dataset("d", spec, tmp_path, out)
    assert (stats.total.seen, stats.total.kept, stats.total.dropped) == (3, 1, {"unreadable": 2})
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    assert [(row["reason"], row["line"]) for row in dropped] == [("unreadable", BAD), ("unreadable", "oops")]
    assert "unknown role 'robot'" in dropped[0]["why"]


@examples(60)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([CHAT, ALPACA, GLAIVE, CODE, BAD]),
            st.text(st.characters(exclude_characters="\n\r[{\ufeff"), max_size=30),
        ),
        max_size=12,
    )
)
def test_every_line_is_read_or_reported(tmp_path_factory, lines: list[str]):
    """Require that each line that is not blank is either kept or dropped."""
    root = tmp_path_factory.mktemp("law")
    (root / "all.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
    lines = [line for line in lines if line.encode("utf-8", "surrogatepass").strip()]
    assert len(rows(root, "all.jsonl")) == len(lines)
    out = root / "out"
    out.mkdir()
    spec = Dataset(source=Local(path="all.jsonl"), unreadable="drop")
    if not any(line in (CHAT, ALPACA, GLAIVE, CODE) for line in lines):
        with pytest.raises(DataError, match="no examples: "):
            build_dataset("d", spec, root, out)
        return
    stats = build_dataset("d", spec, root, out)
    assert stats.total.seen == len(lines) == stats.total.kept + sum(stats.total.dropped.values())
    assert sum((out / f"{split}.jsonl").read_bytes().count(b"\n") for split in SPLITS) == stats.total.kept


GOOD = (
    b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "source": "kept as is"}'
)


def read(root: Path, dialect: str = "auto") -> list[bytes]:
    return [row.line for _, row in require_readable(ingest(root, Local(path="train.jsonl"), dialect, root))]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "not JSON"),
        (b'{"text": "hi"}', "the keys are those of text - use dialect 'text' or auto"),
        (b'{"a": 1}', "- "),
        (b'{"messages": []}', "no messages"),
        (b'{"messages": [{"role": "robot", "content": "hi"}]}', "unknown role"),
        (b'{"messages": [{"content": "hi"}]}', "role"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', "not UTF-8"),
        (b'{"messages": "hello"}', "messages is str, not a list"),
        (b"[1, 2]", "expected"),
        (GOOD[:-1] + b', "score": NaN}', "not JSON: NaN is no number of JSON - write null"),
        (GOOD[:-1] + b', "score": -Infinity}', "not JSON: -Infinity is no number of JSON - write null"),
        (GOOD + b"\r" + GOOD, "its records end with carriage returns - save the file with line feeds"),
        (bytes(4000), "zero bytes: the file is damaged - copy it again"),
        (GOOD.replace(b"hi", rb"hi\ud800"), r"not JSON: \ud800 is half of a character - remove it"),
        (GOOD.replace(b"hi", rb"hi\uDFFF\n"), r"not JSON: \uDFFF is half of a character - remove it"),
        (GOOD.replace(b"hi", rb"hi\ud800\n"), r"not JSON: \ud800 is half of a character - remove it"),
        (GOOD.replace(b"hi", rb"hi\ud800\u0041"), r"not JSON: \ud800 is half of a character - remove it"),
        (GOOD.replace(b"hi", b"hi\0\x1b[2J"), r"near \x00\x1b[2J"),
        (GOOD + b",", "at byte 113, near , - write one JSON object per line"),
        (
            b'{"conversations": [{"from": "human", "value": "a"}], "n": ' + b"9" * 5000 + b"}",
            "a number is out of range",
        ),
        (GOOD[:-1] + b', "messages": []}', "'messages' occurs twice in one object"),
        (GOOD.replace(b'"hi"', b'"hi", "content": "ha"'), "'content' occurs twice in one object"),
        (GOOD.replace(b'"hi"', b'"hi", "\\u0063ontent": "ha"'), "'content' occurs twice in one object"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "'prompt' occurs twice in one object"),
    ],
)
def test_an_error_names_file_and_line(tmp_path, line, reason):
    (tmp_path / "train.jsonl").write_bytes(GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path, "messages")
    assert "train.jsonl:2: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_line_of_a_hundred_megabytes_is_an_error(tmp_path):
    path = tmp_path / "train.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b"\n")
        for _ in range(100):
            file.write(b"x" * 2**20)
        file.write(b"\n" + GOOD + b"\n")
    _, second, third = rows(tmp_path, "train.jsonl")
    assert second.reason.startswith("longer than 16 MiB")
    assert isinstance(third, Row)


def test_equal_reasons_are_one_line_with_a_count_and_the_first_places(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"oops\n" * 33 + b'{"a": 1}\n' + b'{"messages": []}\n' * 2)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    first, second, third = str(caught.value).splitlines()
    assert "train.jsonl:1: not JSON" in first
    assert first.endswith("train.jsonl:3 and 30 more)")
    assert "(33 rows: also " in first
    assert "train.jsonl:34: no dialect fits the keys a" in second
    assert third.endswith("(2 rows: also " + str(path) + ":36)")


def test_at_most_twenty_reasons_are_listed(tmp_path):
    lines = [json.dumps({chr(97 + n) * 3: 1}) for n in range(26)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("... and 6 more reasons, 6 rows")


def test_the_reasons_stay_if_no_row_can_be_read(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "all.jsonl").write_text('{"instruction": "a", "zebra": "b"}\n' * 3)
    spec = Dataset(source=Local(path="all.jsonl"), unreadable="drop")
    with pytest.raises(DataError, match=r"dataset\.d: no examples: 0 of 3 rows could be read") as caught:
        build_dataset("d", spec, tmp_path, out, tmp_path / "logs")
    assert "no dialect fits the keys instruction, zebra: the nearest is alpaca, which also has 'output'" in str(
        caught.value
    )
    assert len((tmp_path / "logs/dropped.jsonl").read_text().splitlines()) == 3


def test_canonical_lines_keep_their_bytes(tmp_path):
    lines = [
        GOOD,
        GOOD.replace(b": ", b":  "),
        (
            b'{"tools":[{"type":"function","function":{"name":"f","x":{"y":null}}}],'
            b'"messages":[{"role":"user","content":"a"}]}'
        ),
    ]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(lines))  # no line end after the last one
    assert read(tmp_path) == lines
