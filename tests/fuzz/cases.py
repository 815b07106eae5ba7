"""Hypothesis strategies for the cases of the fuzz run: files of every format, valid and damaged, with a stage."""

from __future__ import annotations

import csv
import gzip
import importlib
import importlib.util
import io
import json
from copy import deepcopy
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from punie_build.data import transforms
from punie_build.data.dialects.normalize import NAMES
from punie_build.data.filters import union as filters
from punie_build.data.readers import formats
from tests.fuzz.laws import LOG, Case
from tests.fuzz.rows import CHAT, KEYS, TOOL, damage, junk, rows, words
from tests.support.file_cases import FILES as LOGS

HAS = {name: bool(importlib.util.find_spec(name)) for name in ("pyarrow", "zstandard")}
FORMATS = [
    form
    for form in formats.FORMATS
    if (HAS["pyarrow"] or form != "parquet") and (HAS["zstandard"] or not form.endswith(".zst"))
]


def encoded(text: str) -> bytes:
    """Encode a text with its lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


@st.composite
def line_files(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """Draw JSONL, and return it with the number of its rows: blank lines are none, a list may have many."""
    lines = [encoded(row) for row in draw(st.lists(rows(), max_size=6))]
    bad_lines = draw(
        st.lists(
            st.sampled_from(
                (b"", b" ", b"\xff", b"\xef\xbb\xbf{}", b"null", b"[]", b"{", b"\x00", b"1", b'"a"', b"\r")
            ),
            max_size=1,
        )
    )
    lines = [line.replace(b"\n", b" ") for line in (*lines, *bad_lines)]
    count = None if any(line.startswith(b"[") for line in lines) else sum(bool(line.strip()) for line in lines)
    end = draw(st.sampled_from((b"\n", b"\n", b"\r\n")))
    content = end.join(lines) + (end if lines else b"")
    return draw(st.sampled_from((b"", b"", b"", b"\xef\xbb\xbf" if lines else b""))) + content, count


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Draw the records of a file that are parts of conversations, some of them damaged, as lines or as an array."""
    records = deepcopy(draw(st.sampled_from([records for records, _ in LOGS.values()])))
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 4)))):
        damage(draw(st.sampled_from(records)), draw(st.randoms(use_true_random=False)), deepcopy(draw(junk)))
    if draw(st.integers(0, 3)) == 0:
        draw(st.randoms(use_true_random=False)).shuffle(records)
    texts = [json.dumps(record) for record in records]
    return encoded("[" + ",".join(texts) + "]" if draw(st.booleans()) else "\n".join(texts))


@st.composite
def json_files(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """Draw a .json file, valid or not."""
    items = draw(st.lists(rows(), max_size=5))
    separator = draw(st.sampled_from((",", ", \r\n", " ", "\n", "")))
    inner = separator.join(items)
    text = draw(
        st.sampled_from(("[{}]", "{}", " [\n{}\n]\n", "\ufeff[{}]", "[{}", "[{}],", "[{},]", '{{"data": [{}]}}'))
    ).format(inner)
    return encoded(text), None


@st.composite
def tables(draw: st.DrawFn, delimiter: str) -> tuple[bytes, int | None]:
    """Draw a CSV or TSV file, and return it with the number of its rows."""
    names = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
    cell = st.one_of(words, st.just(json.dumps(CHAT["messages"])), st.just(json.dumps([TOOL])), junk.map(str))
    text = io.StringIO()
    quoting = draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_MINIMAL)))
    writer = csv.writer(
        text, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(("\n", "\r\n")))
    )
    writer.writerow(names)
    count = draw(st.integers(0, 4))
    for _ in range(count):
        writer.writerow([draw(cell) for _ in names[: draw(st.sampled_from((9, 9, 9, 1)))]])
    return encoded(text.getvalue()), count


