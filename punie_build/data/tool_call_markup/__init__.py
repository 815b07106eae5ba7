"""Tool calls and their results that are written as markup in the text of messages.

    <tool_call>{"name": ..., "arguments": {...}}</tool_call>                          hermes: Qwen2.5, Qwen3, Nous
    <tool_call><function=f><parameter=p>...</parameter></function></tool_call>        qwen3-coder
    <tool_call><function=execute_code><parameter=code>...                             code-mode: qwen3-coder with Python
    ```json {"name": ..., "arguments": {...}}```                                      fenced-json
    <functioncall> {"name": ..., "arguments": '{...}'}                                glaive

Markup in backticks or in a code block is quoted and stays text; so does a tag inside a sentence that does not begin a
call. A fenced JSON object is a call if a result follows it, or if it ends the message and either its tool is declared
or the conversation ends there too. A text that clearly is a call, but cannot be parsed, raises ValueError.

To add a markup: its opening tag in `_PARSERS` of `parse`, with a function from the text and the position of the tag
to a `Span`, and its name in `MARKUPS`.
"""

from __future__ import annotations

from punie_build.data.tool_call_markup.json_values import (
    parse_value,
    parse_value_at,
    preview,
    to_arguments,
    to_calls,
)
from punie_build.data.tool_call_markup.parse import ParsedText, parse_text
from punie_build.data.tool_call_markup.span import FIX_HINT, MARKUPS, ParseContext
from punie_build.data.tool_call_markup.tool_results import is_tool_result, split_results

__all__ = [
    "FIX_HINT",
    "MARKUPS",
    "ParseContext",
    "ParsedText",
    "is_tool_result",
    "parse_text",
    "parse_value",
    "parse_value_at",
    "preview",
    "split_results",
    "to_arguments",
    "to_calls",
]
