"""Dialects of conversations, and their conversion to the canonical form: OpenAI chat.

Public module: `normalize` (`to_canonical`, `detect`, `NAMES`). The others are its parts: `canonical` (a quick test of
the canonical form), `containers` (the keys a conversation is stored under), `turn`, `glaive`, `tool_declarations`,
`writer`.
"""
