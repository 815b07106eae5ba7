from __future__ import annotations

import hashlib
import json

import pytest
from transformers import PreTrainedTokenizerFast

from punie_build.data.synthetic.hand_authored import conversations
from punie_build.models.served_template import ChatTemplate
from punie_build.storage import paths
from punie_build.training.tokenization import Tokenization, TokenizedRow

CHATML = """{% if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}{% else %}You are a helpful assistant.{% endif %}

# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}{% for m in messages %}{% if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls)
%}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% elif m.role == 'assistant' %}<|im_start|>assistant{% if m.content %}
{{ m.content }}{% endif %}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif m.role == 'tool' %}{% if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool'
%}<|im_start|>user{% endif %}
<tool_response>
{{ m.content }}
</tool_response>{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>
{% endif %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""  # the template of Qwen2.5
LLAMA = """{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim
%}{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif
%}<|start_header_id|>system<|end_header_id|>

{% if tools %}Environment: ipython
{% endif %}{{ system }}<|eot_id|>{% if tools %}{% set first = messages[0].content | trim
%}{% set messages = messages[1:] %}<|start_header_id|>user<|end_header_id|>

Given the following functions, please respond with a JSON for a function call.

{% for tool in tools %}{{ tool | tojson }}

{% endfor %}{{ first }}<|eot_id|>{% endif %}{% for m in messages
%}{% if not (m.role == 'ipython' or m.role == 'tool' or m.tool_calls)
%}<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>{% elif m.tool_calls %}{% if m.tool_calls | length != 1
%}{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif
%}{% set call = m.tool_calls[0].function %}<|start_header_id|>assistant<|end_header_id|>

{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}<|eot_id|>{% else
%}<|start_header_id|>ipython<|end_header_id|>

