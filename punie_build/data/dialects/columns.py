"""A mapping of columns: which key of a record is which part of a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from punie_build.data.dialects.keys import PAIRS
from punie_build.data.tool_call_markup.span import FIX_HINT

ColumnRole = Literal["system", "user", "assistant", "messages", "tools", "category", "text"]
ROLES = ("system", "user", "assistant")
Form = Literal["chat", "text", "preference"]
TEXT_KEYS = ("text", "content", "raw_content")
_FIELD = re.compile(r"\{([^{}\n]+)\}")


class Layout(Struct, frozen=True):
    """How the records of a source are laid out: the roles of their columns, and their form.

    `template` is the user's text, with `{column}` replaced by the value of that column.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    form: Form = "chat"

    @property
    def is_special(self) -> bool:
        """Whether a record needs more than the reader of dialects."""
        return bool(self.columns or self.template) or self.form != "chat"


CHAT = Layout()  # conversations in any dialect


def raw_text_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return a row of raw text: one message with the text, and `form`, which keeps it from the chat template."""
    key = next((key for key in TEXT_KEYS if isinstance(record.get(key), str)), None)
    if record.get("form") == "text" and isinstance(messages := record.get("messages"), list):
        if [isinstance(message, dict) and isinstance(message.get("content"), str) for message in messages] != [True]:
            raise ValueError("raw text is one message with a text - make a row of each message, or remove `form`")
        return record
    if key is None or not record[key].strip():
        raise ValueError(
            f"no text under {', '.join(TEXT_KEYS)}, its keys are {', '.join(map(str, record)) or 'none'}"
            ' - name its column: columns = { body = "text" }'
        )
    others = {name: value for name, value in record.items() if name not in (key, "messages")}
    return {"messages": [{"role": "assistant", "content": record[key]}], **others, "form": "text"}


def map_columns(record: dict[str, Any], columns: Mapping[str, str], template: str = "") -> dict[str, Any]:
    """Return a record whose keys are those of `messages`, from a mapping of its keys to roles; other keys stay.

    Several columns of one role are joined as paragraphs, in the order of the mapping. With a `template`, the user's
    text is the template with `{column}` replaced. With one answer of a pair, the other is left out. Raises
    ValueError if a column is absent or is no text.
    """
    used = [*columns, *_FIELD.findall(template)]
    if missing := [key for key in columns if key not in record]:
        raise ValueError(
            f"no column {', '.join(missing)}, its keys are {', '.join(map(str, record)) or 'none'}"
            " - correct `columns`, or remove the row"
        )
    texts: dict[str, list[str]] = {role: [] for role in ROLES}
    others = PAIRS if set(PAIRS) & columns.keys() else ()  # the answers of a pair that the user does not name
    mapped = {key: value for key, value in record.items() if key not in (*used, *others)}
    for key, role in columns.items():
        if role not in ROLES:
            mapped[role] = record[key]
        elif text := _text(record, key):
            texts[role].append(text)
    if template:
        texts["user"] = [_FIELD.sub(lambda field: _text(record, field[1]), template)]
    if "user" in columns.values() and not any(texts["user"]):
        raise ValueError(f"the columns of the user are empty - {FIX_HINT}")
    turns = [{"role": role, "content": "\n\n".join(parts)} for role, parts in texts.items() if any(parts)]
    if not turns:
        return mapped
    if "messages" in mapped and isinstance(mapped["messages"], list):
        turns = [*(turn for turn in turns if turn["role"] == "system"), *mapped["messages"],
                 *(turn for turn in turns if turn["role"] != "system")]  # fmt: skip
    return {"messages": turns, **{key: value for key, value in mapped.items() if key != "messages"}}


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if isinstance(value, dict) and len(value) <= 2:  # a message
        value = value.get("content", value.get("value"))
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"column {key} is {type(value).__name__}, not text - {FIX_HINT}")
