"""Synthetic and hand-authored training conversations.

`conversations` and `declarations` build a conversation and its tools (users import them from
`punie_build.conversations`); `editor_tools` declares the tools of an editor; `generator` is the source `sample`,
`hand_authored` the source `hand-authored`; `vocabulary` has their words.
"""

__all__ = ("conversations", "declarations", "editor_tools", "generator", "hand_authored")
