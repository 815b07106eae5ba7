"""Session logs of coding agents: a file of events, one per line, is one conversation.

Known are the logs of Claude Code (with a conversation for each side chain), Codex and Pi. Events without a message are
counted by their type under `skipped_events`. The blocks of the messages are read by the dialects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from punie_build.data.readers.record import NumberedRecords, Record

Event = dict[str, Any]


def join_sessions(records: NumberedRecords) -> NumberedRecords:
    """Yield the conversations of a session log, or the records unchanged if the first one is no event of a session."""
    if (first := next(records, None)) is None:
        return
    join = _joiner(_decode(first[1]))
    everything = chain([first], records)
    if join is None:
        yield from everything
        return
    events, problems = [], list[tuple[int, Record]]()
    for number, record in everything:
        if event := _decode(record):
            events.append(event)
        else:
            problems.append((number, record))
    yield from problems
    yield from enumerate(join(events), 1)


def _decode(record: Record) -> Event | None:
    try:
        value = msgspec.json.decode(record) if isinstance(record, bytes) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _joiner(event: Event | None) -> Callable[[list[Event]], Iterable[Event]] | None:
    """Return the function that joins the events of a log which begins with this event, or None."""
    if event is None or not isinstance(event.get("type"), str) or "messages" in event:
        return None
    if event["type"] == "session" and "cwd" in event:
        return _join_pi
    if isinstance(event.get("payload"), dict) and "timestamp" in event:
        return _join_codex
    if event.keys() & {"sessionId", "leafUuid", "snapshot"}:
        return _join_claude
    return None


def _conversation(messages: list[Any], skipped: Counter[str], **keys: Any) -> Event:
    counts = {"skipped_events": dict(sorted(skipped.items()))} if skipped else {}
    return {"messages": messages, **{key: value for key, value in keys.items() if value}, **counts}


def _join_claude(events: list[Event]) -> Iterator[Event]:
    """Claude Code: messages of the API, of which an answer is on several lines with the same id."""
    for is_side in (False, True):
        messages: list[Event] = []
        skipped: Counter[str] = Counter()
        last_id, session = None, None
        for event in events:
            message = event.get("message")
            if bool(event.get("isSidechain")) != is_side:
                continue
            if not isinstance(message, dict) or event.get("isMeta"):
                skipped["meta" if event.get("isMeta") else str(event.get("type"))] += 1
                continue
            session = session or event.get("sessionId")
            parts = message.get("content")
            if message.get("id") and message.get("id") == last_id and isinstance(parts, list):
                messages[-1]["content"] = [*messages[-1]["content"], *parts]
            else:
                messages.append({"role": message.get("role"), "content": parts})
            last_id = message.get("id") if isinstance(parts, list) else None
        if messages:
            yield _conversation(messages, skipped, id=f"{session} side" if is_side else session)


def _join_codex(events: list[Event]) -> Iterator[Event]:
    """Codex: items of OpenAI's Responses within `payload`."""
    items: list[Event] = []
    skipped: Counter[str] = Counter()
    meta: Event = {}
    for event in events:
        payload = event.get("payload")
        if not isinstance(payload, dict):
            skipped[str(event.get("type"))] += 1
        elif event.get("type") == "session_meta":
            meta = payload
        elif event.get("type") == "response_item" and str(payload.get("type")) in _CODEX_ITEMS:
            items.append(_codex_item(payload))
        else:
            skipped[f"{event.get('type')}: {payload.get('type')}"] += 1
    prompt = meta.get("base_instructions") or meta.get("instructions")
    prompt = prompt.get("text") if isinstance(prompt, dict) else prompt
    conversation = _conversation([], skipped, id=meta.get("id"), instructions=prompt)
    del conversation["messages"]
    yield {"output": items, **conversation}


_CODEX_ITEMS = {
    "message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
}  # fmt: skip


def _codex_item(payload: Event) -> Event:
    """Return an item whose type is one of OpenAI's Responses; a custom call has one text as its input."""
    kind = str(payload["type"])
    if kind == "custom_tool_call":
        return {**payload, "type": "function_call", "arguments": {"input": payload.get("input")}, "input": None}
    return {**payload, "type": kind.replace("custom_tool_call_output", "function_call_output")}


def _join_pi(events: list[Event]) -> Iterator[Event]:
    """Pi: messages within `message`, with results of the role toolResult."""
    messages: list[Event] = []
    skipped: Counter[str] = Counter()
    for event in events[1:]:
        message = message if isinstance(message := event.get("message"), dict) else {}
        role = message.get("role")
        if role == "toolResult":
            ids = {"tool_call_id": message["toolCallId"]} if message.get("toolCallId") else {}
            messages.append({"role": "tool", "content": message.get("content"), **ids})
        elif role in ("user", "assistant", "system"):
            messages.append({"role": role, "content": message.get("content")})
        else:
            skipped[f"{event.get('type')}: {role}" if role else str(event.get("type"))] += 1
    yield _conversation(messages, skipped, id=events[0].get("id"))
