"""Messages of an agent under a key of its own: SWE-agent, tau-bench, threads of Open Assistant, sets of the Hub."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]
_LIST_KEYS = ("traj", "history", "trajectory", "thread")
_SWE_AGENT_KEYS = ("action", "agent", "cache_control", "message_type", "tags", "thought")  # parts of content, and marks


def trajectory(record: Record) -> Record | None:
    """Return a record with its messages under `messages`, or None if it has no list of messages.

    The steps of SWE-agent, under `trajectory` beside its `history`, repeat the messages and are omitted.
    """
    key = next((key for key in _LIST_KEYS if _are_messages(record.get(key))), None)
    if key is None:
        return None
    omitted = (key, "trajectory") if key == "history" else (key,)
    others = {name: value for name, value in record.items() if name not in omitted}
    return {"messages": [_message(turn) for turn in record[key]], **others}


def _are_messages(turns: Any) -> bool:
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) and "role" in turn for turn in turns)


def _message(turn: Record) -> Record:
    """Return a message of SWE-agent in OpenAI's form; a demonstration in the prompt is not learned."""
    message = {key: value for key, value in turn.items() if key not in (*_SWE_AGENT_KEYS, "tool_call_ids", "is_demo")}
    if isinstance(prompt := message.pop("system_prompt", None), str) and not message.get("text"):
        message["text"] = prompt
    ids = turn.get("tool_call_ids")
    if ids and turn["role"] == "tool":
        message["tool_call_id"] = ids[0]
    return message | ({"weight": 0} if turn.get("is_demo") else {})
