"""Containers: the keys that a conversation is stored under, and the parsers that turn their content into turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from punie_build.data.dialects.glaive import split_labels, strip_end_marks
from punie_build.data.dialects.keys import REASONING_KEYS, SYSTEM_KEYS
from punie_build.data.tool_call_markup.span import FIX_HINT
from punie_build.errors import join_first

CONTAINER_DIALECTS = ("messages", "sharegpt", "alpaca", "prompt-completion", "text")  # containers without own markup
_LIST_KEYS = ("messages", "conversation", "conversations")
_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("query", "response"))
_KEYS = (
    ("glaive", ("chat",)),
    ("alpaca", ("instruction", "output")),
    *(("prompt-completion", pair) for pair in _PAIRS),
    ("text", ("text",)),
)
_IM_START, _IM_END = "<|im_start|>", "<|im_end|>"


class RawConversation(Struct):
    """The content of a container: its turns, its other keys, its declared tools, and the number of its first turn."""

    turns: list[Any]
    other_keys: dict[str, Any]
    tools: Any = None
    first: int = 1


def detect_container(record: Any) -> str:
    """Return the name of the container that a record's keys fit. Raises ValueError if there is none."""
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__}, not an object - write one JSON object per line")
    for key in _LIST_KEYS:
        if isinstance(turns := record.get(key), list):
            return "sharegpt" if any(isinstance(turn, dict) and "from" in turn for turn in turns) else "messages"
    if record.get("messages") is not None:
        kind = type(record["messages"]).__name__
        raise ValueError(f"messages is {kind}, not a list - write one object for each message")
    for name, keys in _KEYS:
        if all(key in record for key in keys):
            return name
    if {"role", "content"} <= record.keys():
        raise ValueError("one message, not a conversation - write the messages of a conversation as one list")
    raise ValueError(_no_dialect(record))


MAX_KEYS = 12  # of a record that a message names


def _no_dialect(record: dict[str, Any]) -> str:
    """Return the message for a record that fits no dialect, with the dialect that lacks the fewest keys."""
    names = [str(key) for key in record]
    text = f"no dialect fits the keys {join_first(names, MAX_KEYS) or 'none'}"
    near = [(name, keys) for name, keys in _KEYS if any(key in record for key in keys)]
    if not near:
        dialects = ", ".join((*CONTAINER_DIALECTS[1:], "glaive"))
        return f"{text} - use messages, or the keys of one of {dialects}, or name their roles with `columns`"
    name, keys = min(near, key=lambda pair: sum(key not in record for key in pair[1]))
    missing = ", ".join(f"'{key}'" for key in keys if key not in record)
    return f"{text}: the nearest is {name}, which also has {missing} - rename a key, or convert the rows"


def _parse_messages(record: dict[str, Any]) -> RawConversation:
    list_key = next(key for key in _LIST_KEYS if isinstance(record.get(key), list))
    if not record[list_key]:
        raise ValueError("no messages - a conversation needs at least one")
    other_keys = {key: value for key, value in record.items() if key not in (list_key, "messages")}
    raw = RawConversation(record[list_key], other_keys, _pop_tools(other_keys))
    prompts = dict.fromkeys(prompt for key in SYSTEM_KEYS if (prompt := _pop_prompt(other_keys, key)))
    first = raw.turns[0]
    if len(prompts) == 1 and isinstance(first, dict) and first.get("content") in list(prompts):
        return raw  # the same prompt twice
    if prompts:
        system = [{"role": "system", "content": prompt} for prompt in prompts]
        raw.turns, raw.first = [*system, *raw.turns], 1 - len(system)
    return raw


def _parse_alpaca(record: dict[str, Any]) -> RawConversation:
    fields = {key: text_field(record, key) for key in ("system", "instruction", "input", "output")}
    question = "\n".join(text for text in (fields["instruction"], fields["input"]) if text)
    if not question:
        raise ValueError(f"instruction and input are empty - {FIX_HINT}")
    turns = _past_turns(record)
    reasoning = _reasoning(record)
    answer = {"role": "assistant", "content": fields["output"]} | reasoning
    turns += [{"role": "user", "content": question}, answer]
    return _raw_conversation(record, turns, "instruction", "input", "output", "history", *reasoning)


def _reasoning(record: dict[str, Any]) -> dict[str, Any]:
    """Return the thought that stands beside a question and its answer, by its keys."""
    return {key: record[key] for key in REASONING_KEYS if isinstance(record.get(key), str) and record[key].strip()}


