"""Turn: a message as far as it is known before the conversation is written anew."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from punie_build.data.dialects.glaive import (
    END,
    FUNCTIONCALL,
    SYSTEM,
    is_prompt,
    labelled,
    unmarked,
)
from punie_build.data.tool_call_markup import MEND

_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
}


class Turn(Struct):
    """A message as far as it is known: `role` is one of ours or `call`, for what ShareGPT calls function_call."""

    where: str
    role: str
    message: dict[str, Any]

    @property
    def content(self) -> str:
        return self.message.get("content") or ""

    def says_glaive(self) -> bool:
        if self.role == "system":
            return is_prompt(self.content)
        return self.role == "assistant" and FUNCTIONCALL.search(self.content) is not None

    def parts(self) -> list[Turn]:
        """A turn of glaive without its labels and end-of-text marks: an assistant's may hold the result, too."""
        if self.role == "system":
            return [Turn(self.where, self.role, self.message | {"content": SYSTEM.sub("", self.content, count=1)})]
        if self.role == "assistant" and "FUNCTION RESPONSE:" in self.content:
            first, *others = labelled(self.content, "assistant")
            return [Turn(self.where, turn["role"], turn) for turn in (self.message | first, *others)]
        if self.role in ("assistant", "tool") and END in self.content:
            return [Turn(self.where, self.role, self.message | {"content": unmarked(self.content)})]
        return [self]


def turn_of(raw: Any, number: int) -> Turn:
    if not isinstance(raw, dict):
        raise ValueError(f"message {number}: {type(raw).__name__}, not an object - {MEND}")
    said = raw.get("role", raw.get("from"))
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise ValueError(f"message {number}: unknown role {said!r} - use system, user, assistant or tool")
    where = f"message {number} ({said})"
    if not isinstance(raw.get("tool_calls") or [], list):
        raise ValueError(f"{where}: tool_calls is {type(raw['tool_calls']).__name__}, not a list - {MEND}")
    key = "content" if "content" in raw else "value"
    message = {"role": role, "content": _words(raw.get(key), role, where)}
    if message["content"] is None:
        if not raw.get("tool_calls") and not raw.get("function_call"):
            others = ", ".join(name for name in raw if name not in ("role", "from", key)) or "nothing"
            raise ValueError(f"{where}: no content, but {others} - give it a content or leave the row out")
        if key not in raw:
            del message["content"]
    return Turn(where, role, message | {name: raw[name] for name in raw if name not in ("role", "from", key)})


def _words(content: Any, role: str, where: str) -> str | None:
    """Content as text: its parts one after another; a tool's object as JSON."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return "".join(str(text) for text in texts)
    if role in ("tool", "call"):
        return text_of(content)
    raise ValueError(f"{where}: content is {type(content).__name__} and not only text - {MEND}")


def text_of(value: Any) -> str:
    """A value as JSON text. Raises ValueError for what JSON has not."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"half a surrogate pair in {text[:40]!a} - {MEND}") from None
    except TypeError as error:  # a table may hold dates and bytes
        raise ValueError(f"{error} - {MEND}") from None
    return text
