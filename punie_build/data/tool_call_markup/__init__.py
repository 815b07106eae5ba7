"""Calls in text: tool calls and their results, where they were written into the words of a chat.

    <tool_call>{"name": ..., "arguments": {...}}</tool_call>                          hermes: Qwen2.5, Qwen3, Nous
    <tool_call><function=f><parameter=p>...</parameter></function></tool_call>        qwen3-coder
    <tool_call><function=execute_code><parameter=code>...                             code-mode: qwen3-coder with Python
    ```json {"name": ..., "arguments": {...}}```                                      fenced-json
    <functioncall> {"name": ..., "arguments": '{...}'}                                glaive

What stands in backticks or in a code block is talk about markup and stays text; so does a tag in the middle of a sentence
that opens no call. A fenced JSON object is a call when a result answers it, or when it ends the message and either its tool
is declared or the conversation ends there too. What clearly is a call and cannot be read is a ValueError.

To add a markup: its opening tag in `_READERS` of `reading`, with a function from the text and where the tag stands to a `Span`.
"""

from __future__ import annotations

from punie_build.data.tool_call_markup.json_values import (
    Call,
    arguments_of,
    brief,
    calls_of,
    value_at,
    value_of,
)
from punie_build.data.tool_call_markup.parse import Reading, read
from punie_build.data.tool_call_markup.span import MARKUPS, MEND, Around
from punie_build.data.tool_call_markup.tool_results import is_result, results

__all__ = [
    "MARKUPS",
    "MEND",
    "Around",
    "Call",
    "Reading",
    "arguments_of",
    "brief",
    "calls_of",
    "is_result",
    "read",
    "results",
    "value_at",
    "value_of",
]
