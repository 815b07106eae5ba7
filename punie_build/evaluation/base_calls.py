"""The calls in the completions of a base, also of one whose calls `mlx_lm.server` has no parser for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from punie_build.data.call_formats import HERMES, CallReader, call_reader
from punie_build.evaluation.completion import Completion, answer_text, replace_surrogates
from punie_build.models.architecture import IN_PYTHON, PYTHON_TEMPLATES, read_architecture
from punie_build.models.thoughts import without_thoughts


def reader_of(folder: Path) -> CallReader:
    """Return the reader of the calls of the model in a folder."""
    base = read_architecture(folder)
    if base is None:  # the process that loads the model reports the error
        return CallReader((HERMES,), served=True)
    try:
        config = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError):
        config = {}
    in_python = base.chat_template == IN_PYTHON and config.get("chat_template_type") in (None, *PYTHON_TEMPLATES)
    stated = True if config.get("tool_parser_type") or in_python else None
    return call_reader(base.chat_template, base.special_tokens, stated)


def unserved(reader: CallReader, arm: str) -> str | None:
    """Return a sentence for the user if the server of a model has no parser for its calls, else None."""
    if reader.served:
        return None
    return f"{arm}: mlx_lm.server has no parser for its calls, so they are read from the text ({reader.name})"


def with_calls(completion: Completion, raw: str, reader: CallReader, tools: Any) -> Completion:
    """Return a completion with the calls in the text of its tokens, if the server has no parser for them."""
    if reader.served or completion.calls:
        return completion
    text = answer_text(raw, completion.reasoning)
    turn, content = reader.read(text, tools), reader.read(without_thoughts(completion.content), tools)
    if not turn.calls and not turn.malformed and turn.text == text:
        return completion
    same = (turn.calls or turn.malformed) and (content.calls, content.malformed) == (turn.calls, turn.malformed)
    return structs.replace(
        completion,
        content=content.text if same else turn.text,
        calls=[
            (replace_surrogates(call.name), replace_surrogates(json.dumps(call.arguments, ensure_ascii=False)))
            for call in turn.calls
        ],
    )
