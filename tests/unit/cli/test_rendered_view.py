"""Rows as a base reads them, with the borders of prompts and of what is trained."""

from __future__ import annotations

import json

from punie_build.cli.rendered_view import RenderedView
from punie_build.data.example import decode_example
from punie_build.storage import paths


def shown(*messages: dict, **more: str) -> list[str]:
    return list(RenderedView(paths.nano()).lines(decode_example(json.dumps({"messages": messages, **more}).encode())))


def test_trained_text_and_end_marks_are_marked():
    question, answer = {"role": "user", "content": "Hi \x1b[31m"}, {"role": "assistant", "content": "Hello."}
    [text] = shown(question, answer)
    assert "<|im_start|>assistant\n[[Hello.]]<<<|im_end|>>>" in text
    assert "\x1b" not in text
    assert "Hi \\x1b[31m" in text


def test_what_the_template_drops_is_a_note():
    lines = shown({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a", "reasoning_content": "b"})
    assert lines[-1] == "note: 1 thought dropped by the chat template"


def test_raw_text_is_trained_whole():
    assert shown({"role": "assistant", "content": "Rivers."}, form="text") == ["[[Rivers.]]"]
