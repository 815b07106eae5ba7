"""Chat templates: the text and the tokens of an example as a base model reads it.

The tokenizer is the one of transformers (without a model and mlx); code in the base's folder is never executed.
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

REASONING_NAMES = ("reasoning_content", "thinking")  # templates read either (Qwen3, DeepSeek; gpt-oss)


@cache
def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a base. Raises ModelError if that fails, or if it has no chat template."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # PyTorch is not needed
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises many types
        raise ModelError(f"{folder.name}: no tokenizer can be loaded: {str(error).splitlines()[0]}") from None
    if not tokenizer.chat_template:
        raise ModelError(f"{folder.name}: its tokenizer has no chat template - use a chat or instruct model")
    return tokenizer


def template_arguments(example: Example) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """Return (messages, tools) as templates expect them: arguments as objects, no keys without a value."""
    messages = []
    for message in example.messages:
        calls: Any = msgspec.to_builtins(message.tool_calls)
        for call in calls or ():
            call["type"] = "function"
            if isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] = msgspec.json.decode(call["function"]["arguments"])
        fields = {
            "role": message.role,
            "content": message.content,
            "tool_calls": calls,
            "tool_call_id": message.tool_call_id,
            "name": message.name,
            **dict.fromkeys(REASONING_NAMES, message.reasoning_content or None),
        }
        messages.append({key: value for key, value in fields.items() if value is not None})
    return messages, list(example.tools) if example.tools else None


def render(folder: Path, example: Example) -> str:
    """Return the text of the example as the base reads it. Raises ValueError if the base's template rejects it.

    Raw text has no template.
    """
    if example.form == "text":
        return example.messages[0].content or ""
    messages, tools = template_arguments(example)
    try:
        return str(load_tokenizer(folder).apply_chat_template(messages, tools=tools, tokenize=False))
    except Exception as error:  # templates are code: they can raise any error
        raise ValueError(f"the chat template of the base rejects it: {error}") from error


def token_counter(folder: Path) -> Callable[[Example], int]:
    """Return a function that counts the tokens of an example."""
    tokenizer = load_tokenizer(folder)

    def count(example: Example) -> int:
        text = render(folder, example)
        is_raw = example.form == "text"
        return len(text_tokens(tokenizer, text) if is_raw else tokenizer.encode(text, add_special_tokens=False))

    return count


def text_tokens(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of raw text with the end of text, as mlx-lm trains them, also by mlx-lm's wrapper."""
    inner = tokenizer if callable(tokenizer) else tokenizer._tokenizer
    ids = list(inner.encode(text))
    return ids if inner.eos_token_id in (None, *ids[-1:]) else [*ids, inner.eos_token_id]


def tokenizer_digest(folder: Path) -> str:
    """Return a digest of the base's files other than weights, which changes with its tokenizer and its template."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", ".txt"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
