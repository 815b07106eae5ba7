"""Chat rows: the conversation, the message and the tool call, as every stage reads them from a line of JSONL.

The format is OpenAI chat, as mlx-lm reads it: `messages` with the roles system, user, assistant and tool,
`tool_calls` on assistant messages, and `tools` beside the messages. A `Row` keeps the bytes of its line, and stages
write those bytes on, so keys that no stage reads survive every stage.
"""

from __future__ import annotations

import hashlib
import re
from codecs import utf_8_decode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct, field

from punie_build.data.depth import TOO_DEEP, is_nested_deeply

Role = Literal["system", "user", "assistant", "tool"]
SPLITS = ("train", "valid", "test")
NULL = msgspec.Raw(b"null")
_find_call = re.compile(rb"\s*\[\s*\{").match
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
NEAR_BYTES = 20  # of a line that a message quotes


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
    is_trained: ClassVar = True


class _CommonMessage(Struct, frozen=True, gc=False):
    """The keys that most messages of rows have. Calls stay JSON until they are read: they are long."""

    role: Role
    content: str | None = None
    tool_calls_json: msgspec.Raw = field(default=NULL, name="tool_calls")
    tool_call_id: str | None = None

    @property
    def has_calls(self) -> bool:
        """Whether `tool_calls` is not empty, without decoding it."""
        return self.tool_calls_json is not NULL and _find_call(self.tool_calls_json) is not None

    @property
    def tool_calls(self) -> tuple[ToolCallEntry, ...] | None:
        """Decode the calls of this message. Raises msgspec.ValidationError if they have another shape."""
        return None if self.tool_calls_json is NULL else _decode_tool_calls(self.tool_calls_json)


class RowMessage(_CommonMessage, frozen=True, gc=False):
    """A message of a row."""

    name: str | None = None
    reasoning_content: str | None = None
    weight_json: msgspec.Raw = field(default=NULL, name="weight")

    @property
    def is_trained(self) -> bool:
        """Whether the message is to be learned: `weight` 0 marks those that are not."""
        return self.weight_json is NULL or msgspec.json.decode(self.weight_json) != 0


class _PlainMessage(_CommonMessage, frozen=True, gc=False, forbid_unknown_fields=True):
    """A message of a row that has none of the rare keys."""

    name: ClassVar[None] = None
    reasoning_content: ClassVar[None] = None
    is_trained: ClassVar = True


class Example(Struct, frozen=True, gc=False):
    """A conversation of at least one message. Its tools stay JSON until they are read, like its calls.

    The form of the row is chat, text (no chat template), or preference (with a rejected answer, or a label).
    `answer_messages` is explained in `answer_pair`.
    """

    messages: tuple[RowMessage, ...]
    category: str | None = None
    tools_json: msgspec.Raw = field(default=NULL, name="tools")
    form_json: msgspec.Raw = field(default=NULL, name="form")
    rejected_json: msgspec.Raw = field(default=NULL, name="rejected")
    label_json: msgspec.Raw = field(default=NULL, name="label")
    answer_messages: int | None = None

    @property
    def form(self) -> str:
        """Return `text`, `preference` or `chat`."""
        form = bytes(self.form_json)
        return form[1:-1].decode() if form in (b'"text"', b'"preference"') else "chat"

    @property
    def rejected(self) -> tuple[RowMessage, ...]:
        """Decode the rejected answer. Raises msgspec.ValidationError if it has another shape."""
        return _decode_messages(self.rejected_json) if bytes(self.rejected_json)[:1] == b"[" else ()

    @property
    def tools(self) -> tuple[dict[str, Any], ...] | None:
        """Decode the declarations of the tools. Raises msgspec.ValidationError if they have another shape."""
        return None if self.tools_json is NULL else _decode_tools(self.tools_json)

    def texts(self, *roles: Role) -> Iterator[str]:
        """Yield the content of the messages with these roles, in order, without empty ones."""
        return (message.content for message in self.messages if message.content and message.role in roles)

    def has_question(self) -> bool:
        """Whether a message has another role than the assistant; raw text has none."""
        return any(message.role in ("user", "tool") for message in self.messages)

    def calls(self) -> Iterator[Function]:
        """Yield every tool call of the conversation, in order."""
        return _calls(self.messages)

    def argument_texts(self) -> Iterator[str]:
        """Yield the strings in the arguments of the calls that are JSON, without its escapes."""
        for call in self.calls():
            with suppress(msgspec.DecodeError, RecursionError):
                yield from json_strings(
                    msgspec.json.decode(call.arguments) if isinstance(call.arguments, str) else call.arguments
                )

    def reasoning(self) -> Iterator[str]:
        """Yield the reasoning of the messages, in order, without empty ones."""
        return (message.reasoning_content for message in self.messages if message.reasoning_content)

    def structured_texts(self, *roles: Role) -> Iterator[str]:
        """Yield the parts that templates render beside the contents: reasoning, calls, declared tools.

        Reasoning, calls and a rejected answer belong to the role assistant, declarations to the role system.
        """
        if "assistant" in roles:
            yield from self.reasoning()
            yield from self._call_texts()
            yield from self._rejected_texts()
        if "system" in roles and self.tools:
            yield from json_strings(self.tools)

    def visible_texts(self) -> Iterator[str]:
        """Yield every text that a chat template renders: contents, reasoning, calls, results, tool declarations."""
        yield from self.texts("system", "user", "assistant", "tool")
        yield from self.structured_texts("system", "assistant")

    def text(self) -> str:
        """Return the text for comparing examples, a line each: all content but the system prompt, reasoning, calls.

        System prompts and tool declarations are the same in most rows of a dataset: with them, short rows would all be
        near duplicates.
        """
        return "\n".join([*self.texts("user", "assistant", "tool"), *self.structured_texts("assistant")])

    def full_text(self) -> str:
        """Return every text that a chat template renders, a line each, and the marks of turns that are not learned.

        Two examples that differ in one of them differ here.
        """
        return "\n".join([*self.visible_texts(), *([f"marks {marks}"] if (marks := self._marks()) else [])])

    def _call_texts(self) -> Iterator[str]:
        return (f"{call.name} {call.arguments}" for call in self.calls())

    def _rejected_texts(self) -> Iterator[str]:
        for message in self.rejected:
            yield from (text for text in (message.content, message.reasoning_content) if text)
        yield from (f"{call.name} {call.arguments}" for call in _calls(self.rejected))

    def _marks(self) -> str:
        """Return, as JSON, the turns that are not to be learned, the rejected answer and its label; "" without any."""
        marks = [
            [number for number, message in enumerate(self.messages) if not message.is_trained],
            [(m.role, m.content, [call.function for call in m.tool_calls or ()]) for m in self.rejected],
            bytes(self.label_json).decode() if self.form == "preference" else "",
        ]
        return msgspec.json.encode(marks).decode() if any(marks) else ""

    def content_hash(self) -> str:
        """Return the conversation's hash and, after `-`, that of marks: turns that are not learned, a rejected answer.

        Two examples with equal hashes teach the same.
        """
        marks = self._marks()
        return self.conversation_hash() + (f"-{hashlib.sha256(marks.encode()).hexdigest()[:16]}" if marks else "")

    def conversation_hash(self) -> str:
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
        """Return the first user text, or else the conversation's hash. Examples with equal keys are in one split."""
        return next(self.texts("user"), "") or self.conversation_hash()