def _past_turns(record: dict[str, Any]) -> list[Any]:
    """Return the turns before a question: under `history`, pairs of question and answer, or messages."""
    history = record.get("history") or []
    if isinstance(history, list) and history and all(isinstance(turn, dict) for turn in history):
        return list(history)
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("history is not a list of [question, answer] pairs - write it as one")
    texts = [text for pair in history for text in pair]
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


def _parse_pair(record: dict[str, Any]) -> RawConversation:
    prompt, completion = next(pair for pair in _PAIRS if all(key in record for key in pair))
    for key in ("context", "input"):
        if record.get(key):
            raise ValueError(
                f"'{key}' beside {prompt} and {completion}: the order of the three is unknown - use messages"
            )
    turns = _past_turns(record)
    reasoning = {} if isinstance(record[completion], list) else _reasoning(record)
    for key, role in ((prompt, "user"), (completion, "assistant")):
        value = record[key]
        others = reasoning if role == "assistant" else {}
        turns += value if isinstance(value, list) else [{"role": role, "content": text_field(record, key)} | others]
    return _raw_conversation(record, turns, prompt, completion, "history", *reasoning)


def _parse_chatml(record: dict[str, Any]) -> RawConversation:
    text = text_field(record, "text")
    if _IM_START not in text:
        return _raw_conversation(record, [{"role": "assistant", "content": text}], "text")
    turns = []
    head, *blocks = strip_end_marks(text).split(_IM_START)
    if head.strip():
        raise ValueError(f"text before the first {_IM_START}: {head.strip()[:40]!r} - {FIX_HINT}")
    for number, block in enumerate(blocks, 1):
        role, _, content = block.partition("\n")
        content, end, after = content.partition(_IM_END)
        if after.strip() or (not end and number < len(blocks)):
            raise ValueError(f"message {number} ({role}): no {_IM_END} at its end - {FIX_HINT}")
        turns.append({"role": role.strip(), "content": content})
    return _raw_conversation(record, turns, "text")


def _parse_glaive_chat(record: dict[str, Any]) -> RawConversation:
    turns = split_labels(text_field(record, "chat"), "")
    if not turns:
        raise ValueError(f"chat has no 'USER:' or 'ASSISTANT:' - {FIX_HINT}")
    return _raw_conversation(record, turns, "chat")


def _raw_conversation(record: dict[str, Any], turns: list[Any], *own_keys: str) -> RawConversation:
    """Return the turns with the system prompt and the tools of the record's other keys."""
    other_keys = {key: value for key, value in record.items() if key not in (*own_keys, "messages", "system")}
    if prompt := text_field(record, "system"):
        turns = [{"role": "system", "content": prompt}, *turns]
    return RawConversation(turns, other_keys, _pop_tools(other_keys), 0 if prompt else 1)


def _pop_prompt(record: dict[str, Any], key: str) -> str:
    """Remove a system prompt beside the messages from a record, and return it; empty if there is none."""
    value = record.get(key)
    parts: list[Any] = value if isinstance(value, list) else [None]
    if all(isinstance(part, dict) and part.get("type", "text") == "text" for part in parts):
        value = record[key] = "".join(str(part.get("text") or "") for part in parts)
    prompt = text_field(record, key)
    record.pop(key, None)
    return prompt if prompt.strip() else ""


def text_field(record: dict[str, Any], key: str) -> str:
    """Return the text under a key, or the number as text; empty without one. Raises ValueError for another type."""
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, not text - {FIX_HINT}")
    return value or ""


def _pop_tools(record: dict[str, Any]) -> Any:
    """Remove the declared tools from a record, and return them. Without tools, an empty list or null may stay."""
    keys = [key for key in ("tools", "functions") if record.get(key)]
    if len(keys) > 1:
        raise ValueError("tools and functions both declare tools - keep one")
    tools = record[keys[0]] if keys else None
    for key in ("tools", "functions") if keys else ():
        record.pop(key, None)
    if record.get("tools") not in (None, []):
        del record["tools"]
    return tools


CONTAINERS: dict[str, Callable[[dict[str, Any]], RawConversation]] = {
    "messages": _parse_messages,
    "sharegpt": _parse_messages,
    "alpaca": _parse_alpaca,
    "prompt-completion": _parse_pair,
    "text": _parse_chatml,
    "glaive": _parse_glaive_chat,
}
