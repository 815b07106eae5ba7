"""The rows of a dataset, rendered with a base's chat template. Runs in the process `process`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data import audit, jsonl, template_roundtrip
from punie_build.data.audit_checks import AuditedRow
from punie_build.data.dialects import normalize
from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.models.served_template import ChatTemplate
from punie_build.preflight.finding import Level, PreflightFinding
from punie_build.preflight.result import SuitePrompts

MAX_LOCATIONS = 3  # locations in a finding
MARKUP_HINTS = (b"<function", b"<tool_call>", b"```", b"\\u003c")  # a line without one has no tool calls in its text


class RenderedRows:
    """The rows of a data folder, with counts of their rendering.

    `where`: name of the data in findings; `template`: as the server applies it; `suites`: the suites that will
    be evaluated after the training; `mixed`: whether a mix made the rows; `pairs`: whether they are to have two
    answers.
    """

    def __init__(
        self,
        folder: Path,
        where: str,
        template: ChatTemplate,
        suites: Mapping[str, SuitePrompts],
        mixed: bool,
        pairs: bool = False,
    ) -> None:
        self.folder, self.where, self.template, self.suites = folder, where, template, suites
        self.mixed, self.pairs = mixed, pairs
        self.tokenizer = template.tokenizer
        self.rendered = template_roundtrip.RoundTripCounts(template)
        self.call_formats: Counter[str] = Counter()
        self.system_prompts: Counter[str] = Counter()
        self.train = 0
        for row in self.stream():
            self.rendered.check_row(row.example, row.location, row.has_markup)
            if row.split == "train":
                self.train += 1
                if row.example.form != "text":
                    self.system_prompts[_system_prompt(row.example)] += 1
                if any(message.tool_calls for message in row.example.messages):
                    self.call_formats["tool_calls"] += 1
                if row.has_markup:
                    self.call_formats[row.dialect] += 1

    def render(self, messages: Any, tools: Any, prompt: bool) -> str:
        """Return messages as text; `prompt`: with the start of the next assistant message."""
        return self.template.apply(messages, tools, prompt)

    def stream(self, *splits: str) -> Iterator[AuditedRow]:
        """Yield the rows of some splits, by default of all."""
        for split in splits or SPLITS:
            number = 0
            for lines in jsonl.read_blocks(self.folder / f"{split}.jsonl"):
                for line in lines:
                    number += 1
                    example = decode_example(line)
                    may_have_markup = any(hint in line for hint in MARKUP_HINTS)
                    dialect = normalize.detect(msgspec.json.decode(line)) if may_have_markup else "messages"
                    yield AuditedRow(split, f"{split}.jsonl:{number}", example, dialect)

    def finding(
        self,
        check: str,
        level: Level,
        problem: str,
        advice: str,
        count: int,
        total: int,
        locations: Sequence[str] = (),
    ) -> PreflightFinding:
        """Return a finding about `count` of `total` rows or calls."""
        first = f" (first {', '.join(locations[:MAX_LOCATIONS])})" if locations else ""
        share = count / total if total else 1.0
        text = f"{problem}: {count} of {total}{first}"
        return PreflightFinding(check=check, level=level, where=self.where, problem=text, advice=advice, share=share)

    @cached_property
    def audit_findings(self) -> list[audit.AuditFinding]:
        return list(audit.audit(self.stream))


def _system_prompt(example: Example) -> str:
    return next(example.texts("system"), "").strip()
