"""Chat rows: the conversation, the message and the tool call, as every stage reads them from a line of JSONL.

The format is OpenAI chat, as mlx-lm reads it: `messages` with the roles system, user, assistant and tool,
`tool_calls` on assistant messages, and `tools` beside the messages. A `Row` keeps the bytes of its line, and stages
write those bytes on, so keys that no stage reads survive every stage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct, field

Role = Literal["system", "user", "assistant", "tool"]
SPLITS = ("train", "valid", "test")
_NULL = msgspec.Raw(b"null")


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A tool call with decoded arguments, as read from a completion or from the text of a message.

    `turn` counts the assistant's turns from 0: calls with the same turn are parallel.
    """

    name: str
    arguments: dict[str, Any]
    turn: int = 0


class Function(Struct, frozen=True, gc=False):
    """The `function` of a call in a row: `arguments` are JSON text (OpenAI) or an object (as chat templates expect)."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class ToolCallEntry(Struct, frozen=True, gc=False):
    """An item of a message's `tool_calls`, as OpenAI chat writes it."""

    function: Function
    id: str | None = None


class Message(Struct, frozen=True, gc=False):
    """A chat message. In a tool's message, `tool_call_id` is the id of the call that it answers."""

    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCallEntry, ...] | None = None
    tool_call_id: str | None = None
    name: ClassVar[None] = None  # only messages of rows have a name and reasoning
    reasoning_content: ClassVar[None] = None


class RowMessage(Struct, frozen=True, gc=False):
    """A message of a row. Its calls stay JSON until they are read: they are long, and few stages read them."""

    role: Role
    content: str | None = None
    tool_calls_json: msgspec.Raw = field(default=_NULL, name="tool_calls")
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None

    @property
    def tool_calls(self) -> tuple[ToolCallEntry, ...] | None:
        """Decode the calls of this message. Raises msgspec.ValidationError if they have another shape."""
        return None if self.tool_calls_json is _NULL else _decode_tool_calls(self.tool_calls_json)


class Example(Struct, frozen=True, gc=False):
    """A conversation of at least one message. Its tools stay JSON until they are read, like its calls."""

    messages: tuple[RowMessage, ...]
    category: str | None = None
    tools_json: msgspec.Raw = field(default=_NULL, name="tools")

    @property
    def tools(self) -> tuple[dict[str, Any], ...] | None:
        """Decode the declarations of the tools. Raises msgspec.ValidationError if they have another shape."""
        return None if self.tools_json is _NULL else _decode_tools(self.tools_json)

    def texts(self, *roles: Role) -> Iterator[str]:
        """Yield the content of the messages with these roles, in order, without empty ones."""
        return (message.content for message in self.messages if message.content and message.role in roles)

    def has_question(self) -> bool:
        """Whether a message has another role than the assistant; raw text has none."""
        return any(message.role in ("user", "tool") for message in self.messages)

    def calls(self) -> Iterator[Function]:
        """Yield every tool call of the conversation, in order."""
        return (call.function for message in self.messages for call in message.tool_calls or ())

    def reasoning(self) -> Iterator[str]:
        """Yield the reasoning of the messages, in order, without empty ones."""
        return (message.reasoning_content for message in self.messages if message.reasoning_content)

    def structured_texts(self, *roles: Role) -> Iterator[str]:
        """Yield the parts that templates render beside the contents: reasoning, calls, declared tools.

        Reasoning and calls belong to the role assistant, declarations to the role system.
        """
        if "assistant" in roles:
            yield from self.reasoning()
            yield from self._call_texts()
        if "system" in roles and self.tools:
            yield from _strings(self.tools)

    def is_plain_structure(self) -> bool:
        """Whether calls, tools and reasoning are ASCII without escapes: a test of their bytes, without decoding."""
        tools = bytes(self.tools_json)
        if not tools.isascii() or b"\\u" in tools:
            return False
        for message in self.messages:
            if (reasoning := message.reasoning_content) and not reasoning.isascii():
                return False
            if (calls_json := getattr(message, "tool_calls_json", None)) is None:
                return False
            if calls_json is not _NULL and (not (calls := bytes(calls_json)).isascii() or b"\\u" in calls):
                return False
        return True

    def visible_texts(self) -> Iterator[str]:
        """Yield every text that a chat template renders: contents, reasoning, calls, results, tool declarations."""
        yield from self.texts("system", "user", "assistant", "tool")
        yield from self.structured_texts("system", "assistant")

    def text(self) -> str:
        """Return the text for comparing examples, a line each: all content but the system prompt, reasoning, calls.

        System prompts and tool declarations are the same in most rows of a dataset: with them, short rows would all be
        near duplicates.
        """
        return "\n".join([*self.texts("user", "assistant", "tool"), *self.reasoning(), *self._call_texts()])

    def full_text(self) -> str:
        """Return every text that a chat template renders, a line each: two examples that differ in one differ here."""
        return "\n".join(self.visible_texts())

    def _call_texts(self) -> Iterator[str]:
        return (f"{call.name} {call.arguments}" for call in self.calls())

    def content_hash(self) -> str:
        """Return a digest of messages, calls and tools. JSON formatting and ids of calls do not change it."""
        messages = [
            (
                *(m.role, m.content or "", [call.function for call in m.tool_calls or ()]),
                *((m.name, m.reasoning_content) if m.name or m.reasoning_content else ()),
            )
            for m in self.messages
        ]
        return hashlib.sha256(msgspec.json.encode([messages, self.tools], order="deterministic")).hexdigest()

    def group_key(self) -> str:
        """Return the first user text, or the content hash without one. Examples with equal keys belong to one split."""
        return next(self.texts("user"), "") or self.content_hash()


