"""Tokenizing: the process that turns a dataset into the tokens of a base. Run by a step, never imported by it.

    python -m punie_build.training.tokenize_process JOB.json

With mlx-lm's own tokenizer, as its server renders a conversation: what is learnt is what will be read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from mlx_lm.tokenizer_utils import load

from punie_build.data.example import SPLITS
from punie_build.training import token_file
from punie_build.training.spec import Tokenized
from punie_build.training.token_file import TokenCounts, TokenStats
from punie_build.training.tokenization import Tokens, tokenize

SHOWN = 20


class Side:
    """One split on its way into tokens: what is kept, what is counted, what is wrong."""

    def __init__(self, spec: Tokenized, name: str) -> None:
        self.spec, self.name = spec, name
        self.kept, self.problems, self.long = token_file.Writer(), list[str](), list[dict[str, Any]]()
        self.counts = TokenCounts()

    def add(self, tokenizer: Any, number: int, line: bytes) -> None:
        try:
            row = tokenize(tokenizer, json.loads(line), self.spec.mask)
        except Exception as error:  # a template can fail in any way; the row must be named
            self.problems.append(
                f"{self.name}.jsonl:{number}: cannot be rendered with the base's chat template: {error}"
            )
            return
        fitted = self.fit(number, row)
        if fitted is None:
            return
        if not any(fitted.learnt[1:]):  # there is nothing before the first token to tell it from
            self.counts.fully_masked += 1
            return
        self.counts.rows += 1
        self.counts.tokens += len(fitted.ids)
        self.counts.trained_tokens += sum(fitted.learnt[1:])
        self.kept.add(number, fitted)

    def fit(self, number: int, row: Tokens) -> Tokens | None:
        """The row within `max_seq_length`, if it may be there."""
        most, policy = self.spec.max_seq_length, self.spec.too_long
        self.counts.longest = max(self.counts.longest, len(row.ids))
        if len(row.ids) <= most:
            return row
        self.long.append({"split": self.name, "line": number, "tokens": len(row.ids)})
        if policy == "truncate":
            self.counts.truncated += 1
        else:
            self.counts.dropped += 1
        if policy == "error":
            self.problems.append(
                f'{self.name}.jsonl:{number}: {len(row.ids)} tokens, max_seq_length is {most} - raise it, or set too_long = "truncate" or "drop"'
            )
        return row.first(most) if policy == "truncate" else None


def main(job: dict[str, Any]) -> None:
    base, data, out = Path(job["base"]), Path(job["data"]), Path(job["out"])
    spec = msgspec.convert(job["spec"], Tokenized)
    tokenizer: Any = load(base)
    if not tokenizer.has_chat_template:
        raise SystemExit(f"punie: {spec.base}: its tokenizer has no chat template - use a chat or instruct model")
    sides = {name: Side(spec, name) for name in SPLITS}
    for name, side in sides.items():
        with (data / f"{name}.jsonl").open("rb") as file:
            for number, line in enumerate(file, 1):
                side.add(tokenizer, number, line)
        side.kept.save(out / f"{name}.safetensors")
    problems = [problem for side in sides.values() for problem in side.problems]
    if not problems:
        problems = [
            f"{name}: no row has a token to learn - does any assistant answer, within max_seq_length = {spec.max_seq_length}?"
            for name in ("train", "valid")
            if not sides[name].counts.rows
        ]
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise SystemExit("\n".join(f"punie: {problem}" for problem in problems[:SHOWN] + more))
    TokenStats(**{name: side.counts for name, side in sides.items()}).write(out)
    long = [json.dumps(row) + "\n" for side in sides.values() for row in side.long]
    (out / "long.jsonl").write_text("".join(long))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
