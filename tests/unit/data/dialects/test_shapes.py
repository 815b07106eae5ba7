"""Formats that are read without a mapping, dialogues in one text, and mappings of columns."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.dialects.columns import Layout
from punie_build.data.dialects.normalize import to_canonical
from punie_build.data.dialects.python_calls import parse_calls
from punie_build.data.ingest import to_chat_row
from punie_build.data.pipeline import build_dataset
from punie_build.data.sources import Local
from punie_build.data.spec import Dataset
from punie_build.data.split import Split
from tests.support.chat_rows import HI, answered, assistant, system, turns, user, with_calls
from tests.support.container_cases import CONTAINERS
from tests.support.file_cases import OPENHANDS
from tests.support.profiles import examples
from tests.support.shape_cases import DIALOGUES, SHAPES
from tests.support.spoiled_values import spoiled


@pytest.mark.parametrize(("record", "expected"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_a_format_is_read_without_a_mapping(record, expected):
    before = deepcopy(record)
    canonical = to_canonical(record)
    assert canonical == expected
    assert record == before
    assert to_canonical(canonical) is canonical


@pytest.mark.parametrize(("text", "messages"), [row[1:] for row in DIALOGUES], ids=[row[0] for row in DIALOGUES])
def test_a_dialogue_in_one_text_is_read_as_turns(text, messages):
    assert to_canonical({"text": text}) == {"messages": messages}
    assert to_canonical({"text": text}, "text") == {"messages": [{"role": "assistant", "content": text}]}


REFUSED = [
    ({"text": "<s>[INST] a [/INST] b</s>"}, "of another chat template"),
    ({"text": "<|user|>\na<|assistant|>\nb"}, "of another chat template"),
    ({"text": "[|Human|]a[|AI|]b"}, "of another chat template"),
    ({"text": "<|prompter|>a<|endoftext|><|assistant|>b"}, "of another chat template"),
    ({"text": "<user>a</user>\n<assistant>b</assistant>"}, "of another chat template"),
    ({"prompt": "<s>[INST] a [/INST]", "completion": "b"}, "the prompt ends as another chat template"),
    ({"prompt": "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n", "completion": "b"}, "the prompt ends as"),
    ({"text": "### Instruction:\na"}, "begins with '### Instruction:' and has no answer"),
    ({"text": "x" * 201 + "\nQ: a\nA: b"}, "questions and answers after 201 other characters"),
    ({"text": "a", "role": "prompter"}, "one message, not a conversation"),
    ({"text": "a", "speaker": "user"}, "one message, not a conversation"),
    ({"problem": "a", "solution": "b", "answer": "c"}, 'columns = { problem = "user", solution = "assistant" }'),
    ({"messages": {"role": ["user"], "content": ["a", "b"]}}, "columns of different lengths"),
    ({"prompt": "a", "response": ["b", "c"]}, "message 2: str, not an object"),
    ({"text": "Human: a\n\nAssistant: b\n\nAssistant: c"}, "two turns of the assistant in a row"),
    ({"question": [[user("a")]], "function": []}, "its answers are in another file"),
    ({"question": [[user("a")], [user("b")]], "ground_truth": [["f()"], []]}, "round 2 has no call"),
    ({"question": [[user("a")], []], "ground_truth": [["f()"], ["f()"]]}, "round 2 has no question"),
    ({"question": [[user("a")], [user("b")]], "ground_truth": [["f()"]]}, "2 rounds, but calls for 1"),
    ({"question": [[user("a")]], "ground_truth": ["Rome"]}, "ground_truth is no list of calls"),
    ({"question": [[user("a")]], "ground_truth": [["f(1)"]]}, "arguments without a name"),
    ({"events": OPENHANDS[4:]}, "no message of the user among"),
    ({"role": "user", "content": "a"}, "one message, not a conversation"),
    ({"messages": "[{"}, "messages: not JSON"),
    ({"question": "a", "response_j": "b", "response_k": "c"}, "a preference pair"),
    ({"custom_id": "1", "body": {"messages": HI}}, "a request without its response"),
    ({"custom_id": "1", "response": {"body": {}}}, "a response without its request"),
    ({"custom_id": "1", "body": {"messages": HI}, "response": {"body": {"error": "x"}}}, "the response is an error"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}], "output": []}, "part of type 'input_image'"),
    ({"contents": [{"parts": [{"text": "a"}]}], "candidates": [{}, {}]}, "2 candidates"),
    ({"messages": HI[:1], "choices": [{"message": HI[1]}] * 2}, "2 choices"),
    ({"instruction": "a", "context": "b", "input": "c", "response": "d"}, "their order is unknown"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result"}, {"type": "image"}]}]},
        "a content block of type",
    ),
]


@pytest.mark.parametrize(("record", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_a_record_that_cannot_be_read_says_why(record, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        to_canonical(record)
    assert " - " in str(caught.value)


OTHER_TEXTS = [
    "Prose.",
    "def f(): ...\n",
    "The user: a person.",
    "# Instructions\n\nDo it.",
    "On USER: and ASSISTANT: labels.",
    "Options\nA: one\nB: two\nQ: which",
    "Example\nInput: 1\nOutput: 2",
    "Notes\nQ: one\nQ: two\nA: three",
    "Exam: Q: is rare. A: so is this.",
    "System: the machine.",
    "## Input\n1\n## Output\n2",
]


@pytest.mark.parametrize("text", OTHER_TEXTS)
def test_other_text_is_no_dialogue(text):
    assert to_canonical({"text": text}) == {"messages": [{"role": "assistant", "content": text}]}


SAME_AS_HI = [
    {"Instruction": "Hi", "Response": "Hello."},
    {" Question": "Hi", "ANSWER": "Hello."},
    {"input": "Hi", "output": "Hello."},
    {"inputs": "Hi", "targets": "Hello."},
    {"human": "Hi", "gpt": "Hello."},
    {"messages": {"role": ["user", "assistant"], "content": ["Hi", "Hello."]}},
    {"conversations": {"from": ["human", "gpt"], "value": ["Hi", "Hello."]}},
    {"turns": HI},
    {"chat": HI},
    {"prompt": "### Instruction:\nHi\n\n### Response:\n", "completion": "Hello."},
    {"prompt": "\n\nHuman: Hi\n\nAssistant:", "completion": " Hello."},
    {"prompt": "USER: Hi ASSISTANT:", "completion": "Hello.</s>"},
    {"history": HI[:0], "prompt": "Hi", "response": "Hello."},
    {"system_prompt": None, "question": "Hi", "response": "Hello."},
    {"system_message": None, "system": None, "messages": HI},
    {"system_instruction": "", "instruction": "Hi", "output": "Hello."},
]


@pytest.mark.parametrize("record", SAME_AS_HI, ids=str)
def test_other_names_and_places_of_one_exchange_give_the_same_row(record):
    assert to_canonical(record) == {"messages": HI}


def test_what_stands_beside_a_question_is_part_of_the_conversation():
    assert to_canonical({"question": 5, "answer": 0.5}) == {"messages": turns("5", "0.5")}
    assert to_canonical({"history": HI, "prompt": "a", "response": "b"}) == {"messages": [*HI, *turns("a", "b")]}
    thought = {"messages": [user("a"), assistant("b") | {"reasoning_content": "c"}]}
    assert to_canonical({"question": "a", "answer": "b", "thinking": "c"}) == thought
    assert to_canonical({"instruction": "a", "output": "b", "reasoning": "c"}) == thought
    assert to_canonical({"instruction": "Hi", "response": "Hello.", "user": "ann"}) == {"messages": HI, "user": "ann"}


def test_a_list_of_messages_is_a_conversation():
    assert json.loads(to_chat_row(json.dumps(HI).encode(), "auto").line) == {"messages": HI}


def test_python_in_a_tool_call_is_a_call_of_execute_code():
    code = 'r = pytest_run("tests/")\nprint(r.passed)'
    expected = with_calls("", ("execute_code", {"code": code}))
    assert to_canonical(answered(f"<tool_call>\n{code}\n</tool_call>")) == expected
    assert to_canonical(answered(f"<tool_call>\n```python\n{code}\n```\n</tool_call>")) == expected


CALL_TEXTS = [
    ('[f(a=1, b="x, (y)")]', [("f", {"a": 1, "b": "x, (y)"})]),
    ('[Market Trends API(kind="A"), g()]', [("Market Trends API", {"kind": "A"}), ("g", {})]),
    ("[f(a=[1, {'b': true}], c=null)]", [("f", {"a": [1, {"b": True}], "c": None})]),
    ("[1, 2]", []),
    ("[see (a)]", []),
    ("[link](address)", []),
    ("f(a=1)", []),
    ("[f(1)]", []),
    ("[f(a=1", []),
]


@pytest.mark.parametrize(("text", "calls"), CALL_TEXTS, ids=[text for text, _ in CALL_TEXTS])
def test_calls_in_brackets(text, calls):
    assert [(call["name"], call["arguments"]) for call in parse_calls(text)] == calls


def mapped(record: object, **layout: object) -> dict:
    return json.loads(to_chat_row(json.dumps(record).encode(), "auto", Layout(**layout)).line)


def test_columns_have_roles():
    columns = {"q": "user", "a": "assistant"}
    assert mapped({"q": "Hi", "a": "Hello.", "id": 1}, columns=columns) == {"messages": HI, "id": 1}
    assert mapped({"q": "Hi", "a": "Hello.", "s": "S"}, columns=columns | {"s": "system"})["messages"][0] == system("S")
    two = mapped({"q": "Hi", "c": "Rome", "a": 3}, columns={"c": "user", **columns})
    assert two["messages"] == turns("Rome\n\nHi", "3")
    assert mapped({"talk": HI}, columns={"talk": "messages"}) == {"messages": HI}
    with pytest.raises(ValueError, match="no column a, its keys are q"):
        mapped({"q": "Hi"}, columns=columns)


def test_a_template_is_the_text_of_the_user():
    layout = {"columns": {"a": "assistant"}, "template": "{context}\n\nQuestion: {q}"}
    assert mapped({"q": "Hi", "context": "C", "a": "b"}, **layout) == {"messages": turns("C\n\nQuestion: Hi", "b")}


def test_raw_text_is_a_form(tmp_path):
    text = "USER: this is a text.\nASSISTANT: so it stays one."
    row = mapped({"text": text, "id": 1}, form="text")
    assert row == {"messages": [{"role": "assistant", "content": text}], "id": 1, "form": "text"}
    (tmp_path / "d.jsonl").write_text(json.dumps({"body": text}) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    spec = Dataset(source=Local(path="d.jsonl"), form="text", columns={"body": "text"}, split=Split(valid=0.0))
    assert build_dataset("d", spec, tmp_path, out).total.kept == 1
    assert json.loads((out / "train.jsonl").read_text())["form"] == "text"
    with pytest.raises(ValueError, match="no text under text"):
        mapped({"a": 1}, form="text")


def test_a_recipe_with_contradicting_columns_is_refused():
    for table in (
        {"template": "{q}", "columns": {"q": "user"}},
        {"form": "text", "columns": {"q": "user"}},
        {"columns": {"q": "narrator"}},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"source": {"type": "local", "path": "x"}, **table}, Dataset)


RECORDS = [row[1] for row in (*SHAPES, *CONTAINERS)]


@examples(400)
@given(st.data())
def test_a_spoiled_record_is_read_or_refused(data):
    record = spoiled(data.draw(st.sampled_from(RECORDS)), data.draw)
    with suppress(ValueError):
        row = to_chat_row(json.dumps(record).encode(), "auto")
        assert to_chat_row(row.line, "auto").line == row.line


def test_raw_text_that_is_read_as_an_answer_is_counted(tmp_path):
    (tmp_path / "d.jsonl").write_text(json.dumps({"text": "Prose."}) + "\n" + json.dumps({"messages": HI}) + "\n")
    for form, notes in (("chat", ('1 row has no question: for raw text, set form = "text"',)), ("text", ())):
        out = tmp_path / form
        out.mkdir()
        spec = Dataset(source=Local(path="d.jsonl"), form=form, unreadable="drop", split=Split(valid=0.0, group_by=()))
        stats = build_dataset("d", spec, tmp_path, out)
        assert tuple(note for note in stats.notes if "question" in note) == notes
