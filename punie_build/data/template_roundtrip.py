"""Round trip of calls: a base's chat template formats the calls of a dataset, and the server's parser parses them.

    python -m punie_build.data.template_roundtrip BASE FOLDER OUT.json

It runs in a process of its own, because mlx-lm's tokenizers import mlx. Every turn with calls is rendered by the
template of the base, and the result is parsed by the parser that `mlx_lm.server` uses for this base, or by our own
where it has none, as evals do. A call that is parsed differently would be trained in one format and evaluated in
another.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.data import jsonl
from punie_build.data.call_formats import CallReader, call_reader
from punie_build.data.chat_template import template_arguments, text_tokens
from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.errors import ModelError
from punie_build.models.dropped_parts import DroppedParts
from punie_build.models.encoded_text import encode
from punie_build.models.rendered_row import RenderedRow
from punie_build.models.served_template import ChatTemplate
from punie_build.models.thoughts import without_thoughts
from punie_build.models.tokenizer import load_tokenizer

MAX_LOCATIONS = 3
TEMPLATE_REJECTS = "the base's chat template rejects them"
NO_CALL_FORMAT = "calls that the base's chat template does not write"
SERVER = "calls that the server "  # begins every problem of parsing
READER = "calls that evals "  # begins the problems where the server has no parser

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
    """Counts of rows, of assistant turns with calls, and of those that the server parses unchanged; the problems.

    `notes` counts what the chat template leaves to us, `dropped_parts` has the locations of the parts it drops.
    """

    def __init__(self, template: ChatTemplate) -> None:
        self.template, self.tokenizer, self.parts = template, template.tokenizer, DroppedParts(template)
        self.problems: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}
        self.dropped_parts: dict[str, list[str]] = {}
        self.rows = self.calling_turns = self.parsed_turns = 0
        self.tokens: list[int] = []

    def add(self, problem: str, location: str) -> None:
        """Record a problem of the row at a location."""
        self.problems.setdefault(problem, []).append(location)

    def report(self) -> RoundTripReport:
        """Return the counts as they are written to the file."""
        dropped = {f"{part} dropped by the chat template": rows for part, rows in self.dropped_parts.items()}
        problems = {
            problem: RoundTripProblem(len(places), places[:MAX_LOCATIONS])
            for problem, places in (self.problems | dropped).items()
        }
        return RoundTripReport(self.rows, problems, sorted(self.tokens))

    def check_row(self, example: Example, location: str, has_markup: bool = False) -> None:
        """Count a row. `has_markup`: whether the text of its assistant messages may contain calls."""
        messages, tools = template_arguments(example)
        self.rows += 1
        if example.form == "text":
            self.tokens.append(len(text_tokens(self.tokenizer, example.messages[0].content or "")))
            return
        try:
            row = self.template.render(messages, tools)
        except Exception as error:  # templates are code: they can raise any error
            self.add(f"{TEMPLATE_REJECTS} ({(str(error).splitlines() or [''])[0][:80]})", location)
            return
        self.tokens.append(max(len(encode(self.tokenizer, text).ids) for text in row.texts))
        for places, counts in ((self.notes, row.notes), (self.dropped_parts, self.parts.of(messages, tools))):
            for name in counts:
                places.setdefault(name, []).append(location)
        turns_with_calls = sum(bool(message.get("tool_calls")) for message in messages)
        self.calling_turns += turns_with_calls
        self._parse_turns(row, messages, tools, location)
        if has_markup:
            self._check_markup(messages, tools, location)

    @cached_property
    def reader(self) -> CallReader:
        """The reader of the calls of the base."""
        template = getattr(self.tokenizer, "chat_template", None)
        return call_reader(
            template if isinstance(template, str) else "",
            self.tokenizer.get_vocab(),
            served=self.tokenizer.has_tool_calling,
        )

    @cached_property
    def writes_calls(self) -> bool:
        """Whether the chat template writes a call."""
        call = {"id": "call00000", "type": "function", "function": {"name": "look_up", "arguments": {"path": "a"}}}
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
        try:
            return any("look_up" in text.text for text in self.template.render(messages).texts)
        except Exception:  # templates are code: they can raise any error
            return False

    def parse(self, turn: str, tools: Any) -> list[Call]:
        """Return the calls that the server reads in a turn, or evals where it has no parser. Raises any error."""
        if self.reader.served:
            return parse_calls(self.tokenizer, turn, tools)
        read = self.reader.read(turn, tools)
        if read.malformed:
            raise ValueError("malformed")
        return [(call.name, call.arguments) for call in read.calls]

    def _parse_turns(self, row: RenderedRow, messages: list[dict[str, Any]], tools: Any, location: str) -> None:
        """Count the turns with calls that are parsed unchanged."""
        who = SERVER if self.reader.served else READER
        for text, turn in row.turns():
            if not (calls := calls_of(messages[turn.message])):
                continue
            generated = text.generated(turn)
            if not any(name in generated for name, _ in calls):
                self.add(NO_CALL_FORMAT, location)
                return
            try:
                same = self.parse(without_thoughts(generated), tools) == calls
            except Exception as error:  # parsers can raise any error
                self.add(f"{who}cannot parse ({type(error).__name__})", location)
                return
            if not same:
                self.add(f"{who}parse{'s' * self.reader.served} differently", location)
                return
            self.parsed_turns += 1

    def _check_markup(self, messages: list[dict[str, Any]], tools: Any, location: str) -> None:
        """Count the assistant messages that have calls as markup in their text."""
        for message in messages:
            if message["role"] == "assistant" and MARKUP.search(message.get("content") or ""):
                self.calling_turns += 1
                try:
                    parsed = self.parse(message["content"], tools)
                except Exception:  # parsers can raise any error
                    parsed = []
                if parsed:
                    self.parsed_turns += 1
                else:
                    self.add(
                        f"{SERVER if self.reader.served else READER}treat{'s' * self.reader.served} as text", location
                    )


def parse_calls(tokenizer: Any, turn: str, tools: Any) -> list[Call]:
    """Parse the calls in a turn, without its end mark, as the server does. Raises any error of the parser."""
    start, end = re.escape(tokenizer.tool_call_start), re.escape(tokenizer.tool_call_end or "")
    calls = []
    for text in re.findall(f"{start}(.*?){end or chr(92) + 'Z'}", turn, re.DOTALL):
        parsed = tokenizer.tool_parser(text, tools)
        items = parsed if isinstance(parsed, list) else [parsed]
        calls += [(call["name"], call["arguments"]) for call in items]
    return calls


def calls_of(message: Mapping[str, Any]) -> list[Call]:
    """Return the calls of a message for a chat template."""
    return [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]


def main(base: str, folder: Path, out: Path) -> None:
    """Check all rows of a folder, whose lines begin with a word and a space, and write the report to `out`."""
    try:
        counts = RoundTripCounts(ChatTemplate(load_tokenizer(Path(base))))
    except ModelError as error:
        raise SystemExit(f"punie: {error}") from None
    for split in SPLITS:
        number = 0
        for lines in jsonl.read_blocks(folder / f"{split}.jsonl"):
            for line in lines:
                number += 1
                counts.check_row(decode_example(line.partition(b" ")[2]), f"{split}:{number}")
    out.write_bytes(msgspec.json.encode(counts.report()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
