"""The parser of calls of a base, made safe: mlx_lm.server ends a request on calls that its parsers let pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Parser = Callable[[str, Any], Any]  # (text of a call, declared tools) -> a call or a list of calls


def safe(parser: Parser) -> Parser:
    """Return a parser of mlx-lm whose calls all have a name and arguments, and that raises no error but ValueError.

    A call without arguments has empty ones. The server drops the text of a call with ValueError, and answers.
    """

    def parse(text: str, tools: Any) -> list[dict[str, Any]]:
        try:
            parsed = parser(text, tools)
        except Exception as error:  # parsers can raise any error
            raise ValueError(f"{type(error).__name__}: {error}") from error
        return [_checked(call) for call in (parsed if isinstance(parsed, list) else [parsed])]

    return parse


def _checked(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError(f"not a call with a name: {str(call)[:80]}")
    arguments = call.get("arguments")
    return call | {"arguments": {} if arguments is None else arguments}


def make_safe(tokenizer: Any) -> None:
    """Replace the parser of a tokenizer of mlx-lm, if it has one."""
    if tokenizer.tool_parser:
        tokenizer._tool_parser = safe(tokenizer.tool_parser)
