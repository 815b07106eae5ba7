"""Preference data: read as a form of its own, and trained by losses that compare answers only."""

from __future__ import annotations

import json

import pytest

from punie_build.data.answer_pair import answer_pair
from punie_build.data.dialects.columns import Layout
from punie_build.data.example import decode_example
from punie_build.data.ingest import to_chat_row
from punie_build.models.served_template import ChatTemplate
from punie_build.storage import paths
from punie_build.training.tokenization import Tokenization
from tests.support.chat_rows import HI, assistant, system, user

BAD = assistant("Bad.")
PAIR = {"messages": HI, "rejected": [BAD], "form": "preference"}
PAIRS = {
    "prompt, chosen, rejected": {"prompt": "Hi", "chosen": "Hello.", "rejected": "Bad."},
    "lists of messages": {"prompt": [user("Hi")], "chosen": [HI[1]], "rejected": [BAD]},
    "whole conversations": {"chosen": HI, "rejected": [HI[0], BAD]},
    "a prompt beside whole conversations": {"prompt": "Hi", "chosen": HI, "rejected": [HI[0], BAD]},
    "hh-rlhf": {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Bad."},
    "ShareGPT": {
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello."},
        "rejected": {"from": "gpt", "value": "Bad."},
    },
    "ms-swift": {"messages": HI, "rejected_response": "Bad."},
}


def read(record: object, form: str = "preference") -> dict:
    return json.loads(to_chat_row(json.dumps(record).encode(), "auto", Layout(form=form)).line)


@pytest.mark.parametrize("record", PAIRS.values(), ids=PAIRS)
def test_a_pair_has_one_form(record):
    assert read(record) == PAIR
    assert read(PAIR) == PAIR
    with pytest.raises(ValueError, match="a preference pair"):
        read(record, "chat")


def test_a_pair_keeps_its_prompt_and_its_other_keys():
    record = {"system": "S", "question": "Hi", "chosen": "Hello.", "rejected": "Bad.", "score": 1}
    assert read(record) == PAIR | {"messages": [system("S"), *HI], "score": 1}


@pytest.mark.parametrize("label", [True, False])
def test_an_answer_with_a_label(label):
    expected = {"messages": HI, "label": label, "form": "preference"}
    assert read({"prompt": "Hi", "completion": "Hello.", "label": label}) == expected
    assert read({"messages": HI, "kto_tag": label}) == expected


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": HI}, "no pair and no label"),
        ({"prompt": "Hi", "chosen": "Hello.", "rejected": "Hello."}, "the same"),
        ({"prompt": "Hi", "rejected": "Bad."}, "without a wanted answer"),
        ({"chosen": "Hello.", "rejected": "Bad."}, "no prompt before the answers"),
        ({"prompt": "Hi", "chosen": 1, "rejected": "Bad."}, "an answer is int"),
        ({"prompt": "Hi", "chosen": "Hello.", "rejected": ""}, "rejected is empty, so there is no rejected answer"),
    ],
)
def test_other_data_is_refused(record, reason):
    with pytest.raises(ValueError, match=reason):
        read(record)


def test_an_answer_of_another_length_is_counted_and_kept():
    longer = [assistant("Sure."), user("Yes?"), HI[1]]
    row = read({"prompt": [user("Hi")], "chosen": longer, "rejected": [BAD]})
    assert (row["answer_messages"], row["rejected"]) == (3, [BAD])
    assert "answer_messages" not in read(PAIR)
    pair = answer_pair(decode_example(json.dumps(row).encode()))
    assert pair.prompt == 1
    assert [message.content for message in pair.rejected.messages] == ["Hi", "Bad."]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"form": "chat"}, "one answer and no rejected one"),
        ({"rejected": [], "label": False}, "no rejected answer: a label is no pair"),
        ({"rejected": [HI[1]]}, "the same"),
        ({"rejected": [user("Other"), BAD]}, "the prompts differ: an answer begins with user"),
        (
            {"messages": [system("S"), *HI], "rejected": [user("Other"), BAD]},
            "the prompts differ: an answer begins with user",
        ),
        ({"answer_messages": 2}, "no prompt before the answers"),
        ({"answer_messages": 0}, "no prompt before the answers"),
    ],
)
def test_a_row_without_two_answers_to_one_prompt_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        answer_pair(decode_example(json.dumps(PAIR | change).encode()))


def test_answers_to_other_prompts_are_refused_by_the_reader():
    with pytest.raises(ValueError, match="the prompts differ: an answer begins with user"):
        read({"chosen": HI, "rejected": [user("Other"), BAD]})
    with pytest.raises(ValueError, match="the prompts differ: an answer begins with user"):
        read({"system": "S", "chosen": HI, "rejected": [user("Other"), BAD]})


def test_an_adapter_trains_on_preference_data_with_a_loss_for_pairs_only():
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.nano(), local_files_only=True)
    template = ChatTemplate(tokenizer)
    with pytest.raises(ValueError, match="preference data: an adapter trains on one answer"):
        Tokenization(template, "assistant").tokenize(json.dumps(PAIR).encode())
    with pytest.raises(ValueError, match="this loss compares two"):
        Tokenization(template, "assistant", pairs=True).tokenize(json.dumps({"messages": HI}).encode())
    with pytest.raises(ValueError, match="a row of preference data"):
        read(PAIR, "chat")
