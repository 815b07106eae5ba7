"""Dialect: a way to write a conversation down; all of them normalised to one, OpenAI chat.

`{"messages": [...], "tools": [...], ...}` with the roles system, user, assistant and tool; calls as
`{"id", "type": "function", "function": {"name", "arguments": JSON text}}`; results as `tool` messages with `tool_call_id`.
Keys that belong to no dialect are kept as they are.

    messages            role and content; also under conversation or conversations
    sharegpt            conversations with from and value; tools as JSON text
    alpaca              instruction, input, output; system and history if there are any
    prompt-completion   also prompt and response, question and answer ...; a side may be a list of messages
    text                ChatML becomes its messages, any other text one assistant message (`mask = "all"` trains on it)
    glaive              system and chat, or its texts in messages: SYSTEM:, <functioncall>, FUNCTION RESPONSE:
    hermes qwen3-coder fenced-json code-mode       messages whose calls stand in the text, see calls_in_text

Calls without an id are call_1, call_2 ... in the order of the conversation. Results without one answer the waiting calls in
order; fewer results than calls is an error, none at all is not. Words around a call stay as the content of its message.

To add a container: in `containers`, a row in `_KEYS` and a function in `OPENERS`; its name in `NAMES`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from punie_build.data.dialects.canonical import is_normal
from punie_build.data.dialects.containers import FOREIGN, OPENERS, UNMARKED, container
from punie_build.data.dialects.writer import Writer
from punie_build.data.tool_call_markup import MARKUPS

NAMES = (*UNMARKED, "glaive", "hermes", "qwen3-coder", "fenced-json", "code-mode")
_READ_WITHIN = {"messages": ()} | {name: (name,) for name in MARKUPS}


def detect(record: dict[str, Any]) -> str:
    """The name of the record's dialect. Raises ValueError if none fits."""
    kept_in = container(record)
    if kept_in != "messages" or is_normal(record):
        return kept_in
    chat = OPENERS[kept_in](record)
    writer = Writer(chat, frozenset(MARKUPS))
    with suppress(ValueError):  # a call that cannot be read is normalise's to tell
        writer.write()
    return writer.markup or kept_in


def normalise(record: dict[str, Any], dialect: str = "auto") -> dict[str, Any]:
    """The record in the one form: the same object if it already is, else a new one. Raises ValueError with a reason.

    A dialect's name restricts: a container's name to that container, a markup's to calls in that markup, and `messages`
    takes no text for a call. `auto` reads them all.
    """
    if dialect != "auto" and dialect not in NAMES:
        raise ValueError(f"no dialect '{dialect}' - use auto or one of {', '.join(NAMES)}")
    kept_in = container(record)
    if dialect not in ("auto", kept_in) and (dialect not in MARKUPS or kept_in == "glaive"):
        raise ValueError(f"not {dialect}: the keys are those of {kept_in} - say dialect '{kept_in}' or auto")
    if kept_in == "messages" and is_normal(record):
        return record
    chat = OPENERS[kept_in](record)
    text = record["text"] or "" if kept_in == "text" else ""
    mark = next((mark for mark in FOREIGN if mark in text), None)
    if mark and dialect == "auto":
        raise ValueError(f"text holds {mark}, another chat template - bring messages, or say dialect 'text' to keep it")
    writer = Writer(chat, frozenset(_READ_WITHIN.get(dialect, MARKUPS)))
    messages = writer.write()
    done = {"messages": messages} | ({"tools": list(writer.tools.values())} if writer.tools else {}) | chat.rest
    return record if done == record else done
