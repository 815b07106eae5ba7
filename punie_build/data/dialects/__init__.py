"""Dialects of conversations, and their conversion to the canonical form: OpenAI chat.

Public module: `normalize` (`to_canonical`, `detect`, `NAMES`). The others are its parts: `canonical` (a quick test of
the canonical form), `keys` (keys that change the meaning of a row), `shapes` (formats that no container holds),
`content_blocks`, `python_calls`, `dialogue` (labels in one text), `columns` (mappings of columns, raw
text), `containers` (the keys a conversation is stored under), `turn`, `glaive`, `tool_declarations`, `writer`.
"""
