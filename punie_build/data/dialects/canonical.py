"""Tests of whether a row is in canonical form already: of a line, quickly, and of a decoded record.

Both apply the same rules to the texts. `is_canonical_line` is the stricter one: a line that it accepts is a record
that `is_canonical` accepts, without a key that the table of `keys` refuses, renames or does not know.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import astuple

from punie_build.data.depth import is_nested_deeply
from punie_build.data.dialects.glaive import is_glaive_prompt
from punie_build.data.dialects.keys import METADATA, SYSTEM_KEYS, is_plain_message
from punie_build.data.double_keys import double_key
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


_ABSENT = Raw(b"null")  # the default of keys that stay JSON
CACHED_BYTES = 2**16  # of a list of tools whose test is kept: most rows of a data set declare the same


class _Message(Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | UnsetType | None = UNSET
    tool_calls: list[_Call] | UnsetType | None = UNSET
    tool_call_id: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET
    weight: Literal[0, 1] | UnsetType | None = UNSET


_Row: Any = msgspec.defstruct(
    "_Row",
    [
        ("messages", Annotated[list[_Message], Meta(min_length=1)]),
        ("category", str | None | UnsetType, UNSET),
        ("tools", Raw, _ABSENT),
        *((key, Raw, _ABSENT) for key in METADATA if key != "category"),
    ],
    gc=False,
    forbid_unknown_fields=True,
)
_decode_row = msgspec.json.Decoder(_Row).decode
_decode_declarations = msgspec.json.Decoder(list[_Declaration] | None).decode


def is_canonical_line(line: bytes) -> bool:
    """Whether a line is a canonical row with known keys only, each once. False may mean that only the reader can tell.

    A key that occurs twice is found by counting: the line has more keys than the decoded row.
    """
    try:
        line.decode()  # values of other keys are not decoded
        row = _decode_row(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    values = astuple(row)
    keys = len(values) - values.count(UNSET) - values.count(_ABSENT)
    for value in values[2:]:
        if value is not _ABSENT and (value is row.tools or memoryview(value)[0] in b"[{"):
            json = bytes(value)
            count = _count_unique if len(json) <= CACHED_BYTES else _count_unique.__wrapped__
            if (inner_keys := count(json, value is row.tools)) < 0:
                return False
            keys += inner_keys
    if row.tools is not _ABSENT and is_nested_deeply(line):  # nothing else of a row may be nested, but metadata
        return False
    for message in row.messages:
        if not _is_canonical_struct(message):
            return False
        parts = astuple(message)
        keys += len(parts) - parts.count(UNSET) + CALL_KEYS * len(message.tool_calls or ())
    return keys == _count_keys(line)


CALL_KEYS = 5  # of a call: id, type, function, and its name and arguments


def _is_canonical_struct(message: _Message) -> bool:
    role, content, calls = message.role, message.content, message.tool_calls
    if calls:
        return role == "assistant" and all(_has_unique_arguments(call.function.arguments) for call in calls)
    if not isinstance(content, str) or not _is_canonical_text(role, content):
        return False
    if role == "tool" and not isinstance(message.tool_call_id, str):
        return False
    return message.weight != 1 or role == "assistant"


def _count_keys(json: bytes) -> int:
    """Return the number of keys in JSON without blanks before colons: quotes with a backslash belong to texts."""
    return json.count(b'":') - json.count(b'\\":')


@lru_cache(maxsize=256)
def _count_unique(json: bytes, are_tools: bool) -> int:
    """Return the number of keys in a value; -1 if one occurs twice, or if the value shall be tools and is no list of
    declarations."""
    try:
        if are_tools:
            _decode_declarations(json)
    except (msgspec.MsgspecError, RecursionError):
        return -1
    return -1 if double_key(json) else _count_keys(json)


def _has_unique_arguments(text: str) -> bool:
    """Whether a text is a JSON object in which no key occurs twice."""
    try:
        keys = len(_decode_object(text))
    except (msgspec.MsgspecError, RecursionError):
        return False
    return keys == text.count('":') - text.count('\\":') or not double_key(text.encode())


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
