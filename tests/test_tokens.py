from __future__ import annotations

import json

import pytest
from transformers import PreTrainedTokenizerFast

from punie_build import layout
from punie_build.authored import conversations
from punie_build.tokens import tokenize

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LLAMA = "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
MISTRAL = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
REWRITING = "{% for m in messages %}{{ m.role }}: {% if loop.last %}(last) {% endif %}{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
TURNS = [("user", "Ask one"), ("assistant", "First answer"), ("user", "Ask two"), ("assistant", "Second answer")]
EXAMPLE = {"messages": [{"role": role, "content": text} for role, text in TURNS]}


@pytest.fixture(scope="module")
def tokenizer():
    folder = layout.nano()
    return PreTrainedTokenizerFast.from_pretrained(folder)


def learnt(tokenizer, example, mask: str) -> list[str]:
    """The learnt tokens, decoded, one text per run of them."""
    tokens = tokenize(tokenizer, example, mask)
    runs, current = [], []
    for token, mark in [*zip(tokens.ids, tokens.learnt, strict=True), (0, False)]:
        if mark:
            current.append(token)
        elif current:
            runs.append(tokenizer.decode(current))
            current = []
    return runs


@pytest.mark.parametrize(
    ("template", "mask", "expected"),
    [
        (CHATML, "assistant", ["First answer<|im_end|>", "Second answer<|im_end|>"]),
        (CHATML, "last", ["Second answer<|im_end|>"]),
        (LLAMA, "assistant", ["First answer<|eot_id|>", "Second answer<|eot_id|>"]),
        (LLAMA, "last", ["Second answer<|eot_id|>"]),
        (MISTRAL, "assistant", [" First answer</s>", " Second answer</s>"]),
        (MISTRAL, "last", [" Second answer</s>"]),
    ],
)
def test_what_is_learnt_token_by_token(tokenizer, template, mask, expected):
    kept, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        assert learnt(tokenizer, EXAMPLE, mask) == expected
        assert all(tokenize(tokenizer, EXAMPLE, "all").learnt)
    finally:
        tokenizer.chat_template = kept


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer):
    kept, tokenizer.chat_template = tokenizer.chat_template, REWRITING
    try:
        with pytest.raises(ValueError, match="writes earlier turns differently"):
            tokenize(tokenizer, EXAMPLE, "assistant")
    finally:
        tokenizer.chat_template = kept


@pytest.mark.parametrize("example", conversations())
def test_in_tool_conversations_every_call_and_answer_is_learnt_and_nothing_else(tokenizer, example):
    runs = learnt(tokenizer, example, "assistant")
    turns = [message for message in example["messages"] if message["role"] == "assistant"]
    assert len(runs) == len(turns)
    for run, turn in zip(runs, turns, strict=True):
        calls = [json.loads(text.split("</tool_call>")[0]) for text in run.split("<tool_call>")[1:]]
        assert calls == [
            {"name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])}
            for c in turn.get("tool_calls", ())
        ]
        assert run.endswith("<|im_end|>")
        if not calls:
            assert run == turn["content"] + "<|im_end|>"


def test_the_first_tokens_of_a_row_keep_their_marks(tokenizer):
    whole = tokenize(tokenizer, EXAMPLE, "assistant")
    short = whole.first(10)
    assert short.ids == whole.ids[:10]
    assert short.learnt == whole.learnt[:10]