class Row(Struct, frozen=True):
    """A line as it was read, without its line end, and its decoded conversation.

    `unknown_keys` names the keys of the record that have no effect (see `dialects.keys`); only the reader fills it in.
    """

    line: bytes
    example: Example
    unknown_keys: tuple[str, ...] = ()

    def content_hash(self) -> str:
        """Return the content hash of the example."""
        return self.example.content_hash()

    def group_key(self) -> str:
        """Return the group key of the example."""
        return self.example.group_key()


decode_example = msgspec.json.Decoder(Example).decode  # for lines that `parse` has accepted
_decode_tool_calls = msgspec.json.Decoder(tuple[ToolCallEntry, ...] | None).decode
_decode_tools = msgspec.json.Decoder(tuple[dict[str, Any], ...] | None).decode


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, with the keys of objects, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def parse(line: bytes) -> Row:
    """Parse one line of JSONL. Raises ValueError with the reason and a fix."""
    if not line.strip():
        raise ValueError("empty line - delete it")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start} - save the file as UTF-8") from None
    path = ""
    try:
        example, path = decode_example(line), "tools"
        _ = example.tools
        for number, message in enumerate(example.messages):
            path = f"messages[{number}].tool_calls"
            _ = message.tool_calls
    except msgspec.ValidationError as error:
        raise ValueError(_explain(str(error), path)) from None
    except RecursionError:
        raise ValueError("nested too deeply - each line must be one conversation") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error} - write one JSON object per line") from None
    if not example.messages:
        raise ValueError("no messages - a conversation needs at least one")
    return Row(line, example)


def _explain(problem: str, path: str) -> str:
    """Reword a message of msgspec for the user. `path` is the JSON path of the decoded part."""
    if "missing required field `messages`" in problem:
        return "lacks 'messages' - each line is {\"messages\": [...]}"
    if "role" in problem and "enum value" in problem:
        return f"wrong role: {problem} - use system, user, assistant or tool"
    reason, _, rest = problem.replace("`", "'").partition(" - at '$")
    location = (path + rest.rstrip("'")).lstrip(".") or "line"
    return f"{location}: {reason[:1].lower()}{reason[1:]} - docs/recipes.md shows a line"
