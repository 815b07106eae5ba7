"""Rows for a base: the messages that its chat template reads, and the number of tokens.

`models.rendered_row` renders them. The messages are those of a server: only the keys that have a meaning, arguments as
objects, and a content that is never null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Example
from punie_build.models.encoded_text import encode, inner_tokenizer
from punie_build.models.rendered_row import REASONING_NAMES, RenderedRow
from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer


def template_arguments(example: Example) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """Return (messages, tools) as templates expect them: arguments as objects, no keys without a value."""
    messages = []
    for message in example.messages:
        calls = [
            {
                **({"id": call.id} if call.id is not None else {}),
                "type": "function",
                "function": {"name": call.function.name, "arguments": _arguments(call.function.arguments)},
            }
            for call in message.tool_calls or ()
        ]
        fields = {
            "role": message.role,
            "content": message.content or "",
            "tool_calls": calls or None,
            "tool_call_id": message.tool_call_id,
            "name": message.name,
            **dict.fromkeys(REASONING_NAMES, message.reasoning_content or None),
        }
        messages.append({key: value for key, value in fields.items() if value is not None})
    return messages, list(example.tools) if example.tools else None


def _arguments(arguments: str | dict[str, Any]) -> Any:
    return msgspec.json.decode(arguments or "{}") if isinstance(arguments, str) else arguments


def render(template: ChatTemplate, example: Example) -> RenderedRow:
    """Return a conversation as the base reads it. Raises ValueError if the base's template rejects it."""
    messages, tools = template_arguments(example)
    try:
        return template.render(messages, tools)
    except Exception as error:  # templates are code: they can raise any error
        raise ValueError(f"the chat template of the base rejects it: {error}") from error


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of raw text without a chat template, with the end of text, as mlx-lm trains it."""
    inner = inner_tokenizer(tokenizer)
    ids = list(inner.encode(text))
    return ids if inner.eos_token_id in (None, *ids[-1:]) else [*ids, inner.eos_token_id]


def token_counter(folder: Path, arguments: Mapping[str, Any] | None = None) -> Callable[[Example], int]:
    """Return a function that counts the tokens of an example, as it is trained: of the longest of its texts."""
    tokenizer = load_tokenizer(folder)
    template = ChatTemplate(tokenizer, arguments)

    def count(example: Example) -> int:
        if example.form == "text":
            return len(text_tokens(tokenizer, example.messages[0].content or ""))
        return max(len(encode(tokenizer, text).ids) for text in render(template, example).texts)

    return count


def tokenizer_digest(folder: Path) -> str:
    """Return a digest of the base's files other than weights, which changes with its tokenizer and its template."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", ".txt"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
