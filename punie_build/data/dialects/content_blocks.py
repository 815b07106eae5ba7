"""Messages whose content is a list of typed parts: Anthropic's blocks, Gemini's parts, items of OpenAI's Responses."""

from __future__ import annotations

from typing import Any

from punie_build.data.dialects.tool_declarations import with_type_names
from punie_build.data.dialects.turn import to_json, to_text
from punie_build.data.tool_call_markup.json_values import parse_value
from punie_build.data.tool_call_markup.span import FIX_HINT

Record = dict[str, Any]
_TEXT_TYPES = ("text", "input_text", "output_text")
_CALL_TYPES = ("tool_use", "tool_call", "function_call", "toolCall")
_RESULT_TYPES = ("tool_result", "tool_response", "function_call_output")
_REASONING_TYPES = ("thinking", "reasoning")
_NATURAL_KEYS = ("toolUse", "toolResult", "reasoningContent")  # Bedrock's blocks: one key instead of a type
_OWN_TYPES = {"refusal", *_TEXT_TYPES[1:], *_CALL_TYPES, *_RESULT_TYPES, *_REASONING_TYPES, "redacted_thinking"}


def convert_blocks(messages: list[Any]) -> list[Any]:
    """Return messages whose blocks are text, calls, results and reasoning; the same list if no message has blocks."""
    if not any(_has_blocks(message) for message in messages):
        return messages
    return [part for message in messages for part in (_split(message) if _has_blocks(message) else [message])]


