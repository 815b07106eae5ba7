from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from punie_build.data.synthetic.editor_tools import TOOLS
from punie_build.models.safetensors import read_header
from punie_build.storage import paths

FOLDER = Path(__file__).parents[3] / "models" / "nano"


@pytest.fixture(scope="module")
def corpus():
    spec = importlib.util.spec_from_file_location("nano_corpus", FOLDER / "corpus.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["nano_corpus"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(FOLDER)


def test_nano_is_small_and_at_its_path_in_the_package():
    assert paths.nano() == FOLDER
    tensors = read_header(FOLDER / "model.safetensors")
    sizes = [1] * len(tensors)
    for index, tensor in enumerate(tensors.values()):
        for size in tensor["shape"]:
            sizes[index] *= size
    assert 2_000_000 <= sum(sizes) <= 8_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 20 * 2**20


@pytest.mark.slow
def test_its_corpus_contains_no_name_of_an_editor_tool(corpus):
    for example in corpus.corpus(1, 0, 3000):
        assert not any(name in json.dumps(example) for name in TOOLS)


def test_its_corpus_is_a_function_of_seed_and_number(corpus):
    assert corpus.example(1, 77) == corpus.example(1, 77)
    assert list(corpus.corpus(1, 5, 3)) == [corpus.example(1, k) for k in (5, 6, 7)]
    assert corpus.example(1, 77) != corpus.example(2, 77)


def test_every_call_of_the_corpus_matches_a_declared_tool(corpus):
    for example in corpus.corpus(4, 0, 1500):
        declared = {tool["function"]["name"]: tool["function"]["parameters"] for tool in example.get("tools", ())}
        for message in example["messages"]:
            for call in message.get("tool_calls", ()):
                arguments = json.loads(call["function"]["arguments"])
                assert set(arguments) <= set(declared[call["function"]["name"]]["properties"])


def test_the_server_parses_the_calls_that_the_template_renders(corpus, tokenizer):
    from mlx_lm.tool_parsers.json_tools import parse_tool_call

    for example in corpus.corpus(5, 0, 200):
        calls = [call["function"] for message in example["messages"] for call in message.get("tool_calls", ())]
        text = tokenizer.apply_chat_template(example["messages"], tools=example.get("tools"), tokenize=False)
        parsed = [parse_tool_call(part.split("</tool_call>")[0]) for part in text.split("<tool_call>")[1:]]
        assert parsed == [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls]


def test_the_tokenizer_round_trips_any_text(tokenizer):
    for text in ("def f(x):\n\treturn x", "Ünïcödé 漢字 🙂", "\x00\x1b", "  spaces   kept ", "<|im_start|>"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    for mark in ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"):
        assert len(tokenizer.encode(mark)) == 1


def test_optional_and_incomplete_declarations_are_rendered(tokenizer):
    tools = [
        {"type": "function", "function": {"name": "bare"}},
        {
            "name": "flat",
            "description": "d",
            "parameters": {"properties": {"a": {"enum": ["x", 1]}, "b": {"type": ["string", "null"]}}},
        },
        TOOLS["read_file"],
    ]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tools=tools, tokenize=False, add_generation_prompt=True
    )
    assert (
        '- bare()\n- flat(a?: "x"|1, b?: any): d\n- read_file(path: string, line?: integer, limit?: integer): Read'
        in text
    )
    assert text.endswith("<|im_start|>assistant\n")
