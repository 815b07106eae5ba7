from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from punie_build.data.jsonl import LONGEST_LINE
from punie_build.data.readers import records as readers
from punie_build.data.readers.records import (
    blocks,
    files,
    records,
    side,
    split,
    stem,
)
from punie_build.data.sources import Format
from punie_build.errors import DataError
from tests.support.profiles import examples

HAS = {name: bool(importlib.util.find_spec(name)) for name in ("pyarrow", "zstandard")}
HERE = [
    form
    for form in readers.FORMATS
    if (HAS["pyarrow"] or form != "parquet") and (HAS["zstandard"] or not form.endswith(".zst"))
]
tables = pytest.mark.skipif(not HAS["pyarrow"], reason="needs punie-build[tables]")
ROWS = [
    {"messages": [{"role": "user", "content": 'Ça va?\n"so", she said;\tyes'}], "tools": [{"x": 1}], "category": "a,b"},
    {"messages": [{"role": "user", "content": "\u2028 two"}, {"role": "assistant", "content": ""}], "category": "c"},
]


def zstd(content: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return zstandard.ZstdCompressor().compress(content)


def packed(form: str, content: bytes) -> bytes:
    return gzip.compress(content) if form.endswith(".gz") else zstd(content) if form.endswith(".zst") else content


def written(form: str, path: Path) -> None:
    """ROWS in a format."""
    if form == "parquet":
        pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        return
    base = form.partition(".")[0]
    if base in ("csv", "tsv"):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if base == "csv" else "\t")
        writer.writerow(["messages", "tools", "category"])
        writer.writerows(
            [json.dumps(row["messages"]), json.dumps(row["tools"]) if "tools" in row else "", row["category"]]
            for row in ROWS
        )
        content = text.getvalue()
    else:
        content = json.dumps(ROWS, indent=1) if base == "json" else "".join(json.dumps(row) + "\n" for row in ROWS)
    path.write_bytes(packed(form, content.encode()))


def plain(record: readers.Record) -> object:
    assert not isinstance(record, str), record
    return record if isinstance(record, dict) else json.loads(record)


def test_the_formats_a_recipe_may_name_are_those_that_are_read():
    assert set(get_args(Format)) == set(readers.FORMATS)


@pytest.mark.parametrize("form", HERE)
def test_every_format_gives_the_same_records(tmp_path, form):
    for name, told in ((f"a.{form}", None), (f"A.{form.upper()}", None), ("a.data", form)):
        written(form, tmp_path / name)
        found = list(records(tmp_path / name, told))
        assert [plain(record) for _, record in found] == ROWS
        assert [number for number, _ in found] == ([2, 3] if form[:3] in ("csv", "tsv") else [1, 2])


@pytest.mark.parametrize("form", HERE)
def test_a_pointer_of_git_lfs_is_no_data(tmp_path, form):
    (tmp_path / f"a.{form}").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(DataError, match=r"a\..*: a Git LFS pointer, not the data - run `git lfs pull`"):
        list(records(tmp_path / f"a.{form}"))


@pytest.mark.parametrize("form", HERE)
def test_what_is_not_there_is_said(tmp_path, form):
    with pytest.raises(DataError, match="cannot be read"):
        list(records(tmp_path / f"a.{form}"))
    (tmp_path / f"b.{form}").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(records(tmp_path / f"b.{form}"))