def _has_blocks(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(
        isinstance(part, dict)
        and (
            part.get("type") in _OWN_TYPES
            or ("value" in part and "text" not in part)
            or any(key in part for key in _NATURAL_KEYS)
        )
        for part in content
    )


def _split(message: Record) -> list[Record]:
    """Return a message's results, each as a message, then its text with reasoning and calls."""
    texts, reasoning, calls, results = list[str](), list[str](), list[Record](), list[Record]()
    for block in message["content"]:
        part = _typed(block)
        kind = part.get("type") if isinstance(part, dict) else None
        value = part.get("value") if isinstance(part, dict) else None
        if kind in _TEXT_TYPES:
            texts.append(to_text(part.get("text", value)))
        elif kind in _REASONING_TYPES:
            reasoning.append(to_text(part.get("thinking", part.get("text", part.get("reasoning", value)))))
        elif kind in _CALL_TYPES:
            calls.append(_call(parse_value(value) if isinstance(value, str) else value or part))
        elif kind in _RESULT_TYPES:
            call_id = part.get("tool_use_id", part.get("tool_call_id", part.get("call_id")))
            ids = {"tool_call_id": call_id} if call_id else {}
            results.append({"role": "tool", "content": to_text(part.get("content", part.get("output", value))), **ids})
        elif kind != "redacted_thinking":
            raise ValueError(f"a content block of type {kind!r}: only text, calls and results are read - {FIX_HINT}")
    others = {key: value for key, value in message.items() if key != "content"}
    if not (texts or reasoning or calls) and results:
        return results
    spoken = others | {"content": "".join(texts)}
    if reasoning:
        spoken["reasoning_content"] = "\n".join(reasoning)
    if calls:
        spoken["tool_calls"] = calls
    return [*results, spoken]


def _typed(block: Any) -> Any:
    """Return a block of Bedrock as one with a type, a refusal as text, and any other block unchanged."""
    if not isinstance(block, dict) or "type" in block:
        is_refusal = isinstance(block, dict) and block["type"] == "refusal"
        return {"type": "text", "text": block.get("refusal")} if is_refusal else block
    if isinstance(call := block.get("toolUse"), dict):
        return {**call, "type": "tool_use", "id": call.get("toolUseId")}
    if isinstance(result := block.get("toolResult"), dict):
        parts = result.get("content")
        texts = [to_text(part.get("text", part.get("json"))) for part in parts] if isinstance(parts, list) else parts
        content = "".join(texts) if isinstance(texts, list) else texts
        return {"type": "tool_result", "tool_use_id": result.get("toolUseId"), "content": content}
    if isinstance(thought := block.get("reasoningContent"), dict):
        return {"type": "thinking", "thinking": thought.get("reasoningText", thought).get("text", "")}
    return {"type": "text", **block} if isinstance(block.get("text"), str) else block


def bedrock(record: Record) -> Record:
    """Return a record with the tools of Bedrock's `toolConfig` as tools; the same record without them."""
    config = record.get("toolConfig")
    if not isinstance(config, dict) or "tools" in record:
        return record
    specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
    tools = [
        {key: spec[key] for key in ("name", "description") if key in spec}
        | {"parameters": spec.get("inputSchema", {}).get("json", {})}
        for spec in specs
    ]
    return {**{key: value for key, value in record.items() if key != "toolConfig"}, "tools": tools}


def _call(part: Record) -> Record:
    call_id = part.get("call_id") or part.get("id")
    key = next((key for key in ("arguments", "args") if key in part), "input")
    arguments = part.get(key)
    return {"name": part.get("name"), "arguments": arguments} | ({"id": call_id} if call_id else {})


def gemini_contents(record: Record) -> Record | None:
    """Return Gemini's `contents` as messages, or None for another record."""
    contents = record.get("contents")
    if isinstance(contents, list) and isinstance(candidates := record.get("candidates"), list):
        if len(candidates) != 1:
            raise ValueError(f"{len(candidates)} candidates: which of them to learn is unknown - keep one")
        contents = [*contents, {"role": "assistant", **candidates[0]["content"]}]
    if not isinstance(contents, list) or not all(isinstance(turn, dict) and "parts" in turn for turn in contents):
        return None
    system = record.get("systemInstruction", record.get("system_instruction"))
    system = {"parts": [{"text": system}]} if isinstance(system, str) else system
    turns = ([{"role": "system", **system}] if isinstance(system, dict) else []) + contents
    messages = [message for turn in turns for message in _gemini_turn(turn)]
    declared = [
        function
        for tool in record.get("tools") or ()
        for function in tool.get("functionDeclarations", tool.get("function_declarations")) or ()
    ]
    own = ("contents", "candidates", "systemInstruction", "system_instruction", "tools")
    others = {key: value for key, value in record.items() if key not in own}
    tools = with_type_names(declared, str.lower)  # Gemini writes the names of types in capitals
    return {"messages": messages} | ({"tools": tools} if tools else {}) | others


def _gemini_turn(turn: Record) -> list[Record]:
    texts, calls, results, reasoning = list[str](), list[Record](), list[Record](), list[str]()
    for part in turn["parts"]:
        if call := part.get("functionCall", part.get("function_call")):
            calls.append(_call(call))
        elif response := part.get("functionResponse", part.get("function_response")):
            results.append({"role": "tool", "content": to_json(response.get("response"))})
        elif isinstance(part.get("text"), str):
            (reasoning if part.get("thought") else texts).append(part["text"])
        else:
            raise ValueError(f"a part with {', '.join(part)}: only text, calls and results are read - {FIX_HINT}")
    if results and not texts:
        return results
    spoken: Record = {"role": turn.get("role", "user"), "content": "".join(texts)}
    if reasoning:
        spoken["reasoning_content"] = "\n".join(reasoning)
    return [*results, spoken | ({"tool_calls": calls} if calls else {})]


def responses_items(record: Record) -> Record | None:
    """Return the items of OpenAI's Responses (`input`, `output`) as messages, or None for another record."""
    output = record.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output) or "messages" in record:
        return None
    request = record.get("input")
    items = [{"role": "user", "content": request}] if isinstance(request, str) else list(request or ())
    messages: list[Record] = []
    reasoning = ""
    for item in map(_known_item, [*items, *output]):
        kind = item.get("type", "message")
        if kind == "reasoning":
            reasoning = to_text(item.get("summary") or item.get("content"))
        elif kind == "function_call":
            last = messages[-1] if messages else {}
            if last.get("role") == "assistant":
                messages[-1] = last | {"tool_calls": [*(last.get("tool_calls") or ()), _call(item)]}
            else:
                messages.append({"role": "assistant", "content": "", "tool_calls": [_call(item)]})
        elif kind == "function_call_output":
            messages.append(
                {"role": "tool", "tool_call_id": item.get("call_id"), "content": to_text(item.get("output"))}
            )
        elif kind == "message":
            messages.append({"role": item.get("role"), "content": _message_text(item.get("content"))})
        else:
            raise ValueError(f"an item of type {kind!r}: only messages, calls and results are read - {FIX_HINT}")
        if reasoning and messages and messages[-1]["role"] == "assistant":
            messages[-1]["reasoning_content"], reasoning = reasoning, ""
    own = ("input", "output", "instructions", "object", "status", "usage")
    prompt = {"system": record["instructions"]} if record.get("instructions") else {}
    return {"messages": messages, **prompt, **{key: value for key, value in record.items() if key not in own}}


def _known_item(item: Record) -> Record:
    """Return a custom call, which has one text as its input, and its result as items of functions."""
    if item.get("type") == "custom_tool_call":
        return {**item, "type": "function_call", "arguments": {"input": item.get("input")}}
    return {**item, "type": "function_call_output"} if item.get("type") == "custom_tool_call_output" else item


def _message_text(content: Any) -> str:
    """Return the text of an item's content. Raises ValueError for images, files and sound."""
    if not isinstance(content, list):
        return to_text(content)
    for part in content:
        if isinstance(part, dict) and part.get("type", "text") not in (*_TEXT_TYPES, "refusal", "summary_text"):
            raise ValueError(f"a content part of type {part['type']!r}: bases here read text only - {FIX_HINT}")
    return "".join(
        to_text(part.get("text", part.get("refusal")) if isinstance(part, dict) else part) for part in content
    )
