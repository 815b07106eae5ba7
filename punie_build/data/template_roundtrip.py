"""Round trip: are the calls of a dataset what a server would read, once a base's chat template has written them down?

    python -m punie_build.data.template_roundtrip BASE FOLDER OUT.json

A process of its own, because mlx-lm's tokenizers import mlx. Every turn with calls is rendered by the base's own template, and
what the template wrote is read back by the parser that `mlx_lm.server` uses for this base. What does not come back the same
would be learnt in one form and asked for in another.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie_build.data import chat_template, jsonl
from punie_build.data.example import SPLITS, Example, decode_example

SHOWN = 3
FORMLESS = "calls, which the base's chat template has no form for"
UNREAD = "calls that the server "


MARKUP = re.compile(r"<tool_call>|<function=|<functioncall>|```json")


class Counts:
    """What is odd, by kind: how often, and where first. Of all turns with `calls`, the server would read so many as they are (`read`)."""

    def __init__(self) -> None:
        self.odd: dict[str, list[str]] = {}
        self.rows = self.calls = self.read = 0
        self.tokens: list[int] = []

    def add(self, kind: str, place: str) -> None:
        self.odd.setdefault(kind, []).append(place)

    def told(self) -> dict[str, Any]:
        odd = {kind: {"count": len(places), "places": places[:SHOWN]} for kind, places in self.odd.items()}
        return {"rows": self.rows, "odd": odd, "tokens": sorted(self.tokens)}


def calls(tokenizer: Any, turn: str, tools: Any) -> list[tuple[str, Any]]:
    """(name, arguments) of every call in a turn, as the server reads it. Raises ValueError where it could not."""
    start, end = re.escape(tokenizer.tool_call_start), re.escape(tokenizer.tool_call_end or "")
    found = []
    for text in re.findall(f"{start}(.*?){end or chr(92) + 'Z'}", turn, re.DOTALL):
        parsed = tokenizer.tool_parser(text, tools)
        some = parsed if isinstance(parsed, list) else [parsed]
        found += [(call["name"], call["arguments"]) for call in some]
    return found


def turns(render: Any, messages: list[dict[str, Any]], tools: Any) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """(what the template writes for it, the calls it should hold) of every assistant turn with calls."""
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and message.get("tool_calls"):
            before = render(messages[:index], tools, True)
            after = render(messages[: index + 1], tools, False)
            if not after.startswith(before):
                raise ValueError("the template writes earlier turns otherwise later on")
            wanted = [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]]
            yield after[len(before) :], wanted


def look(tokenizer: Any, render: Any, example: Example, place: str, counts: Counts, written: bool = False) -> None:
    """Count a row. `written`: its calls may stand in what the assistant says, as text."""
    messages, tools = chat_template.conversation(example)
    counts.rows += 1
    try:
        text = render(messages, tools, False)
    except Exception as error:  # a template can fail in any way
        counts.add(f"the base's chat template refuses them ({str(error).splitlines()[0][:80]})", place)
        return
    counts.tokens.append(len(tokenizer.encode(text, add_special_tokens=False)))
    calling = sum(bool(message.get("tool_calls")) for message in messages)
    counts.calls += calling
    if calling and not tokenizer.has_tool_calling:
        counts.add(FORMLESS, place)
        return
    try:
        for turn, wanted in turns(render, messages, tools):
            if calls(tokenizer, turn, tools) != wanted:
                counts.add(f"{UNREAD}would read otherwise than they are", place)
                break
            counts.read += 1
    except Exception as error:  # and so can a parser
        counts.add(f"{UNREAD}could not read back ({type(error).__name__})", place)
    if written:
        in_words(tokenizer, messages, tools, place, counts)


def in_words(tokenizer: Any, messages: list[dict[str, Any]], tools: Any, place: str, counts: Counts) -> None:
    """Count the turns whose words hold calls in some markup."""
    for message in messages:
        if message["role"] == "assistant" and MARKUP.search(message.get("content") or ""):
            counts.calls += 1
            try:
                read = tokenizer.has_tool_calling and calls(tokenizer, message["content"], tools)
            except Exception:  # a parser can fail in any way
                read = None
            if read:
                counts.read += 1
            else:
                counts.add(f"{UNREAD}would take for words", place)


def main(base: str, folder: Path, out: Path) -> None:
    from mlx_lm.tokenizer_utils import load

    tokenizer = load(Path(base))

    def render(messages: Any, tools: Any, prompt: bool) -> str:
        return str(tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=prompt))

    counts = Counts()
    for split in SPLITS:
        number = 0
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl"):
            for line in lines:
                number += 1
                look(tokenizer, render, decode_example(line.partition(b" ")[2]), f"{split}:{number}", counts)
    out.write_text(json.dumps(counts.told()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
