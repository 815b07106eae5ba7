"""Synthetic and hand-authored training conversations.

Public modules: `conversations` (build a conversation; users import `punie_build.conversations`), `editor_tools` (tool
declarations), `generator` (the source `sample`) and `hand_authored` (the source `hand-authored`).
"""