@st.composite
def parquet_files(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """Draw a table with one column that may hold conversations, and others of any type."""
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    count = draw(st.integers(0, 3))
    head = draw(st.sampled_from(("messages", "conversations", "text", "instruction")))
    good = {
        "messages": CHAT["messages"],
        "conversations": [{"from": "human", "value": "x"}],
        "text": "x",
        "instruction": "x",
    }
    names = [head, *draw(st.lists(st.sampled_from(KEYS), max_size=3))]
    first = pa.array([draw(st.sampled_from((good[head], good[head], None))) for _ in range(count)])
    table = pa.Table.from_arrays(
        [first, *(draw(st.sampled_from(unusual_columns(count))) for _ in names[1:])], names=names
    )
    out = io.BytesIO()
    try:
        pq.write_table(table, out)
    except (pa.ArrowException, ValueError):
        pq.write_table(pa.table({"text": ["x"] * count}), out)
    return out.getvalue(), count


def unusual_columns(count: int) -> list[Any]:
    """Return a column of `count` values for each type that JSON does not have."""
    pa = importlib.import_module("pyarrow")
    kinds = [
        ([2**63], pa.uint64()),
        ([b"\xff\x00"], pa.binary()),
        ([float("nan")], pa.float64()),
        ([float("inf")], pa.float32()),
        ([True], pa.bool_()),
        ([10**30], pa.decimal128(38, 2)),
        ([2**62], pa.timestamp("s")),
        ([1], pa.timestamp("ns", "Europe/Oslo")),
        ([2**31 - 1], pa.date32()),
        ([1], pa.time64("ns")),
        ([2**62], pa.duration("s")),
        ([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())),
        ([[(b"\xff", 1)]], pa.map_(pa.binary(), pa.int64())),
        ([[(1, None)]], pa.map_(pa.int32(), pa.null())),
        ([[[None, [1]]]], pa.list_(pa.list_(pa.list_(pa.int8())))),
        ([{"role": "user", "content": b"\xfe"}], pa.struct([("role", pa.string()), ("content", pa.binary())])),
        ([None], pa.null()),
        (["a"], pa.large_string()),
        ([[{"role": "user", "content": "x"}]], pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ([json.dumps(CHAT["messages"])], pa.string()),
        ([[{"name": "f", "when": 2**62}]], pa.list_(pa.struct([("name", pa.string()), ("when", pa.timestamp("s"))]))),
    ]
    arrays = [pa.array(values * count, kind) for values, kind in kinds]
    text = pa.array(["a"] * count, pa.string())
    return [*arrays, text.dictionary_encode(), pa.array([b"\xff\xfe"] * count, pa.binary()).view(pa.string())]


FILES = {
    "jsonl": line_files(),
    "ndjson": line_files(),
    "jsonlines": line_files(),
    "json": json_files(),
    "traj": json_files(),
    "csv": tables(","),
    "tsv": tables("\t"),
    "parquet": parquet_files(),
}


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes, int | None]:
    """Draw a file: its name, content, and the number of its records where that is known."""
    if draw(st.integers(0, 3)) == 0:
        return f"{LOG}.{draw(st.sampled_from(('jsonl', 'json', 'traj')))}", draw(logs()), None
    form = draw(st.one_of(st.just("jsonl"), st.sampled_from(FORMATS)))
    base, _, suffix = form.partition(".")
    content, count = draw(FILES[base])
    if suffix == "gz":
        content = gzip.compress(content, 1, mtime=0)
    elif suffix == "zst":
        content = importlib.import_module("zstandard").ZstdCompressor(1).compress(content)
    match draw(st.sampled_from((None, None, None, None, "cut", "bytes", "twice"))):
        case "cut":
            content, count = content[: draw(st.integers(0, len(content)))], None
        case "bytes":
            at = draw(st.integers(0, len(content)))
            content, count = content[:at] + draw(st.binary(max_size=8)) + content[at + draw(st.integers(0, 8)) :], None
        case "twice":
            content, count = content * 2, None
    return f"{draw(st.sampled_from(('train', 'all', 'test')))}.{form}", content, count


SETTINGS: dict[str, list[dict[str, Any]]] = {
    "language": [{"languages": ["en"]}],
    "no-script": [{"scripts": ["han", "cyrillic"]}],
    "min-messages": [{}, {"messages": 3}],
    "max-messages": [{"messages": 2}],
    "min-tokens": [{"tokens": 10, "base": "nano"}],
    "max-tokens": [{"tokens": 100, "base": "nano"}],
    "content-quality": [{}, {"min_chars": 9}],
    "repetition": [{"min_words": 3}],
    "regex": [{"drop": "x"}, {"keep_only": r"\w", "roles": ["assistant"]}],
    "secrets": [{"kinds": ["token", "email", "ip"]}],
    "exact-dedup": [{}, {"on": "answer", "digits": True}],
    "near-dedup": [{}, {"on": "prompt", "threshold": 0.5}],
    "decontaminate": [{"suites": ["fuzz"], "n": 3}],
    "balance": [{"most": 1}],
    "where": [{"key": "category", "values": ["a"]}, {"key": "messages", "measure": "length", "least": 2}],
    "cut-turns": [{"messages": 2}, {"chars": 50, "keep": "last"}],
    "python": [],  # needs a file with a function; its own tests call it
    "sample": [{"most": 2}, {"share": 0.5}],
    "system-prompt": [{"prompt": "P"}, {"prompt": "P", "when": "missing"}],
}


def kinds(union: Any) -> list[Any]:
    """Return every member of a union, with parameters that match rows of the cases."""
    tags = [(kind.__struct_config__.tag, kind) for kind in get_args(union)]
    return [msgspec.convert({"type": tag, **fields}, kind) for tag, kind in tags for fields in SETTINGS.get(tag, [{}])]


FILTERS, MAPS = kinds(filters.AnyFilter), kinds(transforms.AnyTransform)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case."""
    name, content, count = draw(files())
    dialect = draw(st.sampled_from(("auto",) * 9 + NAMES))
    chosen_filters = draw(st.lists(st.sampled_from(FILTERS), max_size=6))
    chosen_maps = draw(st.lists(st.sampled_from(MAPS), max_size=2))
    return Case(name, content, dialect, count, tuple(chosen_filters), tuple(chosen_maps))


def case_of_all_kinds() -> Case:
    """Return a case with every filter and every map."""
    return Case("train.jsonl", json.dumps(CHAT).encode(), filters=tuple(FILTERS), maps=tuple(MAPS))
