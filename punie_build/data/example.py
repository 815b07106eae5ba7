"""Example: one training conversation as every stage sees it.

The format is OpenAI chat, as mlx-lm reads it: `messages` with roles system, user, assistant and tool, `tool_calls` on
assistant messages, `tools` beside the messages. An example is a view: the line it came from is what gets written on,
byte for byte, so keys nobody here knows survive every stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

Role = Literal["system", "user", "assistant", "tool"]
SPLITS = ("train", "valid", "test")


class Function(Struct, frozen=True, gc=False):
    """What is called, with the arguments as JSON text (OpenAI) or as an object (what templates like)."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class ToolCall(Struct, frozen=True, gc=False):
    function: Function
    id: str | None = None


NONE = msgspec.Raw(b"null")


class Message(Struct, frozen=True, gc=False):
    """`tool_call_id`, in a tool's message, names the call it answers."""

    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None


class RowMessage(Struct, frozen=True, gc=False):
    """A message as rows have it: calls are long, and few ask for them, so they stay JSON until then."""

    role: Role
    content: str | None = None
    called: msgspec.Raw = field(default=NONE, name="tool_calls")
    tool_call_id: str | None = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...] | None:
        """The calls of this turn. Raises msgspec.ValidationError if they are none."""
        return None if self.called is NONE else _calls.decode(self.called)


class Example(Struct, frozen=True, gc=False):
    """A conversation: at least one message. What it declares of tools is long, and few ask for it: it stays JSON until then."""

    messages: tuple[RowMessage, ...]
    category: str | None = None
    declared: msgspec.Raw = field(default=NONE, name="tools")

    @property
    def tools(self) -> tuple[dict[str, Any], ...] | None:
        """The declarations the assistant could see. Raises msgspec.ValidationError if they are none."""
        return None if self.declared is NONE else _declarations.decode(self.declared)

    def said(self, *roles: Role) -> Iterator[str]:
        """The texts of the messages with these roles, in order, without empty ones."""
        return (message.content for message in self.messages if message.content and message.role in roles)

    def calls(self) -> Iterator[Function]:
        """Every tool call of the conversation, in order."""
        return (call.function for message in self.messages for call in message.tool_calls or ())

    def text(self) -> str:
        """All that is said and called, a line each: what makes two conversations alike."""
        return "\n".join(
            [*self.said("user", "assistant", "tool"), *(f"{call.name} {call.arguments}" for call in self.calls())]
        )

    def identity(self) -> str:
        """A name for what the example teaches: equal for equal messages, calls and tools, whatever the spelling of the JSON
        and the ids of the calls."""
        messages = [(m.role, m.content or "", [call.function for call in m.tool_calls or ()]) for m in self.messages]
        return hashlib.sha256(msgspec.json.encode([messages, self.tools], order="deterministic")).hexdigest()

    def question(self) -> str:
        """What groups examples that must stay on one side of a split: the first thing the user says."""
        return next(self.said("user"), "") or self.identity()


class Row(Struct, frozen=True):
    """A line as it was read, without its line end, and what it says."""

    line: bytes
    example: Example

    def identity(self) -> str:
        return self.example.identity()

    def question(self) -> str:
        return self.example.question()


view = msgspec.json.Decoder(Example).decode  # a line that is known to be good -> what it says
_calls: msgspec.json.Decoder[tuple[ToolCall, ...] | None] = msgspec.json.Decoder(tuple[ToolCall, ...] | None)
_declarations: msgspec.json.Decoder[tuple[dict[str, Any], ...] | None] = msgspec.json.Decoder(
    tuple[dict[str, Any], ...] | None
)


def parse(line: bytes) -> Row:
    """One JSONL line -> a row. Raises ValueError with a reason a person can act on."""
    if not line.strip():
        raise ValueError("empty line - delete it")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start} - save the file as UTF-8") from None
    place = ""
    try:
        example, place = view(line), "tools"
        _ = example.tools
        for number, message in enumerate(example.messages):
            place = f"messages[{number}].tool_calls"
            _ = message.tool_calls
    except msgspec.ValidationError as error:
        raise ValueError(_explain(str(error), place)) from None
    except RecursionError:
        raise ValueError("nested too deep - is this a conversation?") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error} - one JSON object a line") from None
    if not example.messages:
        raise ValueError("no messages - a conversation needs at least one")
    return Row(line, example)


def _explain(problem: str, place: str) -> str:
    """The reason for a person; `place` is where what was decoded stands in the line."""
    if "missing required field `messages`" in problem:
        return "lacks 'messages' - each line is {\"messages\": [...]}"
    if "role" in problem and "enum value" in problem:
        return f"wrong role: {problem} - use system, user, assistant or tool"
    what, _, where = problem.replace("`", "'").partition(" - at '$")
    where = (place + where.rstrip("'")).lstrip(".") or "line"
    return f"{where}: {what[:1].lower()}{what[1:]} - docs/recipes.md shows a line"
