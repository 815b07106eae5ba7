"""The table of keys that change the meaning of a row."""

from __future__ import annotations

import json
import re

import pytest

from punie_build.data.dialects.keys import MAX_NAMED, describe_unknown
from punie_build.data.ingest import to_chat_row
from punie_build.data.pipeline import build_dataset
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset
from punie_build.data.split import Split
from punie_build.data.stats import read_stats
from tests.support.chat_rows import HI, assistant, system, user


def read(record: object) -> dict:
    return json.loads(to_chat_row(json.dumps(record).encode(), "auto").line)


def answer(**keys: object) -> dict:
    return {"messages": [user("q"), assistant("a") | keys]}


NOT_LEARNED = [
    {"weight": 0}, {"weight": 0.0}, {"weight": False}, {"train": False}, {"training": 0}, {"trainable": False},
    {"loss": False}, {"loss": 0}, {"loss_weight": 0.0}, {"mask": True}, {"masked": True},
    {"train_on_turn": False}, {"loss_mask": 0}, {"learn": False}, {"supervised": False},
    {"metadata": {"masked": True}}, {"metadata": {"train": False}}, {"metadata": {"weight": 0}}, {"is_masked": True},
    {"train_on": False}, {"calculate_loss": 0}, {"loss_scale": 0.0}, {"ignore_loss": True}, {"do_not_train": True},
    {"weight": 0, "loss": False},
]  # fmt: skip
LEARNED = [{}, {"weight": 1}, {"train": True}, {"loss": True}, {"loss_weight": 1.0}, {"mask": False}, {"weight": None}]


@pytest.mark.parametrize("keys", NOT_LEARNED, ids=str)
def test_a_mark_of_training_becomes_weight_0(keys):
    assert read(answer(**keys))["messages"][1]["weight"] == 0


@pytest.mark.parametrize("keys", LEARNED, ids=str)
def test_a_message_without_a_mark_is_learned(keys):
    assert read(answer(**keys))["messages"][1].get("weight") in (1, None)


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_has_one_key(key):
    assert read(answer(**{key: "r"})) == answer(reasoning_content="r")


REFUSED = [
    (answer(weight=0.5), "message 2 (assistant): weight is 0.5 - write 0 or 1"),
    (answer(mask=1), "mask is 1 - write true or false"),
    (answer(weight=1, train=False), "weight and train contradict each other"),
    (answer(thinking="a", reasoning_content="b"), "two different texts of reasoning"),
    (answer(thinking=["a"]), "its reasoning is list, not text"),
    ({"messages": HI, "label": False}, "label is false: the answer is one that is not wanted"),
    ({"prompt": "q", "completion": "a", "label": False}, "label is false"),
    ({"messages": HI, "weight": 0}, "weight of the row is 0: it is not to be learned"),
    ({"messages": HI, "train": False}, "train of the row is False"),
    ({"prompt": "q", "completion": "a", "loss_weight": "0.0"}, "loss_weight of the row is '0.0'"),
    (answer(loss_mask=[0, 1]), "loss_mask is [0, 1] - write 0 or 1"),
    ({"messages": HI, "mask": True}, "mask of the row is True: it is not to be learned"),
    ({"messages": HI, "loss_mask": [0, 1]}, "loss_mask of the row is a list of marks"),
    (answer(train_detail=[{"begin_offset": 0, "end_offset": 1, "train": False}]), "train_detail marks parts of a text"),
    (answer(label=False), "message 2 (assistant): label is false"),
    ({"messages": HI, "kto_tag": False}, "kto_tag is false"),
    ({"messages": HI, "is_preferred": False}, "is_preferred is false"),
    ({"messages": HI, "desirable": "no"}, "desirable is no"),
    ({"messages": HI, "rejected_message": HI[1]}, "a preference pair (rejected_message)"),
    ({"messages": HI, "answer_rejected": "x"}, "a preference pair (answer_rejected)"),
    ({"messages": HI, "image_path": "a.png"}, "it has image_path: bases here read text only"),
    (answer(video_urls=["x"]), "it has video_urls"),
    ({"messages": HI, "rejected_response": "x"}, "a preference pair (rejected_response)"),
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "a preference pair (chosen, rejected)"),
    (
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        "a preference pair",
    ),
    ({"messages": HI, "images": ["a.png"]}, "it has images: bases here read text only"),
    ({"text": "a", "image": "x"}, "it has image"),
    ({"messages": [user("q") | {"images": ["a"]}, assistant("a")]}, "it has images"),
]


@pytest.mark.parametrize(("record", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_keys_that_make_a_row_unfit_are_refused_by_name(record, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        to_chat_row(json.dumps(record).encode(), "auto")


@pytest.mark.parametrize("keys", [{"label": True}, {"images": []}, {"chosen": None}, {"rejected": ""}, {"label": 3}])
def test_values_without_a_meaning_are_not_refused(keys):
    assert read({"messages": HI, **keys}) == {"messages": HI, **keys}


def test_a_prompt_beside_the_messages_becomes_a_message():
    for key in ("system", "system_prompt", "system_message", "system_instruction"):
        assert read({"messages": HI, key: "S"}) == {"messages": [system("S"), *HI]}
        assert read({"messages": [system("S"), *HI], key: "S"}) == {"messages": [system("S"), *HI]}
    assert read({"messages": HI, "system": [{"type": "text", "text": "S"}]}) == {"messages": [system("S"), *HI]}


def test_unknown_keys_are_counted_and_named(tmp_path):
    rows = [{"messages": HI, "mood": 1, "id": 1}, {"messages": [HI[0] | {"tone": "x"}, HI[1]], "mood": 2, "id": 2}]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    out.mkdir()
    stats = build_dataset("d", Dataset(source=Local(path="d.jsonl"), split=Split(valid=0.0)), tmp_path, out)
    assert stats.unknown_keys == {"mood": 2, "messages.tone": 1} == read_stats(out).unknown_keys
    text = describe_unknown(stats.unknown_keys)
    assert text == "keys without an effect on training: mood (in 2 rows), messages.tone (in 1 row)"
    assert describe_unknown({}) == ""
    assert describe_unknown({str(n): 1 for n in range(MAX_NAMED + 2)}).endswith("2 more")


def test_stats_of_data_without_unknown_keys_do_not_mention_them(tmp_path):
    (tmp_path / "d.jsonl").write_text(json.dumps({"messages": HI}) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    build_dataset("d", Dataset(source=Local(path="d.jsonl"), split=Split(valid=0.0)), tmp_path, out)
    assert "unknown_keys" not in (out / "stats.json").read_text()
