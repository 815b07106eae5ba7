"""Rows as a base reads them, with the borders of prompts and of what is trained."""

from __future__ import annotations

import json
import re

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


def test_colors_mark_the_parts_of_a_row_on_a_terminal():
    """Without the colors the text is the same."""
    view = RenderedView(paths.nano())
    example = decode_example(json.dumps({"messages": [
        {"role": "user", "content": "Hi [[x]]"}, {"role": "assistant", "content": "Hello."}
    ]}).encode())  # fmt: skip
    marked = [view.legend, *view.lines(example)]
    view.colored = True
    colored = [view.legend, *view.lines(example)]
    assert colored[0] == "\x1b[2mprompt\x1b[0m \x1b[32mtrained\x1b[0m \x1b[7mend mark\x1b[0m"
    assert marked[0] == "prompt [[trained]] <<end mark>>"
    assert "\x1b[32mHello.\x1b[0m\x1b[7m<|im_end|>\x1b[0m" in colored[1]
    bare = re.sub(r"\x1b\[\d+m", "", colored[1])
    assert bare == marked[1].replace("[[Hello.]]", "Hello.").replace("<<<|im_end|>>>", "<|im_end|>")


def test_what_the_template_drops_is_a_note():
    lines = shown({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a", "reasoning_content": "b"})
    assert lines[-1] == "note: 1 thought dropped by the chat template"


def test_raw_text_is_trained_whole():
    assert shown({"role": "assistant", "content": "Rivers."}, form="text") == ["[[Rivers.]]"]


def test_a_turn_of_weight_0_is_not_shown_as_trained():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "WRONG", "weight": 0}]
    text, note = shown(*turns, {"role": "user", "content": "again"}, {"role": "assistant", "content": "right"})
    assert "[[right]]" in text
    assert "[[WRONG" not in text
    assert "WRONG<|im_end|>" in text
    assert note == "note: 1 turn of weight 0, not trained"
