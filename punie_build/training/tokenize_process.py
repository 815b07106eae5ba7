"""The process that tokenizes a dataset for a base. Started by `launch.tokenize`, never imported by it.

    python -m punie_build.training.tokenize_process JOB.json

Uses mlx-lm's own tokenizer, which renders a conversation as mlx-lm's server does: training and inference see the same
prompt.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.example import SPLITS
from punie_build.data.unreadable import UnreadableRow, UnreadableRows
from punie_build.errors import ModelError
from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer
from punie_build.training import token_file
from punie_build.training.launch import TokenizeJob
from punie_build.training.spec import Tokenized
from punie_build.training.token_file import TokenCounts, TokenStats
from punie_build.training.tokenization import Tokenization, TokenizedRow


class SplitTokenizer:
    """The tokenization of one split: its rows, its counts and its problems."""

    def __init__(self, spec: Tokenized, split: str) -> None:
        self.spec, self.split = spec, split
        self.writer, self.counts = token_file.TokenWriter(), TokenCounts()
        self.problems, self.long_rows = UnreadableRows(), list[dict[str, Any]]()

    def add(self, tokenization: Tokenization, number: int, line: bytes) -> None:
        """Tokenize a line of the split's JSONL file."""
        try:
            conversation = tokenization.tokenize(line)
        except Exception as error:  # a template can fail in any way; the message must name the row
            self._refuse(number, f"cannot be rendered with the base's chat template: {error}")
            return
        self.counts.add(conversation.notes, conversation.dropped_parts)
        for row in conversation.rows:
            self.add_row(number, row)

    def add_row(self, number: int, row: TokenizedRow) -> None:
        """Write one text of the row of a line."""
        fitted = self._fit(number, row)
        if fitted is None:
            return
        trained = fitted.trained_tokens
        if not trained:
            self.counts.fully_masked += 1
            return
        self.counts.rows += 1
        self.counts.tokens += len(fitted.ids)
        self.counts.trained_tokens += trained
        self.writer.add(number, fitted)

    def _fit(self, number: int, row: TokenizedRow) -> TokenizedRow | None:
        """Return the row within `max_seq_length`, or None if it is dropped."""
        limit, policy = self.spec.max_seq_length, self.spec.too_long
        length = max(len(text.ids) for text in row.texts)
        self.counts.longest = max(self.counts.longest, length)
        if length <= limit:
            return row
        self.long_rows.append({"split": self.split, "line": number, "tokens": length})
        if policy == "truncate":
            self.counts.truncated += 1
            return row.truncated(limit)
        self.counts.dropped += 1
        if policy == "error":
            advice = 'raise it, or set too_long = "truncate" or "drop"'
            self._refuse(number, f"{length} tokens, max_seq_length is {limit} - {advice}")
        return None

    def _refuse(self, number: int, reason: str) -> None:
        self.problems.add(UnreadableRow(f"{self.split}.jsonl:{number}", reason))


def main(job: TokenizeJob) -> None:
    spec = job.spec
    try:
        template = ChatTemplate(load_tokenizer(Path(job.base)), spec.chat_template_args)
    except ModelError as error:
        raise SystemExit(f"punie: {error}") from None
    tokenization = Tokenization(template, spec.mask, spec.pairs)
    splits = {name: SplitTokenizer(spec, name) for name in SPLITS}
    for name, split in splits.items():
        with Path(job.data, f"{name}.jsonl").open("rb") as file:
            for number, line in enumerate(file, 1):
                split.add(tokenization, number, line)
        split.writer.save(Path(job.out, f"{name}.safetensors"))
    problems = [problem for split in splits.values() for problem in split.problems.lines()]
    if not problems:
        problems = [
            f"{name}: no row has a trained token - "
            + (
                f'{name}.jsonl has no rows: add some, or train with valid = "none" and keep = "last"'
                if name == "valid" and not Path(job.data, f"{name}.jsonl").stat().st_size
                else f"check that an assistant turn lies within max_seq_length = {spec.max_seq_length}"
            )
            for name in (("train", "valid") if spec.valid == "rows" else ("train",))
            if not splits[name].counts.rows
        ]
    if problems:
        raise SystemExit("\n".join(f"punie: {problem}" for problem in problems))
    TokenStats(**{name: split.counts for name, split in splits.items()}).write(Path(job.out))
    long_rows = [json.dumps(row) + "\n" for split in splits.values() for row in split.long_rows]
    Path(job.out, "long.jsonl").write_text("".join(long_rows))


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TokenizeJob))