{{ m.content | tojson }}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt
%}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""  # the template of Llama 3.1
MISTRAL = """{% if messages[0].role == 'system' %}{% set system = messages[0].content
%}{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif
%}{% set users = loop_messages | selectattr('role', 'equalto', 'user') | list %}{% set ns = namespace(index=0)
%}{% for m in loop_messages %}{% if not (m.role == 'tool' or m.role == 'tool_results' or m.tool_calls)
%}{% if (m.role == 'user') != (ns.index % 2 == 0)
%}{{ raise_exception('After the optional system message, conversation roles must alternate '
~ 'user/assistant/user/assistant/...') }}{% endif %}{% set ns.index = ns.index + 1 %}{% endif %}{% endfor
%}{% for m in loop_messages %}{% if m.role == 'user' %}{% if tools and m == users[-1]
%}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif
%}{% if loop.last and system is defined %}[INST] {{ system }}

{{ m.content }}[/INST]{% else %}[INST] {{ m.content }}[/INST]{% endif %}{% elif m.tool_calls
%}[TOOL_CALLS] [{% for c in m.tool_calls
%}{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}{% if not loop.last
%}, {% endif %}{% endfor %}]</s>{% elif m.role == 'assistant' %} {{ m.content }}</s>{% elif m.role == 'tool'
%}[TOOL_RESULTS] {"content": {{ m.content }}}[/TOOL_RESULTS]{% endif %}{% endfor
%}"""  # the template of Mistral 7B v0.3
QWEN3 = """{% if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}{% set ns = namespace(multi_step_tool=true, last_query_index=messages | length - 1)
%}{% for m in messages[::-1] %}{% set index = (messages | length - 1) - loop.index0
%}{% if ns.multi_step_tool and m.role == 'user' and not (m.content.startswith('<tool_response>')
and m.content.endswith('</tool_response>')) %}{% set ns.multi_step_tool = false
%}{% set ns.last_query_index = index %}{% endif %}{% endfor %}{% for m in messages
%}{% if m.role == 'user' or (m.role == 'system' and not loop.first) %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% elif m.role == 'assistant' %}{% set content = m.content %}{% set thought = ''
%}{% if m.reasoning_content is defined and m.reasoning_content is not none
%}{% set thought = m.reasoning_content %}{% elif '</think>' in m.content
%}{% set content = m.content.split('</think>')[-1].lstrip('\\n')
%}{% set thought = m.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{% endif
%}{% if loop.index0 > ns.last_query_index and (loop.last or thought) %}<|im_start|>assistant
<think>
{{ thought.strip('\\n') }}
</think>

{{ content.lstrip('\\n') }}{% else %}<|im_start|>assistant
{{ content }}{% endif %}{% for c in m.tool_calls or [] %}{% if (loop.first and content) or not loop.first %}
{% endif %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif m.role == 'tool' %}{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}
<tool_response>
{{ m.content }}
</tool_response>{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>
{% endif %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""  # the template of Qwen3, which keeps the reasoning of the last turn only
TURNS = [("user", "Ask one"), ("assistant", "First answer"), ("user", "Ask two"), ("assistant", "Second answer")]
EXAMPLE = {"messages": [{"role": role, "content": text} for role, text in TURNS]}


@pytest.fixture(scope="module")
def tokenizer():
    folder = paths.nano()
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tokenize_all(tokenizer, example, mask: str) -> tuple[TokenizedRow, ...]:
    return Tokenization(ChatTemplate(tokenizer), mask).tokenize(json.dumps(example).encode()).rows


def tokenize(tokenizer, example, mask: str) -> TokenizedRow:
    """Return the only text of a conversation."""
    [row] = tokenize_all(tokenizer, example, mask)
    return row


def trained_texts(tokenizer, example, mask: str) -> list[str]:
    """Return the text of each run of trained tokens."""
    runs, current = [], []
    for row in tokenize_all(tokenizer, example, mask):
        for token, trained in [*zip(row.ids, row.loss_mask, strict=True), (0, False)]:
            if trained:
                current.append(token)
            elif current:
                runs.append(tokenizer.decode(current))
                current = []
    return runs


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def call(path: str) -> dict:
    return {
        "id": "abcdefghi",
        "type": "function",
        "function": {"name": "look", "arguments": json.dumps({"path": path})},
    }


WITH_TOOLS = {
    "tools": TOOLS,
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is in a?"},
        {"role": "assistant", "content": "", "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "one"},
        {"role": "assistant", "content": "It says one."},
    ],
}
LONGER = WITH_TOOLS | {
    "messages": [
        *WITH_TOOLS["messages"],
        {"role": "user", "content": "And in b?"},
        {"role": "assistant", "content": "", "tool_calls": [call("b")]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "two"},
        {"role": "assistant", "content": "It says two."},
    ]
}
THOUGHT = {
    "messages": [
        {"role": "user", "content": "Ask one"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nFirst answer"},
        {"role": "user", "content": "Ask two"},
        {"role": "assistant", "content": "<think>\nso\n</think>\n\nSecond answer"},
    ]
}


def chatml(path: str) -> str:
    return f'<tool_call>\n{{"name": "look", "arguments": {{"path": "{path}"}}}}\n</tool_call><|im_end|>'


def llama(path: str) -> str:
    return f'{{"name": "look", "parameters": {{"path": "{path}"}}}}<|eot_id|>'


def mistral(path: str) -> str:
    return f'[TOOL_CALLS] [{{"name": "look", "arguments": {{"path": "{path}"}}}}]</s>'


EMPTY = "<think>\n\n</think>\n\n"
TABLE = {  # (template, conversation) -> trained text of each turn
    ("chatml", "plain"): ["First answer<|im_end|>", "Second answer<|im_end|>"],
    ("chatml", "tools"): [chatml("a"), "It says one.<|im_end|>"],
    ("chatml", "longer"): [chatml("a"), "It says one.<|im_end|>", chatml("b"), "It says two.<|im_end|>"],
    ("llama", "plain"): ["First answer<|eot_id|>", "Second answer<|eot_id|>"],
    ("llama", "tools"): [llama("a"), "It says one.<|eot_id|>"],
    ("llama", "longer"): [llama("a"), "It says one.<|eot_id|>", llama("b"), "It says two.<|eot_id|>"],
    ("mistral", "plain"): [" First answer</s>", " Second answer</s>"],
    ("mistral", "without a system prompt"): [mistral("a"), " It says one.</s>"],
    ("qwen3", "plain"): ["First answer<|im_end|>", f"{EMPTY}Second answer<|im_end|>"],
    ("qwen3", "tools"): [chatml("a"), f"{EMPTY}It says one.<|im_end|>"],
    ("qwen3", "longer"): [chatml("a"), "It says one.<|im_end|>", chatml("b"), f"{EMPTY}It says two.<|im_end|>"],
    ("qwen3", "thought"): [
        "<think>\nhm\n</think>\n\nFirst answer<|im_end|>",
        "<think>\nso\n</think>\n\nSecond answer<|im_end|>",
    ],
}
# transformers' Jinja drops the line break after a tag
TEMPLATES = {
    name: text.replace("%}\n", "%}{{ '\\n' }}")
    for name, text in (("chatml", CHATML), ("llama", LLAMA), ("mistral", MISTRAL), ("qwen3", QWEN3))
}
NO_SYSTEM = WITH_TOOLS | {"messages": WITH_TOOLS["messages"][1:]}
CONVERSATIONS = {
    "without a system prompt": NO_SYSTEM,
    "plain": EXAMPLE,
    "tools": WITH_TOOLS,
    "longer": LONGER,
    "thought": THOUGHT,
}


ENDS = {"chatml": "<|im_end|>", "llama": "<|eot_id|>", "mistral": "</s>", "qwen3": "<|im_end|>"}


def base(name: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a base with one of the templates, and with its end mark as one token."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.nano())
    tokenizer.add_special_tokens({"eos_token": ENDS[name]})
    tokenizer.chat_template = TEMPLATES[name]
    return tokenizer


@pytest.mark.parametrize(("name", "kind"), TABLE.keys())
def test_trained_text_of_each_turn(name, kind):
    templated = base(name)
    expected, example = TABLE[name, kind], CONVERSATIONS[kind]
    assert [run.removeprefix("\n") for run in trained_texts(templated, example, "assistant")] == expected
    assert [run.removeprefix("\n") for run in trained_texts(templated, example, "last")] == expected[-1:]
    everything = tokenize(templated, example, "all")
    assert all(everything.loss_mask)
    assert everything.ids == tokenize_all(templated, example, "assistant")[-1].ids


@pytest.mark.parametrize("example", [LONGER, WITH_TOOLS])
def test_turns_that_a_template_renders_otherwise_later_on_are_trained_behind_their_own_prompts(example):
    """Mistral's template has the system prompt in the last question only, and declares tools before it."""
    templated = base("mistral")
    turns = [message for message in example["messages"] if message["role"] == "assistant"]
    runs = trained_texts(templated, example, "assistant")
    assert len(runs) == len(turns)
    first, *_ = tokenize_all(templated, example, "assistant")
    assert "Be short." in templated.decode(first.ids)


