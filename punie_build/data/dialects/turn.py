"""A turn: a message of any dialect with its role and content identified, before calls and results are matched."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from punie_build.data.dialects.glaive import (
    END_OF_TEXT,
    FUNCTIONCALL,
    SYSTEM_LABEL,
    is_glaive_prompt,
    split_labels,
    strip_end_marks,
)
from punie_build.data.dialects.keys import with_canonical_keys
from punie_build.data.tool_call_markup.json_values import parse_value
from punie_build.data.tool_call_markup.span import FIX_HINT

_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
}


def is_role(name: str) -> bool:
    """Whether a dialect calls a role so."""
    return name.lower() in _ROLES


_ROLE_KEYS = ("role", "from", "speaker", "author", "type")  # `type` as in LangChain, `from` as in ShareGPT


class Turn(Struct):
    """A message with its position for error messages. `role` is canonical, or `call` for ShareGPT's function_call."""

    where: str
    role: str
    message: dict[str, Any]

    @property
    def content(self) -> str:
        return self.message.get("content") or ""

    def is_glaive(self) -> bool:
        """Whether the content has markup of Glaive."""
        if self.role == "system":
            return is_glaive_prompt(self.content)
        return self.role == "assistant" and FUNCTIONCALL.search(self.content) is not None

    def split_glaive(self) -> list[Turn]:
        """Remove labels and end-of-text marks of Glaive; an assistant's turn may also contain the result."""
        if self.role == "system":
            content = SYSTEM_LABEL.sub("", self.content, count=1)
            return [Turn(self.where, self.role, self.message | {"content": content})]
        if self.role == "assistant" and "FUNCTION RESPONSE:" in self.content:
            first, *others = split_labels(self.content, "assistant")
            return [Turn(self.where, turn["role"], turn) for turn in (self.message | first, *others)]
        if self.role in ("assistant", "tool") and END_OF_TEXT in self.content:
            return [Turn(self.where, self.role, self.message | {"content": strip_end_marks(self.content)})]
        return [self]


def to_turn(raw: Any, number: int) -> Turn:
    """Identify role and content of a message. Raises ValueError for an unknown role and for missing content."""
    if not isinstance(raw, dict):
        raise ValueError(f"message {number}: {type(raw).__name__}, not an object - {FIX_HINT}")
    role_key = next((key for key in _ROLE_KEYS if isinstance(raw.get(key), str)), "role")
    raw_role = raw.get(role_key)
    role = _ROLES.get(raw_role.strip().lower()) if isinstance(raw_role, str) else None
    if role is None:
        raise ValueError(f"message {number}: unknown role {raw_role!r} - use system, user, assistant or tool")
    where = f"message {number} ({raw_role})"
    if isinstance(calls := raw.get("tool_calls"), str) and calls.lstrip()[:1] == "[":  # JSON text
        raw = {**raw, "tool_calls": parse_value(calls)}
    if not isinstance(raw.get("tool_calls") or [], list):
        raise ValueError(f"{where}: tool_calls is {type(raw['tool_calls']).__name__}, not a list - {FIX_HINT}")
    key = next((key for key in ("content", "value", "text") if key in raw), "value")
    message = {"role": role, "content": _content_text(raw.get(key), role, where)}
    if message["content"] is None:
        if not raw.get("tool_calls") and not raw.get("function_call"):
            other_keys = ", ".join(name for name in raw if name not in (role_key, key)) or "none"
            raise ValueError(f"{where}: no content, other keys: {other_keys} - add content or remove the row")
        if key not in raw:
            del message["content"]
    message |= {name: raw[name] for name in raw if name not in ("role", "from", role_key, key)}
    try:
        return Turn(where, role, with_canonical_keys(message))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _content_text(content: Any, role: str, where: str) -> str | None:
    """Return content as text: text parts joined; an object in a tool's message as JSON."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return "".join(str(text) for text in texts)
    if role in ("tool", "call"):
        return to_json(content)
    raise ValueError(f"{where}: content is {type(content).__name__} and not only text - {FIX_HINT}")


def to_text(content: Any) -> str:
    """Return content as text: parts of text joined, other values as JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content)
    return to_json(content)


def to_json(value: Any) -> str:
    """Encode a value as JSON text. Raises ValueError for values that JSON does not have."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"half a surrogate pair in {text[:40]!a} - {FIX_HINT}") from None
    except TypeError as error:  # a table may hold dates and bytes
        raise ValueError(f"{error} - {FIX_HINT}") from None
    return text
