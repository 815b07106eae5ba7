"""Rendering: an example as the text and the tokens that a base sees, by its own chat template.

The tokenizer is transformers' (no model, no mlx); its code is never taken from the base's folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import Example
from punie_build.errors import ModelError


@cache
def tokenizer(folder: Path) -> Any:
    """The tokenizer of a base. Raises ModelError if there is none, or it has no chat template."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch is no news here
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # it raises whatever went wrong inside
        raise ModelError(f"{folder.name}: no tokenizer can be loaded: {str(error).splitlines()[0]}") from None
    if not found.chat_template:
        raise ModelError(f"{folder.name}: its tokenizer has no chat template - use a chat or instruct model")
    return found


def conversation(example: Example) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """(messages, tools) as templates take them: arguments as objects, no keys without a value."""
    messages = []
    for message in example.messages:
        calls: Any = msgspec.to_builtins(message.tool_calls)
        for call in calls or ():
            call["type"] = "function"
            if isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] = msgspec.json.decode(call["function"]["arguments"])
        said = {
            "role": message.role,
            "content": message.content,
            "tool_calls": calls,
            "tool_call_id": message.tool_call_id,
        }
        messages.append({key: value for key, value in said.items() if value is not None})
    return messages, list(example.tools) if example.tools else None


def text(folder: Path, example: Example) -> str:
    """The whole conversation as the base reads it. Raises ValueError if its template refuses it."""
    messages, tools = conversation(example)
    try:
        return str(tokenizer(folder).apply_chat_template(messages, tools=tools, tokenize=False))
    except Exception as error:  # a template can fail in any way
        raise ValueError(f"the chat template of the base refuses it: {error}") from error


def counter(folder: Path) -> Callable[[Example], int]:
    """How many tokens an example is."""
    encode = tokenizer(folder).encode
    return lambda example: len(encode(text(folder, example), add_special_tokens=False))


def identity(folder: Path) -> str:
    """What changes when the base's tokenizer or its template do: a digest of its files but for the weights."""
    found = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", ".txt"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in found)).hexdigest()
