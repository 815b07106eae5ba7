from __future__ import annotations

import msgspec
import pytest

from punie_build.data.transforms import AnyTransform, CutTurns, FixText, transform_line


def line(*messages: dict[str, object], **keys: object) -> bytes:
    return msgspec.json.encode({"messages": messages, **keys}) + b"\n"


def rewritten(row: bytes, transform: AnyTransform) -> list[dict[str, object]]:
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
