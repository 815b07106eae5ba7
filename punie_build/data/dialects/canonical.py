"""Plain: what already is the one form, as far as that is quickly told."""

from __future__ import annotations

from typing import Any

import msgspec

from punie_build.data.dialects.glaive import is_prompt
from punie_build.data.tool_call_markup import is_result

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TAKEN = {"conversation", "conversations", "functions", "system"}


def is_normal(record: dict[str, Any]) -> bool:
    """Whether nothing is to be done, as far as that is quickly told: True is sure."""
    messages, tools = record.get("messages"), record.get("tools")
    return (
        isinstance(messages, list)
        and bool(messages)
        and not _TAKEN & record.keys()
        and (tools is None or (isinstance(tools, list) and all(_is_declared(tool) for tool in tools)))
        and all(_is_plain(message) for message in messages)
    )


def _is_declared(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and isinstance(tool.get("function"), dict)


def _is_plain(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content, role = message.get("content"), message.get("role")
    calls = message.get("tool_calls")
    if not isinstance(content, str):
        return content is None and role == "assistant" and bool(calls) and _are_calls(calls)
    if role == "assistant":
        if calls:
            return _are_calls(calls)
        return not message.get("function_call") and not _may_call(content)
    if role == "user":
        return not is_result(content)
    if role == "tool":
        return isinstance(message.get("tool_call_id"), str)
    return role == "system" and "<tools>" not in content and not is_prompt(content)


def _may_call(text: str) -> bool:
    fenced = "```" in text and ("arguments" in text or "parameters" in text)
    return fenced or "<tool_call>" in text or "<function" in text


def _are_calls(calls: Any) -> bool:
    try:
        for call in calls:
            if call["type"] != "function" or not isinstance(call["id"], str) or not call["function"]["name"]:
                return False
            if not is_object(call["function"]["arguments"]):
                return False
    except (KeyError, TypeError):
        return False
    return isinstance(calls, list)


def is_object(text: str) -> bool:
    """Whether it is the text of a JSON object."""
    try:
        _decode_object(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
