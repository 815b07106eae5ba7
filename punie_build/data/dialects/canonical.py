"""Tests of whether a row is in canonical form already: of a line, quickly, and of a decoded record.

Both apply the same rules to the texts. `is_canonical_line` is the stricter one: a line that it accepts is a record
that `is_canonical` accepts, without a key that the table of `keys` refuses, renames or does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from punie_build.data.depth import is_nested_deeply
from punie_build.data.dialects.glaive import is_glaive_prompt
from punie_build.data.dialects.keys import METADATA, SYSTEM_KEYS, is_plain_message
from punie_build.data.tool_call_markup.tool_results import is_tool_result

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NON_CANONICAL_KEYS = {"conversation", "conversations", "functions", *SYSTEM_KEYS}
_NonEmpty = Annotated[str, Meta(min_length=1)]


class _CallFunction(Struct, gc=False, forbid_unknown_fields=True):
    name: _NonEmpty
    arguments: str


class _Call(Struct, gc=False, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _CallFunction


class _Declared(Struct, gc=False):
    name: str


class _Declaration(Struct, gc=False):
    type: Literal["function"]
    function: _Declared


class _Message(Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    weight: Literal[0, 1] | None = None


_Row: Any = msgspec.defstruct(
    "_Row",
    [
        ("messages", Annotated[list[_Message], Meta(min_length=1)]),
        ("tools", list[_Declaration] | None, None),
        ("category", str | None, None),
        *((key, Raw, Raw(b"null")) for key in METADATA if key != "category"),
    ],
    gc=False,
    forbid_unknown_fields=True,
)
_decode_row = msgspec.json.Decoder(_Row).decode


def is_canonical_line(line: bytes) -> bool:
    """Whether a line is a canonical row with known keys only. False may also mean that only the reader can decide."""
    try:
        line.decode()  # values of other keys are not decoded
        row = _decode_row(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    if row.tools and is_nested_deeply(line):  # nothing else of a row may be nested, but values that stay JSON
        return False
    for message in row.messages:
        role, content, calls = message.role, message.content, message.tool_calls
        if calls:
            if role == "assistant" and all(is_json_object(call.function.arguments) for call in calls):
                continue
            return False
        if content is None or not _is_canonical_text(role, content):
            return False
        if role == "tool" and message.tool_call_id is None:
            return False
        if message.weight == 1 and role != "assistant":
            return False
    return True


def is_canonical(record: dict[str, Any]) -> bool:
    """Whether a record needs no conversion. False may also mean that only a conversion can decide."""
    messages, tools = record.get("messages"), record.get("tools")
    return (
        isinstance(messages, list)
        and bool(messages)
        and not _NON_CANONICAL_KEYS & record.keys()
        and (tools is None or (isinstance(tools, list) and all(_is_declaration(tool) for tool in tools)))
        and all(_is_canonical_message(message) for message in messages)
    )


def _is_declaration(tool: Any) -> bool:
    return (
        isinstance(tool, dict)
        and tool.get("type") == "function"
        and isinstance(tool.get("function"), dict)
        and isinstance(tool["function"].get("name"), str)
    )


def _is_canonical_message(message: Any) -> bool:
    if not isinstance(message, dict) or not is_plain_message(message):
        return False
    content, role, calls = message.get("content"), message.get("role"), message.get("tool_calls")
    if calls:
        return role == "assistant" and isinstance(content, str | None) and _are_canonical_calls(calls)
    if not isinstance(content, str) or message.get("function_call") or not isinstance(calls, list | None):
        return False
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return False
    return role in ("system", "user", "assistant", "tool") and _is_canonical_text(role, content)


def _is_canonical_text(role: str, text: str) -> bool:
    """Whether a message without calls has no markup in its text that the reader parses."""
    if role == "assistant":
        return not _may_contain_call(text)
    if role == "user":
        return not is_tool_result(text)
    return role == "tool" or ("<tools>" not in text and not is_glaive_prompt(text))


def _may_contain_call(text: str) -> bool:
    has_fence = "```" in text and ("arguments" in text or "parameters" in text)
    return has_fence or "<tool_call>" in text or "<function" in text


def _are_canonical_calls(calls: Any) -> bool:
    try:
        for call in calls:
            if call["type"] != "function" or not isinstance(call["id"], str) or not call["function"]["name"]:
                return False
            if not is_json_object(call["function"]["arguments"]):
                return False
    except (KeyError, TypeError):
        return False
    return isinstance(calls, list)


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        _decode_object(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
