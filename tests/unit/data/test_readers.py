from __future__ import annotations

import codecs
import csv
import gzip
import importlib.util
import io
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from punie_build.data.ingest import ingest
from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.compression import read_chunks
from punie_build.data.readers.discovery import data_files, list_folder, split_of, stem
from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.lines import split_lines
from punie_build.data.readers.record import TOO_LONG, Record, import_optional
from punie_build.data.readers.records import read_records
from punie_build.data.sources import Format, Local
from punie_build.data.unreadable import UnreadableRow
from punie_build.errors import DataError
from tests.support.profiles import examples

HAS = {name: bool(importlib.util.find_spec(name)) for name in ("pyarrow", "zstandard")}
INSTALLED_FORMATS = [
    form
    for form in FORMATS
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


def compressed(form: str, content: bytes) -> bytes:
    return gzip.compress(content) if form.endswith(".gz") else zstd(content) if form.endswith(".zst") else content


def write_rows(form: str, path: Path) -> None:
    """Write ROWS in a format."""
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
    path.write_bytes(compressed(form, content.encode()))


def decoded(record: Record) -> object:
    assert not isinstance(record, str), record
    return record if isinstance(record, dict) else json.loads(record)


def test_recipes_may_name_exactly_the_formats_with_a_reader():
    assert set(get_args(Format)) == set(FORMATS)


@pytest.mark.parametrize("form", INSTALLED_FORMATS)
def test_every_format_gives_the_same_records(tmp_path, form):
    for name, form_argument in ((f"a.{form}", None), (f"A.{form.upper()}", None), ("a.data", form)):
        write_rows(form, tmp_path / name)
        result = list(read_records(tmp_path / name, form_argument))
        assert [decoded(record) for _, record in result] == ROWS
        assert [number for number, _ in result] == ([2, 3] if form[:3] in ("csv", "tsv") else [1, 2])


@pytest.mark.parametrize("form", INSTALLED_FORMATS)
def test_a_git_lfs_pointer_is_an_error(tmp_path, form):
    (tmp_path / f"a.{form}").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(DataError, match=r"a\..*: a Git LFS pointer, not the data - run `git lfs pull`"):
        list(read_records(tmp_path / f"a.{form}"))


@pytest.mark.parametrize("form", INSTALLED_FORMATS)
def test_a_missing_file_and_a_folder_are_errors(tmp_path, form):
    with pytest.raises(DataError, match="cannot be read"):
        list(read_records(tmp_path / f"a.{form}"))
    (tmp_path / f"b.{form}").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_records(tmp_path / f"b.{form}"))


def test_an_unsupported_format_and_a_missing_package_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"a\.xlsx: unsupported format - use one of jsonl, "):
        list(read_records(tmp_path / "a.xlsx"))
    with pytest.raises(DataError, match=r"a: files need nobody_has_it, .* pip install 'punie-build\[tables\]'"):
        import_optional("nobody_has_it.at_all", "a", "files")


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))), st.data())
@example([b"", b"", b"a"], None)
def test_lines_do_not_depend_on_chunk_boundaries(lines, data):
    end = data.draw(st.sampled_from([b"\n", b"\r\n"])) if data else b"\n"
    content = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)))) if data else [1])
    chunks = [content[start:stop] for start, stop in pairwise([0, *cuts, len(content)]) if start < stop]
    assert [line for block in split_lines(chunks) for line in block] == lines
    raw = b"".join(line + b"\n" for block in split_lines(chunks, keep_returns=True) for line in block)
    assert raw == content
    if content and lines[-1]:  # the last line needs no end
        assert [line for block in split_lines([content[: -len(end)]]) for line in block] == lines


@pytest.mark.parametrize("form", [form for form in INSTALLED_FORMATS if form.startswith(("jsonl", "ndjson"))])
def test_lines_are_the_bytes_of_the_file(tmp_path, form):
    lines = [b'{"n":  %d}' % n + b"\xff" * (n % 700) for n in range(9000)]
    (tmp_path / f"a.{form}").write_bytes(compressed(form, b"\n".join(lines)))
    assert [line for _, line in read_records(tmp_path / f"a.{form}")] == lines


