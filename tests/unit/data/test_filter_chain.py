"""The filter chain of a stage: transforms, filters and dataset filters in any order."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data import filter_chain
from punie_build.data.example import SPLITS, decode_example
from punie_build.data.filter_chain import FilterChain
from punie_build.data.filters.union import (
    ContentQuality,
    DatasetFilter,
    ExactDedup,
    Filter,
    FilterContext,
    Language,
    LineFilter,
    MaxMessages,
    MinMessages,
    NoScript,
    Regex,
    SampleRows,
    Where,
)
from punie_build.data.transforms import Redact, StripMarkers, SystemPrompt
from punie_build.errors import DataError
from tests.support.profiles import examples


def line(*texts: str, **fields: object) -> bytes:
    turns = zip(["user", "assistant"] * 9, texts, strict=False)
    return (
        json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **fields}).encode() + b"\n"
    )


def folder(path: Path, train: list[bytes], valid: list[bytes] = (), test: list[bytes] = ()) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for split, lines in zip(SPLITS, (train, valid, test), strict=True):
        (path / f"{split}.jsonl").write_bytes(b"".join(lines))
    return path


def run(source: Path, filters: tuple = (), transforms: tuple = ()) -> tuple[list[bytes], list[tuple[str, bytes]], int]:
    """Return (kept lines, (reason, line) of the dropped ones, number of changed lines)."""
    chain = FilterChain(transforms, filters, FilterContext())
    blocks = [block for _, block in chain.run(source)]
    dropped = [(chain.reasons[index], text) for block in blocks for index, text in block.dropped]
    return [text for block in blocks for text in block.kept], dropped, sum(block.changed for block in blocks)


def test_a_filter_used_twice_has_two_reasons():
    filters = (MinMessages(messages=2), Language(languages=("en",)), MinMessages(messages=3))
    assert filter_chain.reason_names(filters) == ["min-messages 1", "language", "min-messages 2"]


def test_a_dataset_filter_reads_the_rows_that_earlier_filters_keep(tmp_path):
    lines = [line("a"), line("a", "b"), line("A", "b"), line("c", "d"), line("c", "D", "e")]
    source = folder(tmp_path / "in", lines)
    kept, dropped, _ = run(source, (MinMessages(messages=2), ExactDedup(on="prompt"), MaxMessages(messages=2)))
    assert kept == [lines[1], lines[3]]
    assert dropped == [("min-messages", lines[0]), ("exact-dedup", lines[2]), ("exact-dedup", lines[4])]
    kept, dropped, _ = run(source, (MaxMessages(messages=1), ExactDedup()))
    assert kept == [lines[0]]
    kept, dropped, _ = run(source, (ExactDedup(on="prompt"), MinMessages(messages=2)))
    assert kept == [lines[3]]
    assert [reason for reason, _ in dropped] == ["min-messages", "exact-dedup", "exact-dedup", "exact-dedup"]


def test_the_first_of_equal_rows_is_kept_across_splits(tmp_path):
    source = folder(tmp_path / "in", [line("a", "b")], [line("a", "b"), line("c", "d")], [line("c", "d")])
    kept, dropped, _ = run(source, (ExactDedup(),))
    assert kept == [line("a", "b"), line("c", "d")]
    assert len(dropped) == 2


def test_transforms_run_before_filters_and_keep_the_bytes_of_other_rows(tmp_path):
    strange = (
        b'{"id":  7, "messages":[{"content":"hi","role":"user","weight":null},{"role":"assistant","content":"ho"}]}\n'
    )
    marked = line("x", "done<|endoftext|>", source="glaive")
    source = folder(tmp_path / "in", [strange, marked])
    kept, dropped, changed = run(source, (Regex(drop="endoftext"),), (StripMarkers(),))
    assert kept[0] == strange
    assert json.loads(kept[1]) == {**json.loads(marked), "messages": json.loads(line("x", "done"))["messages"]}
    assert (dropped, changed) == ([], 1)


def test_escaped_markers_are_removed(tmp_path):
    escaped = line("x", "done<|endoftext|>").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")
    [kept], _, changed = run(folder(tmp_path / "in", [escaped]), (), (StripMarkers(),))
    assert (json.loads(kept)["messages"][1]["content"], changed) == ("done", 1)


def test_the_system_prompt_is_replaced_only_where_it_differs(tmp_path):
    old = (
        json.dumps({"messages": [{"role": "system", "content": "old"}, {"role": "user", "content": "q"}]}).encode()
        + b"\n"
    )
    source = folder(tmp_path / "in", [old, line("q", "a")])
    kept, _, changed = run(source, (), (SystemPrompt(prompt="new"),))
    assert [[m["content"] for m in json.loads(text)["messages"]] for text in kept] == [["new", "q"], ["new", "q", "a"]]
    assert changed == 2
    second, _, changed = run(folder(tmp_path / "second", kept), (), (SystemPrompt(prompt="new"),))
    assert (second, changed) == (kept, 0)
    kept, _, changed = run(source, (), (SystemPrompt(prompt="new", when="missing"),))
    assert (kept[0], changed) == (old, 1)


def test_secrets_are_replaced_in_texts_and_arguments(tmp_path):
    record = {
        "messages": [
            {"role": "user", "content": "mail ann@company.org from 8.8.8.8 with ghp_" + "a" * 36},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "f", "arguments": '{"to": "ann@company.org"}'}}],
            },
        ]
    }
    [kept], _, changed = run(folder(tmp_path / "in", [msgspec.json.encode(record) + b"\n"]), (), (Redact(),))
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
def test_a_chain_equals_its_filters_run_one_by_one(tmp_path_factory, rows, chain):
    """Every row is kept or dropped, and the result is that of one stage for each filter."""
    lines = [line(*row, id=number) for number, row in enumerate(rows)]
    root = tmp_path_factory.mktemp("law")
    kept, dropped, _ = run(folder(root / "all", lines), tuple(chain))
    assert sorted([*kept, *(text for _, text in dropped)]) == sorted(lines)
    one_by_one = lines
    for number, filter_ in enumerate(chain):
        one_by_one, _, _ = run(folder(root / str(number), one_by_one), (filter_,))
    assert kept == one_by_one
    assert all(isinstance(filter_, Filter) for filter_ in chain)
    assert any(isinstance(filter_, DatasetFilter) for filter_ in CHOICES)


def test_a_transform_keeps_the_bytes_of_other_keys(tmp_path):
    marked = (
        line("q", "done<|endoftext|>")[:-2]
        + b', "x": [1e400, 1.00, 12345678901234567890123], "y" : {"a":  "\\u00e9"}}\n'
    )
    [kept], _, changed = run(folder(tmp_path / "in", [marked]), (), (StripMarkers(), Redact()))
    assert kept.endswith(b'"x":[1e400, 1.00, 12345678901234567890123],"y":{"a":  "\\u00e9"}}\n')
    assert changed == 1


def test_a_row_that_cannot_be_rewritten_is_an_error(tmp_path):
    long = line("q", "a").replace(b'"role": "user"', b'"role": "user", "n": ' + b"9" * 5000)
    with pytest.raises(DataError, match=r"in/train\.jsonl:1: cannot be rewritten: .* - correct the row"):
        run(folder(tmp_path / "in", [long]), (), (SystemPrompt(prompt="P"),))


RARE = st.sampled_from(({}, {"reasoning_content": "думать"}, {"name": "ann"}, {"weight": 0}, {"other": 1}))
TURN = st.builds(
    lambda text, rare: {"role": "assistant", "content": text, **rare}, st.sampled_from(("yes", "да", "")), RARE
)


@examples(40)
@given(st.lists(st.lists(TURN, min_size=1, max_size=3), max_size=30))
def test_rare_keys_change_how_rows_are_decoded_and_no_outcome(tmp_path_factory, rows):
    lines = [json.dumps({"messages": turns}).encode() + b"\n" for turns in rows]
    filters = (
        NoScript(scripts=("cyrillic",)),
        ContentQuality(),
        Where(key="messages.0.other", values=(2,), missing="keep"),
    )
    kept, dropped, _ = run(folder(tmp_path_factory.mktemp("rows"), lines), filters)
    slow = [first_objection(text, filters) for text in lines]
    assert kept == [text for text, reason in zip(lines, slow, strict=True) if not reason]
    assert dropped == [(reason, text) for text, reason in zip(lines, slow, strict=True) if reason]


def first_objection(text: bytes, filters: tuple[Filter, ...]) -> str:
    """Return the tag of the first filter that rejects the row as it is decoded with all keys."""
    example = decode_example(text)
    tests = [(f, f.line_predicate() if isinstance(f, LineFilter) else f.predicate()) for f in filters]
    verdicts = ((f, test(text, example) if isinstance(f, LineFilter) else test(example)) for f, test in tests)
    return next((str(f.__struct_config__.tag) for f, keeps in verdicts if not keeps), "")
