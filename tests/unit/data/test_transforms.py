from __future__ import annotations

import msgspec
import pytest

from punie_build.data import pipeline
from punie_build.data.chat_template import token_counter
from punie_build.data.example import SPLITS, decode_example
from punie_build.data.filters.dataset_level import SampleRows
from punie_build.data.filters.filter import EMPTY_CONTEXT, FilterContext
from punie_build.data.spec import Stage
from punie_build.data.transform import RowRewriter, transform_line
from punie_build.data.transforms import AnyTransform, FixText
from punie_build.data.turns import CutTurns
from punie_build.storage import paths
from tests.fuzz.laws import time_limit


def line(*messages: dict[str, object], **keys: object) -> bytes:
    return msgspec.json.encode({"messages": messages, **keys}) + b"\n"


def rewritten(row: bytes, transform: AnyTransform | RowRewriter) -> list[dict[str, object]]:
    return msgspec.json.decode(transform_line(row, [transform]))["messages"]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("cafÃ©", "café"),
        ("itâ€™s", "it’s"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("“quotes” ﬁ ｆｕｌｌ", "“quotes” ﬁ ｆｕｌｌ"),
        ("x = 'ok' & b < c &amp;", "x = 'ok' & b < c &amp;"),
    ],
)
def test_mistaken_encodings_are_repaired_and_other_text_stays(text: str, repaired: str):
    assert rewritten(line({"role": "user", "content": text}), FixText())[0]["content"] == repaired


def test_more_is_repaired_where_the_recipe_says_so():
    [message] = rewritten(
        line({"role": "user", "content": "“a” &lt;b&gt;"}), FixText(unescape_html=True, straight_quotes=True)
    )
    assert message["content"] == '"a" <b>'
    row = line({"role": "user", "content": "naïve"})
    assert transform_line(row, [FixText()]) is row


SYSTEM = {"role": "system", "content": "s"}
TURNS = [
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "r"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "2"},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": "3"},
    {"role": "assistant", "content": "c"},
]


@pytest.mark.parametrize(
    ("cut", "turns"),
    [
        (CutTurns(messages=9), TURNS),
        (CutTurns(messages=8), TURNS[:6]),
        (CutTurns(messages=6), TURNS[:4]),
        (CutTurns(messages=2), TURNS[:4]),
        (CutTurns(messages=5, keep="last"), TURNS[4:]),
        (CutTurns(messages=4, keep="last"), TURNS[6:]),
        (CutTurns(chars=5, keep="last"), TURNS[4:]),
        (CutTurns(chars=4, keep="last"), TURNS[6:]),
    ],
)
def test_conversations_are_cut_before_a_users_message(cut: CutTurns, turns: list[dict[str, object]]):
    row = line(SYSTEM, *TURNS, score=1.50)
    assert rewritten(row, cut) == [SYSTEM, *turns]
    assert (transform_line(row, [cut]) is row) is (turns == TURNS)


def test_a_cut_without_a_limit_is_an_error():
    with pytest.raises(msgspec.ValidationError, match="no limit"):
        msgspec.convert({"type": "cut-turns"}, AnyTransform)
    with pytest.raises(msgspec.ValidationError, match="give both"):
        msgspec.convert({"type": "cut-turns", "tokens": 9}, AnyTransform)


@pytest.mark.parametrize("keep", ["first", "last"])
def test_conversations_are_cut_at_the_tokens_that_the_base_reads(keep: str):
    context = FilterContext(bases={"nano": paths.nano()})
    count = token_counter(paths.nano())
    row = line(SYSTEM, *TURNS)
    parts = [TURNS[:4], TURNS[4:6], TURNS[6:]]
    for number in (1, 2):
        kept = parts[:number] if keep == "first" else parts[-number:]
        expected = [SYSTEM, *(message for part in kept for message in part)]
        limit = count(decode_example(line(*expected)))
        for tokens in (limit, limit + 1):
            bound = CutTurns(tokens=tokens, base="nano", keep=keep).bind(context)
            assert rewritten(row, bound) == expected
            assert bound.counts == {"turns cut by cut-turns": 3 - number}
    bound = CutTurns(tokens=count(decode_example(row)), base="nano", keep=keep).bind(context)
    assert transform_line(row, [bound]) is row
    assert not bound.counts
    bound = CutTurns(tokens=1, base="nano", keep=keep).bind(context)
    assert rewritten(row, bound) == [SYSTEM, *parts[0 if keep == "first" else -1]]
    assert bound.counts["rows of which one turn alone is beyond the limit of cut-turns"] == 1


def test_an_answer_that_is_compared_is_not_cut():
    pair = line(*TURNS, form="preference", rejected=[{"role": "assistant", "content": "d"}])
    first, last = CutTurns(messages=2).bind(EMPTY_CONTEXT), CutTurns(messages=2, keep="last").bind(EMPTY_CONTEXT)
    assert transform_line(pair, [first]) is pair
    assert sum(first.counts.values()) == 1
    assert rewritten(pair, last) == TURNS[6:]


def test_cut_turns_are_counted_once_in_the_notes_of_a_stage(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir(), out.mkdir()
    for split in SPLITS:
        (source / f"{split}.jsonl").write_bytes(line(*TURNS) * 3 if split == "train" else b"")
    cut = CutTurns(tokens=25, base="nano", keep="last")
    stage = Stage(from_="in", maps=(cut,), filters=(SampleRows(most=3),))  # this filter reads the rows twice
    stats = pipeline.build_stage("x", stage, source, out, FilterContext(bases={"nano": paths.nano()}))
    [row, *_] = (out / "train.jsonl").read_bytes().splitlines()
    turns = sum(message["role"] == "user" for message in msgspec.json.decode(row)["messages"])
    assert 1 <= turns <= 2
    assert f"turns cut by cut-turns: {3 * (3 - turns)}" in stats.notes


def test_floods_of_mistaken_text_are_left_and_counted():
    flood = line({"role": "user", "content": "Œ\x80©¿ é" * 20_000})
    bound = FixText().bind(EMPTY_CONTEXT)
    with time_limit(2):
        assert transform_line(flood, [bound]) is flood
        assert (
            rewritten(line({"role": "user", "content": "word " * 40_000 + "\ncafÃ©"}), bound)[0]["content"][-4:]
            == "café"
        )
    assert list(bound.counts.values()) == [1]