@examples(150)
@given(
    st.binary(max_size=400), st.sampled_from([form for form in INSTALLED_FORMATS if form != "parquet"]), st.booleans()
)
@example(b'[{"a": ' + b"[" * 100_000, "json", False)
@example(b"messages\n" + b"[" * 100_000, "csv", False)
@example(b"[1] 2", "json", False)
@example(b"a,b\n1\0,2", "csv", False)
def test_any_bytes_give_records_or_a_data_error(tmp_path_factory, content, form, is_compressed):
    path = tmp_path_factory.getbasetemp() / f"any.{form}"
    path.write_bytes(compressed(form, content) if is_compressed else content)
    try:
        for number, record in read_records(path):
            assert number >= 1
            assert isinstance(record, bytes | dict | str)
    except DataError as error:
        assert "any." in str(error)  # noqa: PT017 - either way is right


@tables
@examples(40)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=20))
def test_damaged_parquet_gives_records_or_a_data_error(tmp_path_factory, at, other):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    write_rows("parquet", path)
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + other + content[at + len(other) :])
    try:
        list(read_records(path))
    except DataError as error:
        assert "any.parquet" in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize("form", [form for form in INSTALLED_FORMATS if form.endswith(("gz", "zst"))])
def test_a_truncated_compressed_file_is_always_an_error(tmp_path, form):
    path = tmp_path / f"a.{form}"
    write_rows(form, path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"damaged or truncated .* - copy or download it again"):
            list(read_records(path))
    path.write_bytes(content + b"trailing bytes")
    with pytest.raises(DataError, match="damaged or truncated"):
        list(read_records(path))


@pytest.mark.parametrize("form", [form for form in INSTALLED_FORMATS if form in ("jsonl.gz", "jsonl.zst")])
def test_several_gzip_members_or_zstd_frames_are_one_content(tmp_path, form):
    path = tmp_path / f"a.{form}"
    path.write_bytes(compressed(form, b"1\n2") + compressed(form, b"") + compressed(form, b"3\n"))
    assert list(read_records(path)) == [(1, b"1"), (2, b"23")]
    if form == "jsonl.gz":
        path.write_bytes(path.read_bytes() + bytes(5000))  # as padding of tapes
        assert list(read_records(path)) == [(1, b"1"), (2, b"23")]


PEAK = """
import resource, sys
from pathlib import Path
from punie_build.data.readers.records import read_records
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(1 for _ in read_records(Path(sys.argv[1]))))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // (1024 if sys.platform == "linux" else 1024**2))
"""