@pytest.mark.parametrize("example", conversations())
def test_exactly_the_calls_and_answers_of_tool_conversations_are_trained(tokenizer, example):
    runs = trained_texts(tokenizer, example, "assistant")
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


def test_a_truncated_row_keeps_its_loss_mask(tokenizer):
    row = tokenize(tokenizer, EXAMPLE, "assistant")
    short = row.truncated(10)
    assert short.ids == row.ids[:10]
    assert short.loss_mask == row.loss_mask[:10]


def learned(tokenizer, record, mask: str) -> str:
    row = tokenize(tokenizer, record, mask)
    return tokenizer.decode([token for token, trained in zip(row.ids, row.loss_mask, strict=True) if trained])


TWO_ANSWERS = {
    "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "WRONG", "weight": 0},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "right", "weight": 1},
    ]
}


@pytest.mark.parametrize("mask", ["assistant", "last", "all"])
def test_a_message_of_weight_0_is_not_learned(mask):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.nano(), local_files_only=True)
    text = learned(tokenizer, TWO_ANSWERS, mask)
    assert "right" in text
    assert "WRONG" not in text
    reversed_weights = {"messages": [m | {"weight": 1 - m.get("weight", 0)} for m in TWO_ANSWERS["messages"]]}
    assert ("WRONG" in learned(tokenizer, reversed_weights, mask)) == (mask != "last")
    assert "right" not in learned(tokenizer, reversed_weights, mask)


