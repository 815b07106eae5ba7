"""The chain of a stage: maps, row filters and filters that see everything, in any order."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data import filter_chain
from punie_build.data.example import SPLITS
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import (
    ContentQuality,
    DatasetFilter,
    ExactDedup,
    Filter,
    FilterContext,
    Language,
    MaxMessages,
    MinMessages,
    Regex,
    SampleRows,
)
from punie_build.data.transforms import Redact, StripMarkers, SystemPrompt
from punie_build.errors import DataError
from tests.support.profiles import examples


def line(*texts: str, **more: object) -> bytes:
    turns = zip(["user", "assistant"] * 9, texts, strict=False)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **more}).encode() + b"\n"


def folder(path: Path, train: list[bytes], valid: list[bytes] = (), test: list[bytes] = ()) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for split, lines in zip(SPLITS, (train, valid, test), strict=True):
        (path / f"{split}.jsonl").write_bytes(b"".join(lines))
    return path


def sift(source: Path, filters: tuple = (), maps: tuple = ()) -> tuple[list[bytes], list[tuple[str, bytes]], int]:
    """(kept lines, (reason, line) of the dropped ones, how many were changed)."""
    chain = FilterChain(maps, filters, FilterContext())
    blocks = [block for _, block in chain.run(source)]
    dropped = [(chain.reasons[place], text) for block in blocks for place, text in block.dropped]
    return [text for block in blocks for text in block.kept], dropped, sum(block.changed for block in blocks)


def test_a_filter_used_twice_has_two_reasons():
    some = (MinMessages(messages=2), Language(languages=("en",)), MinMessages(messages=3))
    assert filter_chain.reason_names(some) == ["min-messages 1", "language", "min-messages 2"]


def test_a_filter_that_sees_everything_sees_what_those_before_it_keep(tmp_path):
    lines = [line("a"), line("a", "b"), line("A", "b"), line("c", "d"), line("c", "D", "e")]
    source = folder(tmp_path / "in", lines)
    kept, dropped, _ = sift(source, (MinMessages(messages=2), ExactDedup(on="prompt"), MaxMessages(messages=2)))
    assert kept == [lines[1], lines[3]]
    assert dropped == [("min-messages", lines[0]), ("exact-dedup", lines[2]), ("exact-dedup", lines[4])]
    kept, dropped, _ = sift(source, (MaxMessages(messages=1), ExactDedup()))
    assert kept == [lines[0]]
    kept, dropped, _ = sift(source, (ExactDedup(on="prompt"), MinMessages(messages=2)))
    assert kept == [lines[3]]
    assert [reason for reason, _ in dropped] == ["min-messages", "exact-dedup", "exact-dedup", "exact-dedup"]


def test_the_first_of_equals_is_kept_over_all_splits(tmp_path):
    source = folder(tmp_path / "in", [line("a", "b")], [line("a", "b"), line("c", "d")], [line("c", "d")])
    kept, dropped, _ = sift(source, (ExactDedup(),))
    assert kept == [line("a", "b"), line("c", "d")]
    assert len(dropped) == 2


def test_maps_rewrite_only_the_rows_they_change_and_before_any_filter(tmp_path):
    strange = (
        b'{"id":  7, "messages":[{"content":"hi","role":"user","weight":null},{"role":"assistant","content":"ho"}]}\n'
    )
    marked = line("x", "done<|endoftext|>", source="glaive")
    source = folder(tmp_path / "in", [strange, marked])
    kept, dropped, changed = sift(source, (Regex(drop="endoftext"),), (StripMarkers(),))
    assert kept[0] == strange
    assert json.loads(kept[1]) == {**json.loads(marked), "messages": json.loads(line("x", "done"))["messages"]}
    assert (dropped, changed) == ([], 1)


def test_markers_that_json_escapes_are_found(tmp_path):
    escaped = line("x", "done<|endoftext|>").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")
    [kept], _, changed = sift(folder(tmp_path / "in", [escaped]), (), (StripMarkers(),))
    assert (json.loads(kept)["messages"][1]["content"], changed) == ("done", 1)


def test_the_system_prompt_is_set_and_stays_where_it_is_right(tmp_path):
    own = (
        json.dumps({"messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "q"}]}).encode()
        + b"\n"
    )
    source = folder(tmp_path / "in", [own, line("q", "a")])
    kept, _, changed = sift(source, (), (SystemPrompt(prompt="new"),))
    assert [[m["content"] for m in json.loads(text)["messages"]] for text in kept] == [["new", "q"], ["new", "q", "a"]]
    assert changed == 2
    again, _, changed = sift(folder(tmp_path / "again", kept), (), (SystemPrompt(prompt="new"),))
    assert (again, changed) == (kept, 0)
    kept, _, changed = sift(source, (), (SystemPrompt(prompt="new", when="missing"),))
    assert (kept[0], changed) == (own, 1)


def test_secrets_are_blanked_in_texts_and_in_arguments(tmp_path):
    record = {
        "messages": [
            {"role": "user", "content": "mail ann@company.org from 8.8.8.8 with ghp_" + "a" * 36},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"to": "ann@company.org"}'}}],
            },
        ]
    }
    [kept], _, changed = sift(folder(tmp_path / "in", [msgspec.json.encode(record) + b"\n"]), (), (Redact(),))
    first, second = json.loads(kept)["messages"]
    assert first["content"] == "mail [email] from [ip] with [token]"
    assert second["tool_calls"][0]["function"]["arguments"] == '{"to": "[email]"}'
    assert changed == 1


CHOICES: tuple[Filter, ...] = (
    MinMessages(messages=2),
    MaxMessages(messages=3),
    ContentQuality(min_chars=2),
    Regex(drop="c"),
    ExactDedup(),
    ExactDedup(on="prompt"),
    SampleRows(most=4),
)
texts = st.lists(st.text("abc ", max_size=4), min_size=1, max_size=4)


@pytest.mark.slow
@examples(150)
@given(st.lists(texts, max_size=20), st.lists(st.sampled_from(CHOICES), min_size=1, max_size=4))
def test_any_chain_loses_nothing_and_equals_asking_one_filter_after_the_other(tmp_path_factory, rows, chain):
    """In = kept + dropped; and a chain is what its filters are as stages of their own."""
    lines = [line(*row, id=number) for number, row in enumerate(rows)]
    place = tmp_path_factory.mktemp("law")
    kept, dropped, _ = sift(folder(place / "all", lines), tuple(chain))
    assert sorted([*kept, *(text for _, text in dropped)]) == sorted(lines)
    one_by_one = lines
    for number, filter_ in enumerate(chain):
        one_by_one, _, _ = sift(folder(place / str(number), one_by_one), (filter_,))
    assert kept == one_by_one
    assert all(isinstance(filter_, Filter) for filter_ in chain)
    assert any(isinstance(filter_, DatasetFilter) for filter_ in CHOICES)


def test_what_a_map_does_not_look_at_keeps_its_bytes(tmp_path):
    marked = (
        line("q", "done<|endoftext|>")[:-2]
        + b', "x": [1e400, 1.00, 12345678901234567890123], "y" : {"a":  "\\u00e9"}}\n'
    )
    [kept], _, changed = sift(folder(tmp_path / "in", [marked]), (), (StripMarkers(), Redact()))
    assert kept.endswith(b'"x":[1e400, 1.00, 12345678901234567890123],"y":{"a":  "\\u00e9"}}\n')
    assert changed == 1


def test_a_row_that_cannot_be_rewritten_is_told(tmp_path):
    long = line("q", "a").replace(b'"role": "user"', b'"role": "user", "n": ' + b"9" * 5000)
    with pytest.raises(DataError, match=r"the row that begins .*: cannot be rewritten: .* - correct the row"):
        sift(folder(tmp_path / "in", [long]), (), (SystemPrompt(prompt="P"),))
