"""Session logs of coding agents: a file of events, one per line, is one conversation.

Known are the logs of Claude Code (with a conversation for each side chain), Codex, Pi and OpenHands, and the Hub's
simple format of session traces. Events without a message are counted by their type under `skipped_events`. The blocks
of the messages, and the events of OpenHands, are read by the dialects.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from punie_build.data.dialects.openhands import is_event
from punie_build.data.jsonl import MAX_LINE_BYTES
from punie_build.data.readers.record import NumberedRecords, Record, decode_record

Event = dict[str, Any]
Joiner = Callable[[list[Event]], Iterable[Record]]


def join_sessions(records: NumberedRecords) -> NumberedRecords:
    """Yield the conversations of a session log, or the records unchanged if the first one is no event of a session."""
    if (first := next(records, None)) is None:
        return
    join = _joiner(decode_record(first[1]))
    everything = chain([first], records)
    if join is None:
        yield from everything
        return
    events, problems = [], list[tuple[int, Record]]()
    for number, record in everything:
        if event := decode_record(record):
            events.append(event)
        else:
            problems.append((number, record))
    yield from problems
    yield from enumerate(_conversations(join, events), 1)


def event_of_file(path: Path) -> bytes | None:
    """Return the content of a JSON file that holds one event of OpenHands, or None for any other file."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > MAX_LINE_BYTES:
        return None
    content = path.read_bytes()
    event = decode_record(content)
    return content if event is not None and is_event(event) else None


def event_number(path: Path) -> tuple[int, str]:
    """Return the rank of a file among the events of its folder: `2.json` and `event-00002-1f.json` come before 10."""
    number = re.search(r"\d+", path.name)
    return (int(number[0]) if number else 0, path.name)


def _conversations(join: Joiner, events: list[Event]) -> list[Record]:
    """Return the conversations of a log, or the reason why there is none."""
    try:
        return list(join(events)) or ["a session log without a message - remove the file"]
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        return [f"a session log in which a part has another type: {error} - correct the file, or remove it"]


def _joiner(event: Event | None) -> Joiner | None:
    """Return the function that joins the events of a log which begins with this event, or None."""
    if event is not None and is_event(event):
        return _join_openhands
    if event is None or not isinstance(event.get("type"), str) or "messages" in event:
        return None
    if event["type"] == "session" and event.keys() & {"cwd", "harness"}:
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
    chains: dict[str | None, list[Event]] = {None: []}  # the main conversation, and those of the side chains
    chain_of: dict[Any, str | None] = {}
    for event in events:
        chain_id = None
        if event.get("isSidechain"):
            parent = chain_of.get(event["parentUuid"]) if event.get("parentUuid") else None
            chain_id = str(event.get("agentId") or parent or event.get("uuid"))
        chain_of[event.get("uuid")] = chain_id
        chains.setdefault(chain_id, []).append(event)
    for number, chain_events in enumerate(chains.values()):
        conversation = _claude_conversation(chain_events)
        if conversation["messages"]:
            side = "" if not number else " side" if number == 1 else f" side {number}"
            yield {**conversation, **({"id": f"{conversation['id']}{side}"} if "id" in conversation else {})}


def _claude_conversation(events: list[Event]) -> Event:
    messages: list[Event] = []
    skipped: Counter[str] = Counter()
    last_id, session = None, None
    for event in events:
        message = event.get("message")
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
    return _conversation(messages, skipped, id=session)


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


def _join_openhands(events: list[Event]) -> Iterator[Record]:
    """OpenHands: the dialect reads all events at once."""
    if len(events) > 1:
        yield {"events": events}
    else:
        yield "one event of a session, not a conversation - put the files of all its events into one folder"


def _join_pi(events: list[Event]) -> Iterator[Event]:
    """Pi and the Hub's simple format: messages within `message`, with results of the role toolResult or tool."""
    messages: list[Event] = []
    skipped: Counter[str] = Counter()
    for event in events[1:]:
        message = message if isinstance(message := event.get("message"), dict) else {}
        role = message.get("role")
        if role in _PI_ROLES:
            keys = {key: message[name] for name, key in _PI_KEYS.items() if message.get(name)}
            messages.append({"role": _PI_ROLES[role], "content": message.get("content"), **keys})
        else:
            skipped[f"{event.get('type')}: {role}" if role else str(event.get("type"))] += 1
    yield _conversation(messages, skipped, id=events[0].get("id"))


_PI_ROLES = {name: name for name in ("user", "assistant", "system", "tool")} | {"toolResult": "tool"}
_PI_KEYS = {
    "toolCallId": "tool_call_id",
    "tool_call_id": "tool_call_id",
    "toolCalls": "tool_calls",
    "tool_calls": "tool_calls",
    "reasoning_content": "reasoning_content",
    "reasoning": "reasoning_content",
}
