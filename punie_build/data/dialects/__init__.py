"""Dialects of conversations, and their conversion to the canonical form: OpenAI chat.

`normalize` converts a record and detects its dialect. The other modules are its parts: `canonical` (a quick test of
the canonical form), `containers` (the keys under which a record stores its conversation), `turn`, `glaive`,
`tool_declarations`, `writer`.
"""

__all__ = ("normalize",)