def test_a_format_nobody_reads_and_a_package_that_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"a\.xlsx: a format nobody here reads - known: jsonl, "):
        list(records(tmp_path / "a.xlsx"))
    with pytest.raises(DataError, match=r"a: files are read by nobody_has_it, .* pip install 'punie-build\[tables\]'"):
        readers.needed("nobody_has_it.at_all", "a", "files")
    with pytest.raises(DataError, match="has no lines"):
        list(blocks(tmp_path / "a.csv"))


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))), st.data())
@example([b"", b"", b"a"], None)
def test_every_line_comes_once_and_as_it_is_however_it_is_cut(lines, data):
    end = data.draw(st.sampled_from([b"\n", b"\r\n"])) if data else b"\n"
    content = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)))) if data else [1])
    pieces = [content[start:stop] for start, stop in pairwise([0, *cuts, len(content)]) if start < stop]
    assert [line for block in split(pieces) for line in block] == lines
    raw = b"".join(line + b"\n" for block in split(pieces, returns=True) for line in block)
    assert raw == content
    if content and lines[-1]:  # the last line needs no end
        assert [line for block in split([content[: -len(end)]]) for line in block] == lines


@pytest.mark.parametrize("form", [form for form in HERE if form.startswith(("jsonl", "ndjson"))])
def test_lines_and_blocks_are_the_bytes_of_the_file(tmp_path, form):
    lines = [b'{"n":  %d}' % n + b"\xff" * (n % 700) for n in range(9000)]
    (tmp_path / f"a.{form}").write_bytes(packed(form, b"\n".join(lines)))
    assert [line for _, line in records(tmp_path / f"a.{form}")] == lines
    found = list(blocks(tmp_path / f"a.{form}"))
    assert [line for block in found for line in block] == lines
    assert 3 <= len(found) <= 8


@examples(150)
@given(st.binary(max_size=400), st.sampled_from([form for form in HERE if form != "parquet"]), st.booleans())
@example(b'[{"a": ' + b"[" * 100_000, "json", False)
@example(b"messages\n" + b"[" * 100_000, "csv", False)
@example(b"[1] 2", "json", False)
@example(b"a,b\n1\0,2", "csv", False)
def test_any_bytes_are_records_or_a_data_error(tmp_path_factory, content, form, truly):
    path = tmp_path_factory.getbasetemp() / f"any.{form}"
    path.write_bytes(packed(form, content) if truly else content)
    try:
        for number, record in records(path):
            assert number >= 1
            assert isinstance(record, bytes | dict | str)
    except DataError as error:
        assert "any." in str(error)  # noqa: PT017 - either way is right


@tables
@examples(40)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=20))
def test_a_parquet_file_with_other_bytes_in_it_is_records_or_a_data_error(tmp_path_factory, at, other):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    written("parquet", path)
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + other + content[at + len(other) :])
    try:
        list(records(path))
    except DataError as error:
        assert "any.parquet" in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize("form", [form for form in HERE if form.endswith(("gz", "zst"))])
def test_a_packed_file_that_is_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path, form):
    path = tmp_path / f"a.{form}"
    written(form, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"damaged or cut short .* - copy or download it again"):
            list(records(path))
    path.write_bytes(whole + b"what is this")
    with pytest.raises(DataError, match="damaged or cut short"):
        list(records(path))


@pytest.mark.parametrize("form", [form for form in HERE if form in ("jsonl.gz", "jsonl.zst")])
def test_several_members_are_one_content(tmp_path, form):
    path = tmp_path / f"a.{form}"
    path.write_bytes(packed(form, b"1\n2") + packed(form, b"") + packed(form, b"3\n"))
    assert list(records(path)) == [(1, b"1"), (2, b"23")]
    if form == "jsonl.gz":
        path.write_bytes(path.read_bytes() + bytes(5000))  # tapes are padded so
        assert list(records(path)) == [(1, b"1"), (2, b"23")]


PEAK = """
import resource, sys
from pathlib import Path
from punie_build.data.readers.records import blocks, records
read = {"records": records, "blocks": blocks}[sys.argv[2]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(1 for _ in read(Path(sys.argv[1]))))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // (1024 if sys.platform == "linux" else 1024**2))
"""


