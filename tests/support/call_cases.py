"""Texts with calls in each markup: (name, text, detected dialect, remaining text, calls)."""

from __future__ import annotations

from typing import Any

from tests.support.chat_rows import CODE, FENCE, HERMES, ONE, XML

CALLS: list[tuple[str, str, str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("plain", HERMES, "hermes", "", [ONE]),
    ("on one line", '<tool_call>{"arguments": {"path": "a"}, "name": "read"}</tool_call>', "hermes", "", [ONE]),
    ("words around", f"I look.\n\n{HERMES}\nWait.", "hermes", "I look.\n\nWait.", [ONE]),
    ("two", f"{HERMES}\n{HERMES}", "hermes", "", [ONE, ONE]),
    (
        "a list",
        '<tool_call>[{"name": "read", "arguments": {"path": "a"}}, {"name": "ls"}]</tool_call>',
        "hermes",
        "",
        [ONE, ("ls", {})],
    ),
    (
        "arguments as text",
        '<tool_call>{"name": "read", "arguments": "{\\"path\\": \\"a\\"}"}</tool_call>',
        "hermes",
        "",
        [ONE],
    ),
    (
        "Python's quotes",
        "<tool_call>{'name': 'read', 'arguments': {'path': 'it\\'s \"a\"', 'x': [True, None]}}</tool_call>",
        "hermes",
        "",
        [("read", {"path": 'it\'s "a"', "x": [True, None]})],
    ),
    (
        "nested, unicode",
        '<tool_call>{"name": "w", "arguments": {"a": {"b": [1, {"c": "漢字 \\"q\\" \\n"}]}}}</tool_call>',
        "hermes",
        "",
        [("w", {"a": {"b": [1, {"c": '漢字 "q" \n'}]}})],
    ),
    (
        "a line break in a string",
        '<tool_call>{"name": "w", "arguments": {"a": "x\ny"}}</tool_call>',
        "hermes",
        "",
        [("w", {"a": "x\ny"})],
    ),
    (
        "its own tags in a string",
        '<tool_call>{"name": "w", "arguments": {"a": "</tool_call> `<tool_call>"}}</tool_call>',
        "hermes",
        "",
        [("w", {"a": "</tool_call> `<tool_call>"})],
    ),
    (
        "a stray backtick before",
        'The ` key: <tool_call>{"name": "w", "arguments": {"a": "`"}}</tool_call>',
        "hermes",
        "The ` key:",
        [("w", {"a": "`"})],
    ),
    (
        "odd white space",
        ' \n<tool_call>  {"name" : "read",\n\n "arguments": {"path":\t"a"} }  </tool_call>\n ',
        "hermes",
        "",
        [ONE],
    ),
    (
        "a tag in backticks beside a call",
        f"I write `<tool_call>` now.\n{HERMES}",
        "hermes",
        "I write `<tool_call>` now.",
        [ONE],
    ),
    (
        "a backslash that begins no escape",
        '<tool_call>{"name": "w", "arguments": {"a": "\\{ \\\\d \\u12"}}</tool_call>',
        "hermes",
        "",
        [("w", {"a": "\\{ \\d \\u12"})],
    ),
    ("code beside a call", f"```xml\n{HERMES}\n```\n{HERMES}", "hermes", f"```xml\n{HERMES}\n```", [ONE]),
    ("a block that never closes", f"```python\nx = 1\n\n{HERMES}", "hermes", "```python\nx = 1", [ONE]),
    ("plain", XML, "qwen3-coder", "", [ONE]),
    (
        "close together",
        "<tool_call><function=read><parameter=path>a</parameter></function></tool_call>",
        "qwen3-coder",
        "",
        [ONE],
    ),
    ("words around", f"I look.\n{XML}", "qwen3-coder", "I look.", [ONE]),
    ("two", f"{XML}{XML}", "qwen3-coder", "", [ONE, ONE]),
    ("no parameters", "<tool_call>\n<function=ls>\n</function>\n</tool_call>", "qwen3-coder", "", [("ls", {})]),
    (
        "without <tool_call>",
        "<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>",
        "qwen3-coder",
        "",
        [ONE],
    ),
    ("Llama's JSON", 'Now <function=read>{"path": "a"}</function>', "qwen3-coder", "Now", [ONE]),
    (
        "two parameters, blank lines kept",
        (
            "<tool_call><function=w><parameter=a>\n\n x\n\n</parameter>\n<parameter=b>\n1\n"
            "</parameter></function></tool_call>"
        ),
        "qwen3-coder",
        "",
        [("w", {"a": "\n x\n", "b": "1"})],
    ),
    (
        "tag-like values",
        f"<tool_call>\n<function=w>\n<parameter=a>\n{CODE}\n</parameter>\n</function>\n</tool_call>",
        "qwen3-coder",
        "",
        [("w", {"a": CODE})],
    ),
    (
        "windows line ends",
        "<tool_call>\r\n<function=read>\r\n<parameter=path>\r\na\r\n</parameter>\r\n</function>\r\n</tool_call>",
        "qwen3-coder",
        "",
        [ONE],
    ),
    (
        "plain",
        (
            f"I run it.\n\n<tool_call><function=execute_code>\n<parameter=code>\n{CODE}\n</parameter>\n"
            f"</function></tool_call>"
        ),
        "code-mode",
        "I run it.",
        [("execute_code", {"code": CODE})],
    ),
    (
        "bare",
        "<function=execute_code>\nprint({1: '✓'})\n</function>",
        "code-mode",
        "",
        [("execute_code", {"code": "print({1: '✓'})"})],
    ),
    (
        "bare braces",
        "<function=execute_code>{'a', 'b'}</function>",
        "code-mode",
        "",
        [("execute_code", {"code": "{'a', 'b'}"})],
    ),
    ("plain", FENCE, "fenced-json", "", [ONE]),
    (
        "tool for name",
        'I look.\n\n```json\n{"tool": "read", "arguments": {"path": "a"}}\n```\n',
        "fenced-json",
        "I look.",
        [ONE],
    ),
    ("on one line", '```json {"name": "read", "arguments": {"path": "a"}}```', "fenced-json", "", [ONE]),
    ("no language", '```\n{"name": "read", "parameters": {"path": "a"}}\n```', "fenced-json", "", [ONE]),
    ("two", f"{FENCE}\n\n{FENCE}", "fenced-json", "", [ONE, ONE]),
    ("a list", '```json\n[{"name": "read", "arguments": {"path": "a"}}]\n```', "fenced-json", "", [ONE]),
    (
        "one quoted value",
        '```json\n{\n  "name": "w",\n  "arguments": {"p": "a", "t": \'x = 1\\ny = "2"\'}\n}\n```',
        "fenced-json",
        "",
        [("w", {"p": "a", "t": 'x = 1\ny = "2"'})],
    ),
    (
        "a block in a string",
        '```json\n{"name": "w", "arguments": {"t": "```python\nx\n```\n"}}\n```',
        "fenced-json",
        "",
        [("w", {"t": "```python\nx\n```\n"})],
    ),
    ("never closed", '```json\n{"name": "read", "arguments": {"path": "a"}}', "fenced-json", "", [ONE]),
    (
        "an example before it",
        f'So:\n```json\n{{"a": 1}}\n```\nNow:\n{FENCE}',
        "fenced-json",
        'So:\n```json\n{"a": 1}\n```\nNow:',
        [ONE],
    ),
]
