"""A quick test of whether a record is in canonical form already."""

from __future__ import annotations

from typing import Any

import msgspec

from punie_build.data.dialects.glaive import is_glaive_prompt
from punie_build.data.tool_call_markup.tool_results import is_tool_result

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NON_CANONICAL_KEYS = {"conversation", "conversations", "functions", "system"}


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
    return isinstance(tool, dict) and tool.get("type") == "function" and isinstance(tool.get("function"), dict)


def _is_canonical_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content, role = message.get("content"), message.get("role")
    calls = message.get("tool_calls")
    if not isinstance(content, str):
        return content is None and role == "assistant" and bool(calls) and _are_canonical_calls(calls)
    if role == "assistant":
        if calls:
            return _are_canonical_calls(calls)
        return not message.get("function_call") and not _may_contain_call(content)
    if role == "user":
        return not is_tool_result(content)
    if role == "tool":
        return isinstance(message.get("tool_call_id"), str)
    return role == "system" and "<tools>" not in content and not is_glaive_prompt(content)


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