def peak(path: Path, how: str = "records") -> tuple[int, int]:
    """How many records or blocks, and how many MiB more than at the start."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), how], capture_output=True, text=True, check=True, timeout=100
    )
    count, size = done.stdout.split()
    return int(count), int(size)


def test_a_file_of_300_megabytes_and_a_line_of_200_are_never_held(tmp_path):
    line = json.dumps({"messages": [{"role": "user", "content": "x" * 940}]}).encode() + b"\n"
    megabyte = gzip.compress(line * 1000, 1)
    (tmp_path / "a.jsonl.gz").write_bytes(megabyte * 300)
    assert peak(tmp_path / "a.jsonl.gz") == (300_000, pytest.approx(0, abs=30))
    (tmp_path / "b.jsonl.gz").write_bytes(megabyte + gzip.compress(b"x" * 2**20, 1) * 200 + gzip.compress(b"\n{}\n"))
    for how, least in (("records", 1002), ("blocks", 2)):
        count, size = peak(tmp_path / "b.jsonl.gz", how)
        assert count >= least
        assert size < 120
    assert [record for _, record in records(tmp_path / "b.jsonl.gz")][1000:] == [readers.TOO_LONG, b"{}"]
    assert max(len(each) for block in blocks(tmp_path / "b.jsonl.gz") for each in block) == LONGEST_LINE + 1


@pytest.mark.skipif(not HAS["zstandard"], reason="needs punie-build[tables]")
def test_a_bomb_is_not_held_either(tmp_path):
    (tmp_path / "a.jsonl.zst").write_bytes(zstd(bytes(2**20 * 400)))
    count, size = peak(tmp_path / "a.jsonl.zst")
    assert count == 1
    assert size < 250


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@examples(200)
@given(st.lists(JSON, max_size=6), st.sampled_from([None, 0, 3]), st.integers(1, 60), st.booleans())
@example([0.5, 1e30, -7], None, 1, True)
def test_an_array_gives_its_items_whatever_its_spacing(items, indent, size, ascii_only):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode(errors="replace")
    pieces = (text[start : start + size] for start in range(0, len(text), size))
    found = [record for _, record in readers.FORMATS["json"](Path("a.json"), pieces)]
    assert all(b"\n" not in record for record in found)
    assert [json.loads(record) for record in found] == json.loads(text)


def test_items_keep_their_bytes(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf [ {"a":1.50, "a" : "\\u00e9\xc3\xa9"},\n{"b":\r\n  10000000000000000000000000}]\n')
    assert list(records(path)) == [
        (1, '{"a":1.50, "a" : "\\u00e9é"}'.encode()),
        (2, b'{"b": 10000000000000000000000000}'),
    ]
    path.write_text('{"a": 1}\n{"b": 2}\n')  # many a .json is one record a line
    assert list(records(path)) == [(1, b'{"a": 1}'), (2, b'{"b": 2}')]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"a": 1}, {"b": ', "record 2: not JSON"),
        (b'[{"a": 1}', "record 1: not JSON: ',' or the array's end is missing"),
        (b'[{"a": 1} {"b": 2}]', "',' or the array's end"),
        (b'[{"a": 1}] []', "something follows the array"),
        (b'[{"a": 1},', "the array does not end"),
        (b'[{"a": "\xff"}]', "not UTF-8 after record 0"),
        (b"[" + b"[" * 100_000, "nested too deeply"),
        (b"id;name\n", "record 1: not JSON"),
    ],
)
def test_an_array_that_is_broken_says_where(tmp_path, content, reason):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(records(tmp_path / "a.json"))
    assert reason in str(caught.value)


def test_csv_tells_bad_rows_by_the_line_they_begin_on_and_goes_on(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbfmessages,note\r\n"[{""role"": ""user""}]","one\r\ntwo"\r\n1,2,3\r\n\r\n[oops,x\r\n[],\xff\r\n,\r\n'
    )
    first, *bad, last = records(path)
    assert first == (2, {"messages": [{"role": "user"}], "note": "one\r\ntwo"})
    assert [number for number, _ in bad] == [4, 6, 7]
    assert [str(text).partition(" - ")[0].partition(":")[0] for _, text in bad] == [
        "3 cells in 2 columns",
        "messages",
        "not UTF-8",
    ]
    assert last == (8, {"note": ""})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,a\n1,2\n", "a.csv:1: names of columns are empty or double"),
        (b'a\n"x"y\n', "a.csv:2: not CSV"),
        (b'a\n"x\n\n', "a.csv:3: not CSV: unexpected end of data"),
        (b"a\n" + b"x" * (LONGEST_LINE + 1), "a.csv:2: longer than 16 MiB"),
    ],
)
def test_csv_that_cannot_be_read_on_is_said(tmp_path, content, reason):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(records(tmp_path / "a.csv"))
    assert reason in str(caught.value)


@tables
def test_parquet_gives_no_key_that_a_column_made_up(tmp_path):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    rows = [
        {
            "messages": [{"role": "assistant", "content": "a", "tool_calls": None}],
            "tools": [{"function": {"parameters": {"path": {"type": "string", "enum": ["a", None]}}}}],
        },
        {"messages": [], "tools": [{"function": {"parameters": {"pid": {"type": "integer"}}}}], "facts": {"a": 1}},
        {"messages": [], "facts": {}},
    ]
    schema = pa.Table.from_pylist(rows).schema
    schema = schema.append(pa.field("facts", pa.map_(pa.string(), pa.int64())))
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet", row_group_size=1)
    del rows[0]["messages"][0]["tool_calls"]
    assert [record for _, record in records(tmp_path / "a.parquet")] == rows


@tables
def test_parquet_that_is_cut_short_says_so(tmp_path):
    written("parquet", tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for size in (0, 3, 100, len(whole) - 1):
        (tmp_path / "a.parquet").write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"a\.parquet: not Parquet, or cut short, after row 0"):
            list(records(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("name", "is_side", "is_stem"),
    [
        ("train.jsonl", "train", "train"),
        ("data/train-00000-of-00003.parquet", "train", "train"),
        ("data/train-00000-of-00001-0a1b2c3d4e5f6a7b.parquet", "train", "train"),
        ("Validation.JSONL.GZ", "valid", "Validation"),
        ("val_07.json", "valid", "val"),
        ("dev.tsv", "valid", "dev"),
        ("test.2.csv.zst", "test", "test"),
        ("python/final/jsonl/train/python_train_0.jsonl.gz", "train", "python_train"),
        ("train/test.jsonl", "test", "test"),
        ("training.jsonl", None, "training"),
        ("dropped.jsonl", None, "dropped"),
        ("test_cases.jsonl", None, "test_cases"),
        ("README", None, "README"),
    ],
)
def test_a_name_says_the_side(name, is_side, is_stem):
    assert (side(name), stem(name)) == (is_side, is_stem)


def test_a_folder_gives_its_sides_or_all_that_can_be_read(tmp_path):
    for name in ("b.jsonl", "a.csv", "notes.txt", ".train.jsonl", "inside/train.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert files(tmp_path) == [(None, tmp_path / "a.csv"), (None, tmp_path / "b.jsonl")]
    for name in ("train-1.parquet", "train-0.parquet", "dev.jsonl.zst"):
        (tmp_path / name).write_text("")
    assert files(tmp_path) == [
        ("valid", tmp_path / "dev.jsonl.zst"),
        ("train", tmp_path / "train-0.parquet"),
        ("train", tmp_path / "train-1.parquet"),
    ]
    assert files(tmp_path / "train-0.parquet") == [(None, tmp_path / "train-0.parquet")]


def test_a_folder_without_data_and_no_folder_are_said(tmp_path):
    with pytest.raises(DataError, match="not there - put the data there"):
        files(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="no data file in this folder - known formats: jsonl, "):
        files(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="no data file in this folder - name a folder in it: data"):
        files(tmp_path)
