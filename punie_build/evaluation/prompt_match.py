"""Parity: was an arm trained on what it is asked in? The system prompt, the tools, and how the chat template is told.

An adapter that learnt under one system prompt and is asked under another was not taught what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.evaluation.suite import Suite
from punie_build.runtime.console import message

MIN_MATCH_RATE = 0.5  # the share of training rows that must look as the suite asks, before nobody needs to be told
MAX_ROWS = 2000  # training rows: mixes are shuffled


class PromptMatch(Struct, frozen=True, kw_only=True):
    """How training and asking agree. `template`: `same`, or how it differs; the others are shares of training rows, in [0, 1]."""

    template: str
    system_prompt_in_training: float
    tools_in_training: float
    rows: int

    @message
    def objections(self) -> list[str]:
        """What a reader must know before any number."""
        found = (
            []
            if self.template == "same"
            else [f"the chat template is used otherwise than in training: {self.template}"]
        )
        for name, share in (("system prompt", self.system_prompt_in_training), ("tools", self.tools_in_training)):
            if share < MIN_MATCH_RATE:
                found.append(f"only {share:.0%} of training rows have the {name} that the suite asks with")
        return found


class _Message(Struct):
    role: str
    content: str | None = None


class _Row(Struct):
    messages: list[_Message]
    tools: list[msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Row).decode


def match_prompts(suite: Suite, rows: Iterable[bytes], template: Mapping[str, Any]) -> PromptMatch | None:
    """Hold the first rows of the training split against what a suite sends. None where there are none."""
    systems = {suite.system if case.system is None else case.system for case in suite.cases}
    tooled = {bool(suite.tool_declarations(case)) for case in suite.cases}
    seen = same = with_tools = 0
    for seen, line in enumerate(rows, 1):
        row = _decode(line)
        first = row.messages[0] if row.messages else _Message("")
        same += (first.content or "" if first.role == "system" else "") in systems
        with_tools += bool(row.tools) in tooled
        if seen == MAX_ROWS:
            break
    if not seen:
        return None
    said = f"it is told {dict(template)}" if template else "same"
    return PromptMatch(
        template=said,
        system_prompt_in_training=round(same / seen, 4),
        tools_in_training=round(with_tools / seen, 4),
        rows=seen,
    )
