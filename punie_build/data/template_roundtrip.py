"""Round trip of calls: a base's chat template formats the calls of a dataset, and the server's parser parses them.

    python -m punie_build.data.template_roundtrip BASE FOLDER OUT.json

It runs in a process of its own, because mlx-lm's tokenizers import mlx. Every turn with calls is rendered by the
template of the base, and the result is parsed by the parser that `mlx_lm.server` uses for this base. A call that is
parsed differently would be trained in one format and evaluated in another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.data import jsonl
from punie_build.data.chat_template import template_arguments, text_tokens
from punie_build.data.example import SPLITS, Example, decode_example

MAX_LOCATIONS = 3
TEMPLATE_REJECTS = "the base's chat template rejects them"
NO_CALL_FORMAT = "calls that the base's chat template cannot format"
SERVER = "calls that the server "  # begins every problem of parsing

MARKUP = re.compile(r"<tool_call>|<function=|<functioncall>|```json")
Call = tuple[str, Any]  # name and arguments


class RoundTripProblem(Struct, frozen=True):
    """How often a problem occurs, and its first locations, as `split:number`."""

    count: int
    places: list[str]


class RoundTripReport(Struct, frozen=True):
    """The content of OUT.json: the problems by their description, and the sorted numbers of tokens of the rows."""

    rows: int
    problems: dict[str, RoundTripProblem] = field(name="odd")
    tokens: list[int]


class RoundTripCounts:
    """Counts of rows, of assistant turns with calls, and of those that the server parses unchanged; the problems."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}
        self.rows = self.calling_turns = self.parsed_turns = 0
        self.tokens: list[int] = []

    def add(self, problem: str, location: str) -> None:
        """Record a problem of the row at a location."""
        self.problems.setdefault(problem, []).append(location)

    def report(self) -> RoundTripReport:
        """Return the counts as they are written to the file."""
        problems = {
            problem: RoundTripProblem(len(places), places[:MAX_LOCATIONS]) for problem, places in self.problems.items()
        }
        return RoundTripReport(self.rows, problems, sorted(self.tokens))


def parse_calls(tokenizer: Any, turn: str, tools: Any) -> list[Call]:
    """Parse the calls in a turn as the server does. Raises any error of the parser."""
    start, end = re.escape(tokenizer.tool_call_start), re.escape(tokenizer.tool_call_end or "")
    calls = []
    for text in re.findall(f"{start}(.*?){end or chr(92) + 'Z'}", turn, re.DOTALL):
        parsed = tokenizer.tool_parser(text, tools)
        items = parsed if isinstance(parsed, list) else [parsed]
        calls += [(call["name"], call["arguments"]) for call in items]
    return calls


def calling_turns(render: Any, messages: list[dict[str, Any]], tools: Any) -> Iterator[tuple[str, list[Call]]]:
    """Yield (rendered text, calls of the message) for every assistant turn with calls."""
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and message.get("tool_calls"):
            before = render(messages[:index], tools, True)
            after = render(messages[: index + 1], tools, False)
            if not after.startswith(before):
                raise ValueError("the template changes the text of earlier turns")
            calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]]
            yield after[len(before) :], calls


def check_row(
    tokenizer: Any, render: Any, example: Example, location: str, counts: RoundTripCounts, has_markup: bool = False
) -> None:
    """Count a row. `has_markup`: whether the text of its assistant messages may contain calls."""
    messages, tools = template_arguments(example)
    counts.rows += 1
    if example.form == "text":  # trained without the template
        counts.tokens.append(len(text_tokens(tokenizer, example.messages[0].content or "")))
        return
    try:
        text = render(messages, tools, False)
    except Exception as error:  # templates are code: they can raise any error
        counts.add(f"{TEMPLATE_REJECTS} ({str(error).splitlines()[0][:80]})", location)
        return
    counts.tokens.append(len(tokenizer.encode(text, add_special_tokens=False)))
    turns_with_calls = sum(bool(message.get("tool_calls")) for message in messages)
    counts.calling_turns += turns_with_calls
    if turns_with_calls and not tokenizer.has_tool_calling:
        counts.add(NO_CALL_FORMAT, location)
        return
    try:
        for turn, calls in calling_turns(render, messages, tools):
            if parse_calls(tokenizer, turn, tools) != calls:
                counts.add(f"{SERVER}parses differently", location)
                break
            counts.parsed_turns += 1
    except Exception as error:  # so can parsers
        counts.add(f"{SERVER}cannot parse ({type(error).__name__})", location)
    if has_markup:
        _check_markup(tokenizer, messages, tools, location, counts)


def _check_markup(
    tokenizer: Any, messages: list[dict[str, Any]], tools: Any, location: str, counts: RoundTripCounts
) -> None:
    """Count the assistant messages that have calls as markup in their text."""
    for message in messages:
        if message["role"] == "assistant" and MARKUP.search(message.get("content") or ""):
            counts.calling_turns += 1
            try:
                parsed = tokenizer.has_tool_calling and parse_calls(tokenizer, message["content"], tools)
            except Exception:  # parsers can raise any error
                parsed = None
            if parsed:
                counts.parsed_turns += 1
            else:
                counts.add(f"{SERVER}treats as text", location)


def main(base: str, folder: Path, out: Path) -> None:
    """Check all rows of a folder, whose lines begin with a word and a space, and write the report to `out`."""
    from mlx_lm.tokenizer_utils import load

    tokenizer = load(Path(base))

    def render(messages: Any, tools: Any, prompt: bool) -> str:
        return str(tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=prompt))

    counts = RoundTripCounts()
    for split in SPLITS:
        number = 0
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl"):
            for line in lines:
                number += 1
                example = decode_example(line.partition(b" ")[2])
                check_row(tokenizer, render, example, f"{split}:{number}", counts)
    out.write_bytes(msgspec.json.encode(counts.report()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
