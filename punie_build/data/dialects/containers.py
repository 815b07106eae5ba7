"""Container: the keys that a conversation stands under, and how they are opened: their texts as turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from punie_build.data.dialects.glaive import labelled, unmarked
from punie_build.data.tool_call_markup import MEND

UNMARKED = ("messages", "sharegpt", "alpaca", "prompt-completion", "text")  # the containers that are no markup, too
_LISTS = ("messages", "conversation", "conversations")
_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("query", "response"))
_KEYS = (
    ("glaive", ("chat",)),
    ("alpaca", ("instruction", "output")),
    *(("prompt-completion", pair) for pair in _PAIRS),
    ("text", ("text",)),
)
_IM_START, _IM_END = "<|im_start|>", "<|im_end|>"
FOREIGN = ("<|start_header_id|>", "<start_of_turn>", "[INST]", "### Human:", "<|user|>")


class Chat(Struct):
    """A container opened: its turns as they stand, declared tools, keys that are not its own, the number of its first turn."""

    turns: list[Any]
    rest: dict[str, Any]
    tools: Any = None
    first: int = 1


def container(record: Any) -> str:
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__}, not an object - one JSON object a line")
    for key in _LISTS:
        if isinstance(turns := record.get(key), list):
            return "sharegpt" if any(isinstance(turn, dict) and "from" in turn for turn in turns) else "messages"
    if record.get("messages") is not None:
        raise ValueError(f"messages is {type(record['messages']).__name__}, not a list - one object for each message")
    for name, keys in _KEYS:
        if all(key in record for key in keys):
            return name
    found = ", ".join(map(str, record)) or "none"
    raise ValueError(
        f"no dialect fits the keys {found} - bring messages, or the keys of one of {', '.join((*UNMARKED[1:], 'glaive'))}"
    )


def _open_messages(record: dict[str, Any]) -> Chat:
    key = next(key for key in _LISTS if isinstance(record.get(key), list))
    if not record[key]:
        raise ValueError("no messages - a conversation needs at least one")
    rest = {name: value for name, value in record.items() if name not in (key, "messages")}
    chat = Chat(record[key], rest, _tools(rest))
    if isinstance(prompt := rest.get("system"), str):
        del rest["system"]
        if prompt.strip():
            chat.turns, chat.first = [{"role": "system", "content": prompt}, *chat.turns], 0
    return chat


def _open_alpaca(record: dict[str, Any]) -> Chat:
    parts = {key: text_at(record, key) for key in ("system", "instruction", "input", "output")}
    asked = "\n".join(part for part in (parts["instruction"], parts["input"]) if part)
    if not asked:
        raise ValueError(f"instruction and input are empty - {MEND}")
    history = record.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("history is no list of [question, answer] pairs - make it one")
    said = [side for pair in history for side in pair] + [asked, parts["output"]]
    turns = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(said)]
    return _beside(record, turns, "instruction", "input", "output", "history")


def _open_pair(record: dict[str, Any]) -> Chat:
    asked, answered = next(pair for pair in _PAIRS if all(key in record for key in pair))
    for key in ("context", "input", "history"):
        if record.get(key):
            raise ValueError(f"'{key}' beside {asked} and {answered}: how to join them is not known - bring messages")
    turns: list[Any] = []
    for key, role in ((asked, "user"), (answered, "assistant")):
        side = record[key]
        turns += side if isinstance(side, list) else [{"role": role, "content": text_at(record, key)}]
    return _beside(record, turns, asked, answered)


def _open_text(record: dict[str, Any]) -> Chat:
    text = text_at(record, "text")
    if _IM_START not in text:
        return _beside(record, [{"role": "assistant", "content": text}], "text")
    turns = []
    head, *pieces = unmarked(text).split(_IM_START)
    if head.strip():
        raise ValueError(f"text before the first {_IM_START}: {head.strip()[:40]!r} - {MEND}")
    for number, piece in enumerate(pieces, 1):
        role, _, content = piece.partition("\n")
        content, end, after = content.partition(_IM_END)
        if after.strip() or (not end and number < len(pieces)):
            raise ValueError(f"message {number} ({role}): no {_IM_END} at its end - {MEND}")
        turns.append({"role": role.strip(), "content": content})
    return _beside(record, turns, "text")


def _open_glaive(record: dict[str, Any]) -> Chat:
    chat = text_at(record, "chat")
    turns = labelled(chat, "")
    if not turns:
        raise ValueError(f"chat has no 'USER:' or 'ASSISTANT:' - {MEND}")
    return _beside(record, turns, "chat")


def _beside(record: dict[str, Any], turns: list[Any], *own: str) -> Chat:
    """A chat of these turns, with the system prompt and the tools that stand beside them."""
    rest = {key: value for key, value in record.items() if key not in (*own, "messages", "system")}
    if prompt := text_at(record, "system"):
        turns = [{"role": "system", "content": prompt}, *turns]
    return Chat(turns, rest, _tools(rest), 0 if prompt else 1)


def text_at(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, not text - {MEND}")
    return value or ""


def _tools(rest: dict[str, Any]) -> Any:
    """Takes the declared tools out of what stands beside a conversation. Without any, an empty list or null may stay there."""
    found = [key for key in ("tools", "functions") if rest.get(key)]
    if len(found) > 1:
        raise ValueError("tools and functions both declare tools - keep one")
    tools = rest[found[0]] if found else None
    for key in ("tools", "functions") if found else ():
        rest.pop(key, None)
    if rest.get("tools") not in (None, []):
        del rest["tools"]
    return tools


OPENERS: dict[str, Callable[[dict[str, Any]], Chat]] = {
    "messages": _open_messages,
    "sharegpt": _open_messages,
    "alpaca": _open_alpaca,
    "prompt-completion": _open_pair,
    "text": _open_text,
    "glaive": _open_glaive,
}