def peak(path: Path) -> tuple[int, int]:
    """Return the number of records, and the growth of memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True, timeout=100
    )
    count, size = done.stdout.split()
    return int(count), int(size)


@pytest.mark.slow
def test_memory_is_constant_for_a_large_file_and_a_long_line(tmp_path):
    line = json.dumps({"messages": [{"role": "user", "content": "x" * 940}]}).encode() + b"\n"
    megabyte = gzip.compress(line * 1000, 1)
    (tmp_path / "a.jsonl.gz").write_bytes(megabyte * 300)
    assert peak(tmp_path / "a.jsonl.gz") == (300_000, pytest.approx(0, abs=30))
    (tmp_path / "b.jsonl.gz").write_bytes(megabyte + gzip.compress(b"x" * 2**20, 1) * 200 + gzip.compress(b"\n{}\n"))
    count, size = peak(tmp_path / "b.jsonl.gz")
    assert count >= 1002
    assert size < 120
    assert [record for _, record in read_records(tmp_path / "b.jsonl.gz")][1000:] == [TOO_LONG, b"{}"]
    chunks = read_chunks(tmp_path / "b.jsonl.gz", "jsonl.gz")
    assert max(len(line) for lines in split_lines(chunks) for line in lines) == MAX_LINE_BYTES + 1


@pytest.mark.slow
@pytest.mark.skipif(not HAS["zstandard"], reason="needs punie-build[tables]")
def test_memory_is_bounded_for_a_zip_bomb(tmp_path):
    (tmp_path / "a.jsonl.zst").write_bytes(zstd(bytes(2**20 * 400)))
    with pytest.raises(DataError, match=r"a\.jsonl\.zst: \d+ bytes of it unpack to \d+, as in a decompression bomb -"):
        list(read_records(tmp_path / "a.jsonl.zst"))


@pytest.mark.parametrize("form", ["jsonl.gz", "csv.gz", "json.gz"])
def test_a_flood_of_blanks_is_refused_soon(tmp_path, form):
    path = tmp_path / f"a.{form}"
    path.write_bytes(gzip.compress(b"a,b" * (form == "csv.gz") + (b" " * 2**16 + b"\n") * 300))
    with pytest.raises(DataError, match="as in a decompression bomb"):
        list(read_records(path))


def test_equal_rows_may_pack_well(tmp_path):
    content = os.urandom(1000).hex().encode() + b"\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content * 9000))
    assert len(list(read_records(tmp_path / "a.jsonl.gz"))) == 9000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@examples(200)
@given(st.lists(JSON, max_size=6), st.sampled_from([None, 0, 3]), st.integers(1, 60), st.booleans())
@example([0.5, 1e30, -7], None, 1, True)
def test_a_json_array_gives_its_items_whatever_its_formatting(items, indent, size, ascii_only):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode(errors="replace")
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    result = [record for _, record in FORMATS["json"](Path("a.json"), chunks)]
    assert all(b"\n" not in record for record in result)
    assert [json.loads(record) for record in result] == json.loads(text)


def test_json_items_keep_their_bytes(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf [ {"a":1.50, "a" : "\\u00e9\xc3\xa9"},\n{"b":\r\n  10000000000000000000000000}]\n')
    assert list(read_records(path)) == [
        (1, '{"a":1.50, "a" : "\\u00e9é"}'.encode()),
        (2, b'{"b": 10000000000000000000000000}'),
    ]
    path.write_text('{"a": 1}\n{"b": 2}\n')  # some .json files are JSON Lines
    assert list(read_records(path)) == [(1, b'{"a": 1}'), (2, b'{"b": 2}')]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"a": 1}, {"b": ', "record 2: not JSON"),
        (b'[{"a": 1}', "record 1: not JSON: ',' or the array's end is missing"),
        (b'[{"a": 1} {"b": 2}]', "',' or the array's end"),
        (b'[{"a": 1}] []', "text follows the array"),
        (b'[{"a": 1},', "the array does not end"),
        (b'[{"a": "\xff"}]', "not UTF-8 after record 0"),
        (b"[" + b"[" * 100_000, "nested too deeply"),
        (b"id;name\n", "record 1: not JSON"),
    ],
)
def test_an_error_in_a_json_array_names_the_record(tmp_path, content, reason):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_records(tmp_path / "a.json"))
    assert reason in str(caught.value)


def test_csv_reports_a_bad_row_by_its_first_line_and_continues(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbfmessages,note\r\n"[{""role"": ""user""}]","one\r\ntwo"\r\n1,2,3\r\n\r\n[oops,'
        b"x\r\n[],\xff\r\n,\r\n"
    )
    first, cells, text, coding, last = read_records(path)
    assert first == (2, {"messages": [{"role": "user"}], "note": "one\r\ntwo"})
    assert [cells[0], text, coding[0]] == [4, (6, {"messages": "[oops", "note": "x"}), 7]
    assert str(cells[1]).startswith("3 cells in 2 columns")
    assert str(coding[1]).startswith("not UTF-8")
    assert last == (8, {"note": ""})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,a\n1,2\n", "a.csv:1: empty or duplicate column names: 'a'"),
        (b"a,,b\n1,2,3\n", "a.csv:1: column 2 has no name"),
        (b'a\n"x"y\n', "a.csv:2: not CSV"),
        (b'a\n"x\n\n', "a.csv:3: not CSV: unexpected end of data"),
        (b"a\n" + b"x" * (MAX_LINE_BYTES + 1), "a.csv:2: longer than 16 MiB"),
        (b"sep=;\na;a\n", "a.csv:2: empty or duplicate column names: 'a'"),
        (b'sep=;\na\n"x"y\n', "a.csv:3: not CSV"),
        (b"a,b\rc,d\r", "a.csv:1: its lines end with carriage returns - save the file with line feeds"),
    ],
)
def test_csv_that_cannot_be_parsed_is_an_error(tmp_path, content, reason):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_records(tmp_path / "a.csv"))
    assert reason in str(caught.value)


@tables
def test_parquet_gives_no_key_that_a_column_type_added(tmp_path):
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
    assert [record for _, record in read_records(tmp_path / "a.parquet")] == rows


@tables
def test_truncated_parquet_is_an_error(tmp_path):
    write_rows("parquet", tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    for size in (0, 3, 100, len(content) - 1):
        (tmp_path / "a.parquet").write_bytes(content[:size])
        with pytest.raises(DataError, match=r"a\.parquet: not Parquet, or truncated, after row 0"):
            list(read_records(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("name", "expected_split", "expected_stem"),
    [
        ("train.jsonl", "train", "train"),
        ("data/train-00000-of-00003.parquet", "train", "train"),
        ("data/train-00000-of-00001-0a1b2c3d4e5f6a7b.parquet", "train", "train"),
        ("Validation.JSONL.GZ", "valid", "Validation"),
        ("val_07.json", "valid", "val"),
        ("dev.tsv", "valid", "dev"),
        ("eval.jsonlines", "valid", "eval"),
        ("test.2.csv.zst", "test", "test"),
        ("python/final/jsonl/train/python_train_0.jsonl.gz", "train", "python_train"),
        ("train/test.jsonl", "test", "test"),
        ("training.jsonl", "train", "training"),
        ("testing-00000-of-00001.jsonl", "test", "testing"),
        ("dropped.jsonl", None, "dropped"),
        ("test_cases.jsonl", None, "test_cases"),
        ("README", None, "README"),
    ],
)
def test_a_file_name_gives_split_and_stem(name, expected_split, expected_stem):
    assert (split_of(name), stem(name)) == (expected_split, expected_stem)


def test_a_folder_gives_its_splits_or_else_all_data_files(tmp_path):
    for name in ("b.jsonl", "a.csv", "notes.txt", ".hidden.jsonl", "c.jsonl.swp", "d.jsonl~", "inside/e.jsonlines"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    listing = list_folder(tmp_path)
    assert [(split, path.relative_to(tmp_path).as_posix()) for split, path in listing.files] == [
        (None, "a.csv"),
        (None, "b.jsonl"),
        (None, "inside/e.jsonlines"),
    ]
    assert listing.notes() == ("read 3 files; not read: notes.txt (no format that is read)",)
    for name in ("train-1.parquet", "train-0.parquet", "eval.jsonl.zst", "dropped.jsonl", "test/x.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    listing = list_folder(tmp_path)
    assert data_files(tmp_path) == [
        ("valid", tmp_path / "eval.jsonl.zst"),
        ("test", tmp_path / "test/x.jsonl"),
        ("train", tmp_path / "train-0.parquet"),
        ("train", tmp_path / "train-1.parquet"),
    ]
    [note] = listing.notes()
    assert note == (
        "read 4 files; not read: a.csv, b.jsonl, inside/e.jsonlines (no split in the name, beside files that have one);"
        " notes.txt (no format that is read)"
    )
    assert data_files(tmp_path / "train-0.parquet") == [(None, tmp_path / "train-0.parquet")]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["x.test.jsonl"], True),
        (["test.jsonl"], True),
        (["gsm8k_val.json"], True),
        (["x.train.jsonl"], False),
        (["latest.jsonl"], False),
        (["x.train.jsonl", "x.test.jsonl"], True),
        (["train.jsonl", "test.jsonl"], False),
    ],
)
def test_a_split_in_a_name_that_is_not_used_is_told(tmp_path, names, told):
    for name in names:
        (tmp_path / name).write_text("")
    notes = list_folder(tmp_path / names[0] if len(names) == 1 else tmp_path).notes()
    assert [note.partition(" - ")[0] for note in notes] == (
        [f"{names[-1]}: the split in the name is not used, so that rows are also trained on"] if told else []
    )


NOT_READ = "read 1 file; not read: README.md (no format that is read)"
HUB_README = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: a.jsonl\n---\n"
LINE = '{"a": 1}\n'


@pytest.mark.parametrize(
    ("files", "notes"),
    [
        ({"train-00000-of-00002.jsonl": LINE}, ["train: 1 of 2 shards"]),
        ({"a-00000-of-00003.jsonl": LINE, "a-00002-of-00003.jsonl": LINE}, ["a: 2 of 3 shards"]),
        ({"en/x-00000-of-00002.jsonl": LINE, "de/x-00001-of-00002.jsonl": LINE}, ["x: 1 of 2 shards"] * 2),
        ({"train-00000-of-00001.jsonl": LINE, "test-00000-of-00001.jsonl": LINE}, []),
        ({"a.jsonl": LINE, "b.jsonl": ""}, ["b.jsonl: no bytes"]),
        ({"train.jsonl": LINE, "train.csv": "a\n1\n"}, ["train.csv, train.jsonl: one name in 2 formats"]),
        ({"a.jsonl": LINE, "a.jsonl.gz": "x"}, ["a.jsonl, a.jsonl.gz: one name in 2 formats"]),
        (
            {"a.jsonl": LINE, "dataset_info.json": "{}"},
            ["read 1 file; not read: dataset_info.json (facts about the data)"],
        ),
        (
            {"a.jsonl": LINE, "README.md": HUB_README},
            [NOT_READ, "README.md: its `data_files` name splits, which are not used"],
        ),
        ({"train.jsonl": LINE, "README.md": HUB_README}, [NOT_READ]),
        ({"a.jsonl": LINE, "README.md": "data_files: split:"}, [NOT_READ]),
    ],
)
def test_what_a_folder_lacks_or_has_twice_is_told(tmp_path, files, notes):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [note.partition(" - ")[0] for note in list_folder(tmp_path).notes()] == notes


def test_names_that_are_no_files_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINE)
    (tmp_path / "nowhere.jsonl").symlink_to("missing")
    (tmp_path / "circle.json").symlink_to("circle.json")
    os.mkfifo(tmp_path / "pipe.csv")
    assert list_folder(tmp_path).notes() == (
        "read 1 file; not read: circle.json, nowhere.jsonl, pipe.csv (no file: a link to nowhere, or no regular file)",
    )


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (gzip.compress(b"{}", mtime=0), "gzip", "let its name end in .gz"),
        (b"\x28\xb5\x2f\xfd...", "Zstandard", "let its name end in .zst"),
        (b"PAR1" + bytes(40), "Parquet", "let its name end in .parquet"),
        (b"PK\x03\x04xx", "a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"),
        ("{}".encode("utf-16"), "UTF-16", "save it as UTF-8"),
        (codecs.BOM_UTF16_BE + b"\0{", "UTF-16", "save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16", "save it as UTF-8"),
        ("prompt".encode("utf-16-be"), "UTF-16", "save it as UTF-8"),
        ("{}".encode("utf-32"), "UTF-32", "save it as UTF-8"),
        ("{}".encode("utf-32-be"), "UTF-32", "save it as UTF-8"),
        (b"\n <!DOCTYPE html><html>", "a web page", "download the file itself"),
        (b"SQLite format 3\0", "a database", "write its rows as JSONL"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
def test_content_of_another_kind_than_the_name_says_is_named(tmp_path, content, kind, advice, name):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError) as error:
        list(read_records(tmp_path / name))
    assert str(error.value).endswith(f"{name}: its content is {kind}, which its name does not say - {advice}")


def test_linked_folders_are_read_and_links_in_a_circle_end(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.jsonl").write_text("")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/part").symlink_to(tmp_path / "outside")
    (tmp_path / "outside/back").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/nowhere.jsonl").symlink_to(tmp_path / "missing.jsonl")
    assert data_files(tmp_path / "raw") == [(None, tmp_path / "raw/part/x.jsonl")]


def test_a_folder_without_data_and_a_missing_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match="not found - put the data there"):
        data_files(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"no data file in this folder; it has notes\.txt - known formats: jsonl, "):
        data_files(tmp_path)


BOM = b"\xef\xbb\xbf"


SPLIT_TABLE = [(1, b'{"q":"a","n":1}'), (2, b'{"q":"b","n":2}')]


@pytest.mark.parametrize(
    ("name", "content", "records"),
    [
        ("a.jsonl", BOM + b'{"a": 1}\n\n  \r\n{"a": 2}\n\n', [(1, b'{"a": 1}'), (4, b'{"a": 2}')]),
        ("a.jsonl", b'{"a": 1}\n\xef\xbb\n', [(1, b'{"a": 1}'), (2, b"\xef\xbb")]),
        ("a.jsonl", b'{"a": 1}\n' + BOM + BOM + b'{"a": 2}', [(1, b'{"a": 1}'), (2, b'{"a": 2}')]),
        ("a.jsonl", b'[{"a": 1},\n {"a": 2}]', [(1, b'{"a": 1}'), (2, b'{"a": 2}')]),
        ("a.jsonl", BOM + b'\n[\n{"a": 1}\n]\n', [(1, b'{"a": 1}')]),
        ("a.jsonl", b'[{"a": 1}, {"a": 2}]\n', [(1, b'{"a": 1}'), (2, b'{"a": 2}')]),
        ("a.jsonl", b'{\n"a": 1\n}\n{\n"a": 2\n}', [(1, b'{ "a": 1 }'), (2, b'{ "a": 2 }')]),
        (
            "a.jsonl",
            b'[{"role": "user"}]\n[{"role": "user"}]',
            [(1, b'[{"role": "user"}]'), (2, b'[{"role": "user"}]')],
        ),
        ("a.jsonl", b"[1, 2]\n[3]\n", [(1, b"[1, 2]"), (2, b"[3]")]),
        ("a.jsonl", b"\n\n", []),
        ("a.csv", b"prompt;completion\na,b;c\n", [(2, {"prompt": "a,b", "completion": "c"})]),
        ("a.csv", b"prompt\tcompletion\na\tc\n", [(2, {"prompt": "a", "completion": "c"})]),
        ("a.csv", b",prompt,completion\n0,a,c\n", [(2, {"prompt": "a", "completion": "c"})]),
        ("a.csv", b"sep=;\nprompt;completion\na;c\n", [(3, {"prompt": "a", "completion": "c"})]),
        ("a.csv", BOM + b"SEP=|\r\nprompt|a;b\r\na|c\r\n", [(3, {"prompt": "a", "a;b": "c"})]),
        ("a.csv", b'"sep=,"\nprompt,a;b\na,c\n', [(3, {"prompt": "a", "a;b": "c"})]),
        ("a.csv", b"sep=\t\n\nprompt\tx\na\tc\n", [(4, {"prompt": "a", "x": "c"})]),
        ("a.csv", b"\n \nprompt,x\na,c\n", [(4, {"prompt": "a", "x": "c"})]),
        ("a.csv", b'"a,b";x\na;c\n', [(2, {"a,b": "a", "x": "c"})]),
        ("a.csv", b'prompt, x\n"a, b", c\n', [(2, {"prompt": "a, b", "x": "c"})]),
        ("a.csv", b"Unnamed: 0,prompt\n0,a\n", [(2, {"prompt": "a"})]),
        ("a.json", b'{"q": ["a", "b"], "n": [1, null]}', [(1, b'{"q":"a","n":1}'), (2, b'{"q":"b","n":null}')]),
        ("a.json", b'{"q": {"0": "a", "1": "b"}}', [(1, b'{"q":"a"}'), (2, b'{"q":"b"}')]),
        (
            "a.json",
            b'{"q": {"x": "a", "y": "b"}, "text": {"x": "c", "y": "d"}}',
            [(1, b'{"q":"a","text":"c"}'), (2, b'{"q":"b","text":"d"}')],
        ),
        ("a.json", b'{"columns": ["q", "n"], "data": [["a", 1], ["b", 2]]}', SPLIT_TABLE),
        ("a.json", b'{"columns": ["q", "n"], "index": [5, 6], "data": [["a", 1], ["b", 2]]}', SPLIT_TABLE),
        ("a.json", b'{"ok": true, "columns": ["q", "n"], "rows": [["a", 1], ["b", 2]]}', SPLIT_TABLE),
        ("a.json", b'{"fields": ["q", "n"], "values": [["a", 1], ["b", 2]]}', SPLIT_TABLE),
        (
            "a.json",
            b'{"columns": ["q", "n"], "data": [["a", 1], ["b"]]}',
            [SPLIT_TABLE[0], (2, "1 cells in 2 columns - write one cell for each column")],
        ),
        ("a.json", b'{"messages": [{"role": "user"}], "tools": [{"type": "function"}]}', None),
        ("a.json", b'{"messages": [[{"role": "user"}]]}', [(1, b'{"messages":[{"role":"user"}]}')]),
        ("a.json", b'{"a": [], "b": []}', None),
        ("a.json", b'{"a": {"x": 1}, "b": {"y": 2}}', None),
        ("a.json", b'{"a": {"x": 1}, "b": {"x": 2}}', [(1, b'{"x":1,"id":"a"}'), (2, b'{"x":2,"id":"b"}')]),
    ],
)
def test_files_as_other_programs_write_them(tmp_path, name, content, records):
    (tmp_path / name).write_bytes(content)
    assert list(read_records(tmp_path / name)) == ([(1, content)] if records is None else records)


@tables
def test_the_row_numbers_of_pandas_are_no_column(tmp_path):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    pq.write_table(pa.table({"a": ["x"], "__index_level_0__": [0]}), tmp_path / "a.parquet")
    assert list(read_records(tmp_path / "a.parquet")) == [(1, {"a": "x"})]


@pytest.mark.slow
@tables
@pytest.mark.parametrize("packed", [True, False])
def test_memory_is_bounded_for_a_parquet_bomb(tmp_path, packed):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    values = ["x" * (20 * 2**20) if packed else os.urandom(6 * 2**20).hex()] * 2
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(values[:1]))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), path, compression="zstd", dictionary_pagesize_limit=2**30)
    assert path.stat().st_size < 10 * 2**20
    count, size = peak(path)
    assert count == 300
    assert size < 400
    assert next(read_records(path))[1] == TOO_LONG if packed else True


@tables
def test_a_parquet_file_of_values_that_fill_the_memory_is_refused_unread(tmp_path):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x" * 17 * 2**20]}), path, compression="zstd", use_dictionary=False)
    with pytest.raises(
        DataError, match=r"a\.parquet: column 'text': values of 17 MiB - remove the column, or cut them"
    ):
        list(read_records(path))


@tables
@pytest.mark.parametrize(("size", "refused"), [(40, True), (20, False)])
def test_a_large_dictionary_is_refused_unread(tmp_path, size, refused):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * size * 2**20]))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": column}), path, compression="zstd", dictionary_pagesize_limit=2**30)
    with pytest.raises(DataError, match="column 'text': a dictionary of 40 MiB") if refused else nullcontext():
        next(read_records(path))


@tables
def test_a_table_of_too_many_columns_is_refused_unread(tmp_path):
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    pq.write_table(pa.table({f"c{number}": [1] for number in range(10_001)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="10001 columns - write the columns of the conversation only"):
        list(read_records(tmp_path / "a.parquet"))


ROW = {"messages": [{"role": "user", "content": "a"}]}
NESTED = {
    "data": ({"version": 1, "data": [ROW, ROW]}, [ROW, ROW]),
    "rows of the Hub's viewer": ({"features": [], "rows": [{"row_idx": 0, "row": ROW}]}, [ROW]),
    "ids": ({"x": ROW, "y": ROW}, [ROW | {"id": "x"}, ROW | {"id": "y"}]),
    "a record": (ROW | {"id": 1}, [ROW | {"id": 1}]),
    "a record of texts": ({"id": "0", "data": ["a", "b"]}, [{"id": "0", "data": ["a", "b"]}]),
    "a pair": ({"chosen": {"role": "a", "content": "b"}, "rejected": {"role": "a", "content": "c"}}, None),
    "two splits": ({"train": [ROW], "test": [ROW, ROW]}, ["rows under several keys, train, test"]),
    "two splits of one length": ({"train": [ROW], "test": [ROW]}, ["rows under several keys, train, test"]),
    "features of as many": ({"features": [{"name": "messages"}], "rows": [{"row_idx": 0, "row": ROW}]}, [ROW]),
    "two lists": ({"val": [ROW], "data": [ROW], "x": 1}, ["rows under several keys, data, val"]),
    "an empty split": ({"train": [ROW, ROW], "validation": []}, [ROW, ROW]),
    "parts with other keys": ({"x": ROW, "y": {"a": 1}}, None),
    "a record with turns": ({"conversations": ROW["messages"], "id": 1}, [{"conversations": ROW["messages"], "id": 1}]),
}


@pytest.mark.parametrize(("content", "rows"), NESTED.values(), ids=NESTED)
def test_rows_within_an_object_are_read_one_by_one(tmp_path, content, rows):
    (tmp_path / "a.json").write_text(json.dumps(content))
    records = [
        record.partition(" - ")[0] if isinstance(record, str) else json.loads(record)
        for _, record in read_records(tmp_path / "a.json")
    ]
    assert records == (rows or [content])


@pytest.mark.parametrize("content", [b'["\xff"]', b'[{"\xff": 1}]', b'{"a": ["\xff"]}', b'{"a\xff": [1], "b": [2]}'])
def test_bytes_that_are_not_utf8_are_an_error_with_a_reason(tmp_path, content):
    (tmp_path / "a.jsonl").write_bytes(content)
    [(_, row)] = ingest(tmp_path, Local(path="a.jsonl"), "auto", tmp_path)
    assert isinstance(row, UnreadableRow)
    assert "not UTF-8" in row.reason
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match="not UTF-8"):
        list(ingest(tmp_path, Local(path="a.json"), "auto", tmp_path))
