"""Conversion of conversations in any dialect to the canonical form: OpenAI chat.

`{"messages": [...], "tools": [...], ...}` with the roles system, user, assistant and tool; calls as
`{"id", "type": "function", "function": {"name", "arguments": JSON text}}`; results as `tool` messages with
`tool_call_id`. Keys that belong to no dialect are kept unchanged.

    messages            role and content; also under conversation or conversations
    sharegpt            conversations with from and value; tools as JSON text
    alpaca              instruction, input, output; system and history if present
    prompt-completion   also prompt and response, question and answer ...; each may be a list of messages
    text                ChatML becomes its messages, other text one assistant message (`mask = "all"` trains on it)
    glaive              system and chat, or its texts in messages: SYSTEM:, <functioncall>, FUNCTION RESPONSE:
    hermes qwen3-coder fenced-json code-mode       messages with calls in their text, see `tool_call_markup`

Calls without an id become call_1, call_2 ... in the order of the conversation. Results without an id answer the open
calls in order; fewer results than calls are an error, no results are not. Text around a call stays the content of its
message.

To add a container: a row in `_KEYS` of `containers` and a function in its `CONTAINERS`; its name in `NAMES`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from punie_build.data.dialects.canonical import is_canonical
from punie_build.data.dialects.containers import CONTAINER_DIALECTS, CONTAINERS, detect_container
from punie_build.data.dialects.dialogue import split_dialogue, split_prompt, without_end_marks
from punie_build.data.dialects.keys import SYSTEM_KEYS, refuse_keys
from punie_build.data.dialects.shapes import to_known_shape
from punie_build.data.dialects.turn import is_role
from punie_build.data.dialects.writer import MessageWriter
from punie_build.data.tool_call_markup.span import MARKUPS

NAMES = (*CONTAINER_DIALECTS, "glaive", "hermes", "qwen3-coder", "fenced-json", "code-mode")
_MARKUPS_OF = {"messages": ()} | {name: (name,) for name in MARKUPS}


def detect(record: dict[str, Any]) -> str:
    """Return the name of the record's dialect. Raises ValueError if none fits."""
    record = to_known_shape(record)
    container = detect_container(record)
    if container != "messages" or is_canonical(record):
        return container
    writer = MessageWriter(CONTAINERS[container](record), frozenset(MARKUPS))
    with suppress(ValueError):  # to_canonical reports calls that cannot be parsed
        writer.write()
    return writer.markup or container


def to_canonical(record: dict[str, Any], dialect: str = "auto") -> dict[str, Any]:
    """Return the record in canonical form: the same object if it is canonical, else a new one. Raises ValueError.

    The name of a dialect restricts the input: to one container, or to calls in one markup; `messages` parses no calls
    in text. `auto` accepts all dialects.
    """
    if dialect != "auto" and dialect not in NAMES:
        raise ValueError(f"no dialect '{dialect}' - use auto or one of {', '.join(NAMES)}")
    original = record
    if isinstance(record, dict):
        refuse_keys(record)
        record = to_known_shape(record)
    container = detect_container(record)
    if dialect not in ("auto", container) and (dialect not in MARKUPS or container == "glaive"):
        raise ValueError(f"not {dialect}: the keys are those of {container} - use dialect '{container}' or auto")
    if container == "messages" and is_canonical(record):
        return record
    raw = CONTAINERS[container](record)
    if container == "text" and dialect == "auto":
        raw.turns = _turns_in_text(record, raw.turns)
    if container == "prompt-completion" and dialect == "auto":
        raw.turns = _turns_of_prompt(raw.turns)
    writer = MessageWriter(raw, frozenset(_MARKUPS_OF.get(dialect, MARKUPS)))
    messages = writer.write()
    tools = {"tools": list(writer.tools.values())} if writer.tools else {}
    other_keys = {key: value for key, value in raw.other_keys.items() if value is not None or key not in SYSTEM_KEYS}
    canonical = {"messages": messages} | tools | other_keys
    return original if canonical == original else canonical


def _turns_in_text(record: dict[str, Any], turns: list[Any]) -> list[Any]:
    """Return the turns of a record's text: `turns`, unless the text is a dialogue with labels."""
    if any(isinstance(record.get(key), str) and is_role(record[key]) for key in ("role", "from", "speaker", "author")):
        raise ValueError(
            "a role beside text: one message, not a conversation - join the messages of each conversation in one row"
        )
    is_plain = len(turns) > 0 and turns[-1]["content"] == record["text"]
    dialogue = split_dialogue(record["text"]) if is_plain else None
    return turns if dialogue is None else [*turns[:-1], *dialogue]


def _turns_of_prompt(turns: list[Any]) -> list[Any]:
    """Return the turns of a prompt and its answer: `turns`, unless the prompt is a dialogue with labels."""
    *before, prompt, answer = turns if len(turns) > 1 else [*turns, {}, {}]
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in (prompt, answer)):
        return turns
    if (prompt.get("role"), answer.get("role")) != ("user", "assistant"):
        return turns
    if (dialogue := split_prompt(prompt["content"])) is None:
        return turns
    return [*before, *dialogue, {**answer, "content": without_end_marks(answer["content"])}]
