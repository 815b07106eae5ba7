"""Dialects of conversations, and their conversion to the canonical form: OpenAI chat.

`normalize` converts a record and detects its dialect. The other modules are its parts: `canonical` (a quick test of
the canonical form), `keys` (keys that change the meaning of a row), `shapes` (formats that no container has),
`content_blocks`, `python_calls`, `dialogue` (labels in one text), `columns` (mappings of columns, raw text),
`containers` (the keys under which a record stores its conversation), `trajectory`, `openhands`, `bfcl`,
`turn`, `glaive`, `tool_declarations`, `writer`.
"""

__all__ = (
    "canonical",
    "columns",
    "keys",
    "normalize",
    "openhands",
    "preference",
    "shapes",
)
