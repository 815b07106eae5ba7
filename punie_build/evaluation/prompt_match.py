"""Comparison of the prompts of training with those of a suite: the system prompt, the tools and the chat template.

If they differ, the scores do not measure the behavior that was trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.evaluation.suite import Suite
from punie_build.runtime.console import message

MIN_MATCH_RATE = 0.5  # fraction of training rows, below which a warning is shown
MAX_ROWS = 2000  # training rows that are compared; the rows of a mix are shuffled


class PromptMatch(Struct, frozen=True, kw_only=True):
    """How training prompts match the suite.

    `template`: `same`, or how the use of the chat template differs. The other fields are fractions of the `rows` that
    were compared.
    """

    template: str
    system_prompt_in_training: float
    tools_in_training: float
    rows: int

    @message
    def warnings(self) -> list[str]:
        """Return a line for each mismatch."""
        lines = []
        if self.template != "same":
            lines.append(f"the chat template is used in another way than in training: {self.template}")
        for name, rate in (("system prompt", self.system_prompt_in_training), ("tools", self.tools_in_training)):
            if rate < MIN_MATCH_RATE:
                lines.append(f"only {rate:.0%} of training rows have the {name} of the suite")
        return lines


class _Message(Struct):
    role: str
    content: str | None = None


class _Row(Struct):
    messages: list[_Message]
    tools: list[msgspec.Raw] | None = None


_decode_row = msgspec.json.Decoder(_Row).decode


def match_prompts(
    suite: Suite, rows: Iterable[bytes], template: Mapping[str, Any], trained: Mapping[str, Any] | None = None
) -> PromptMatch | None:
    """Compare the first rows of the training split with the requests of a suite. Return None if there are no rows.

    `template` and `trained` are the arguments of the chat template in the eval and in training.
    """
    systems = {suite.system_of(case) for case in suite.cases}
    have_tools = {bool(suite.tool_declarations(case)) for case in suite.cases}
    n_rows = n_system = n_tools = 0
    for n_rows, line in enumerate(rows, 1):
        row = _decode_row(line)
        first = row.messages[0] if row.messages else _Message("")
        n_system += (first.content or "" if first.role == "system" else "") in systems
        n_tools += bool(row.tools) in have_tools
        if n_rows == MAX_ROWS:
            break
    if not n_rows:
        return None
    return PromptMatch(
        template="same" if dict(template) == dict(trained or {}) else _difference(template, trained or {}),
        system_prompt_in_training=round(n_system / n_rows, 4),
        tools_in_training=round(n_tools / n_rows, 4),
        rows=n_rows,
    )


def _difference(template: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    return f"with the arguments {dict(template)}" + (f", in training with {dict(trained)}" if trained else "")
