"""Parallel map, and a stage on several cores, which writes the bytes that one core writes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data import jsonl, pipeline
from punie_build.data.filters.union import Language, MaxMessages, Regex
from punie_build.data.spec import Stage
from punie_build.data.stats import read_stats
from punie_build.data.transforms import Redact
from punie_build.runtime import parallel


def test_every_item_is_processed_once_and_results_keep_their_order():
    local: list[int] = []

    def slowly(number: int) -> int:
        time.sleep(0.001)
        local.append(number)
        return number

    remote = parallel.map_items(range(50), slowly, lambda number: time.sleep(0.001) or number, 3)
    assert local == sorted(local)
    assert remote == sorted(remote)
    assert sorted(local + remote) == list(range(50))
    assert len(remote) > 5
    assert parallel.map_items([1, 2], slowly, slowly, 0) == []


@pytest.mark.parametrize("failing", ["local", "remote"])
def test_the_first_error_ends_the_map(failing):
    def fail(number: int) -> int:
        raise ValueError("no")

    def slowly(number: int) -> int:
        time.sleep(0.001)
        done.append(number)
        return number

    done: list[int] = []
    with pytest.raises(ValueError, match="no"):
        parallel.map_items(range(10**5), *((fail, slowly) if failing == "local" else (slowly, fail)), 2)
    assert len(done) < 1000


@given(st.lists(st.binary(max_size=9).map(lambda text: text.replace(b"\n", b"")), max_size=20), st.integers(1, 30))
def test_every_line_is_in_one_byte_range(tmp_path_factory, lines, size):
    folder = tmp_path_factory.mktemp("rows")
    for name, text in (("train", b"".join(line + b"\n" for line in lines)), ("valid", b""), ("test", b"{}\n")):
        (folder / f"{name}.jsonl").write_bytes(text)
    read = [
        line
        for split, start, end in jsonl.byte_ranges(folder, size)
        for block in jsonl.read_blocks(folder / f"{split}.jsonl", start, end)
        for line in block
    ]
    assert read == [*(line + b"\n" for line in lines), b"{}\n"]


@pytest.mark.slow
def test_a_stage_on_two_cores_writes_the_same_bytes(tmp_path: Path):
    source = tmp_path / "in"
    source.mkdir()
    texts = [
        "a question about parsers",
        "eine lange Frage nach dem Wetter von morgen",
        "mail me at me@mine.org",
        "DROP",
    ]
    assert pipeline.SCORED_SHARD_BYTES < 2_000_000  # so that there are pieces
    for split, count in (("train", 3000), ("valid", 50), ("test", 0)):
        rows = (
            {
                "messages": [
                    {"role": "user", "content": f"{texts[n % 4]} {n}"},
                    {"role": "assistant", "content": "x" * (n % 1400)},
                ],
                "category": "ab"[n % 2],
            }
            for n in range(count)
        )
        (source / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    filters = (Language(languages=("en",)), Regex(drop="DROP"), MaxMessages(messages=9))
    spec = Stage(from_="in", filters=filters, maps=(Redact(kinds=("email",)),))
    for name, cores in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        pipeline.build_stage("x", spec, source, tmp_path / name, cores=cores)
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == [
        "dropped.jsonl", "held-out.txt", "stats.json", "test.jsonl", "train.jsonl", "valid.jsonl",
    ]  # fmt: skip
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    total = read_stats(tmp_path / "two").total
    assert total.seen == 3050
    assert set(total.dropped) == {"language", "regex", "held-out"}