class PlainExample(Example, frozen=True, gc=False):
    """An example whose messages have no rare keys: no reasoning, no name, no weight. It is decoded faster.

    Its messages are a list, which msgspec does not copy into a tuple.
    """

    messages: list[_PlainMessage]  # type: ignore[assignment]


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
decode_plain_example = msgspec.json.Decoder(PlainExample).decode  # the same; ValidationError for a rare key
_decode_messages = msgspec.json.Decoder(tuple[RowMessage, ...]).decode
_decode_tool_calls = msgspec.json.Decoder(tuple[ToolCallEntry, ...] | None).decode
_decode_tools = msgspec.json.Decoder(tuple[dict[str, Any], ...] | None).decode


def is_ascii(json: msgspec.Raw) -> bool:
    """Whether JSON has neither letters outside of ASCII nor escapes of them."""
    text = utf_8_decode(json)[0]  # faster than bytes, which Python looks up as an index first
    return text.isascii() and ("\\" not in text or "\\u" not in text)  # the first is much faster than the second


def _calls(messages: tuple[RowMessage, ...]) -> Iterator[Function]:
    return (call.function for message in messages for call in message.tool_calls or ())


def json_strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, with the keys of objects, at any depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            for key, inner in reversed(item.items()):
                stack += (inner, key)
        elif isinstance(item, list | tuple):
            stack.extend(reversed(item))


def parse(line: bytes) -> Row:
    """Parse one line of JSONL. Raises ValueError with the reason and a fix."""
    if not line.strip(b" \t\r\n\0"):
        raise ValueError(
            "zero bytes: the file is damaged - copy it again" if b"\0" in line else "empty line - delete it"
        )
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start} - save the file as UTF-8") from None
    if is_nested_deeply(line):
        raise ValueError(TOO_DEEP)
    path = ""
    try:
        example, path = decode_example(line), "tools"
        _ = example.tools
        for number, message in enumerate(example.messages):
            path = f"messages[{number}].tool_calls"
            _ = message.tool_calls
        path = "rejected"
        _ = [message.tool_calls for message in example.rejected]
    except msgspec.ValidationError as error:
        raise ValueError(_explain(str(error), path)) from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {_near(line, str(error))}") from None
    if not example.messages:
        raise ValueError("no messages - a conversation needs at least one")
    return Row(line, example)


def _near(line: bytes, problem: str) -> str:
    """Return a problem that msgspec finds at a byte, with the text there and advice."""
    problem, _, number = problem.removeprefix("JSON is malformed: ").partition(" (byte ")
    start = int(digits) if (digits := number.rstrip(")")).isdecimal() else len(line)
    start -= problem.startswith("trailing")  # msgspec names the byte after
    text = line[start : start + NEAR_BYTES].decode("utf-8", "replace")
    if line[start:].startswith(b"I") and line[:start].endswith(b"-"):
        text = f"-{text}"
    if name := next((name for name in ("NaN", "-Infinity", "Infinity") if text.startswith(name)), ""):
        return f"{name} is no number of JSON - write null"
    is_surrogate = "surrogate" in problem or "hex escape" in problem
    if is_surrogate and (escape := _SURROGATE.search(line, max(start - 12, 0))):
        return f"{escape[0].decode()} is half of a character - remove it"
    if b"\r" in line.strip():
        return "its records end with carriage returns - save the file with line feeds"
    return f"{problem} at byte {start}{f', near {text}' if text else ''} - write one JSON object per line"


def _explain(problem: str, path: str) -> str:
    """Reword a message of msgspec for the user. `path` is the JSON path of the decoded part."""
    if "missing required field `messages`" in problem:
        return "lacks 'messages' - each line is {\"messages\": [...]}"
    if "role" in problem and "enum value" in problem:
        return f"wrong role: {problem} - use system, user, assistant or tool"
    reason, _, rest = problem.replace("`", "'").partition(" - at '$")
    location = (path + rest.rstrip("'")).lstrip(".") or "line"
    return f"{location}: {reason[:1].lower()}{reason[1:]} - `punie-build docs recipes chat` shows a line"