def test_reasoning_reaches_the_template_under_both_of_its_names():
    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.nano(), local_files_only=True)
    row = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a", "reasoning_content": "two and two"},
        ]
    }
    for key in ("reasoning_content", "thinking"):
        tokenizer.chat_template = "{% for m in messages %}{{ m." + key + " }}{{ m.content }}{% endfor %}"
        assert "two and two" in tokenizer.decode(tokenize(tokenizer, row, "all").ids)


def test_raw_text_is_trained_without_a_chat_template():
    tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.nano(), local_files_only=True)
    row = tokenize(tokenizer, {"messages": [{"role": "assistant", "content": "Some text."}], "form": "text"}, "last")
    assert row.ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(row.ids[:-1]) == "Some text."
    assert all(row.loss_mask)


# of the ids and masks of the hand-written conversations, before turns could have texts of their own
DIGESTS = {
    "assistant": "332e2ca8d91630bc7f29b2967cb683af4ba7f06511885a53b8aae38e4dddc1b8",
    "last": "702d76ec21ce371b265745042828abaf8667354165777ff8b765a8734df7359d",
    "all": "6e06b80760533a7842365ebddc69997d3dfbd04abda878eead4d1c2f5501981a",
}


@pytest.mark.parametrize("mask", DIGESTS)
def test_tokens_and_masks_of_nano_are_those_of_its_committed_adapters(tokenizer, mask):
    digest = hashlib.sha256()
    for example in conversations():
        row = tokenize(tokenizer, example, mask)
        digest.update(json.dumps([row.ids, list(map(int, row.loss_mask))]).encode())
    assert digest.hexdigest() == DIGESTS[mask]


PAIR = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Right."},
    ],
    "rejected": [{"role": "assistant", "content": "Wrong, wrong."}],
    "form": "preference",
}


def test_a_pair_is_one_row_whose_two_answers_are_trained_and_no_prompt(tokenizer):
    [row] = Tokenization(ChatTemplate(tokenizer), "assistant", pairs=True).tokenize(json.dumps(PAIR).encode()).rows
    wanted, rejected = row.texts
    trained = [
        tokenizer.decode([token for token, mark in zip(text.ids, text.loss_mask, strict=True) if mark])
        for text in (wanted, rejected)
    ]
    assert [text.strip().removesuffix("<|im_end|>") for text in trained] == ["Right.", "Wrong, wrong."]
    assert "Hello." in tokenizer.decode(wanted.ids)
    assert row.trained_tokens == sum(row.loss_mask)


def test_a_truncated_pair_that_is_equal_or_lost_its_answer_has_no_trained_token(tokenizer):
    [row] = Tokenization(ChatTemplate(tokenizer), "assistant", pairs=True).tokenize(json.dumps(PAIR).encode()).rows
    first = row.loss_mask.index(True)
    assert row.truncated(first).trained_tokens == 0
    assert row.truncated(first + 1).trained_tokens == 2
    assert TokenizedRow([1, 2, 1, 2], [False, True] * 2, 2).trained_tokens == 0
