"""Rows as a base reads them, for `dataset head --base`: the prompt of the server, and what is trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from punie_build.data.chat_template import template_arguments
from punie_build.data.example import Example
from punie_build.models.dropped_parts import DroppedParts
from punie_build.models.rendered_row import NOTES, RenderedText
from punie_build.models.served_template import ChatTemplate
from punie_build.models.tokenizer import load_tokenizer

READ, TRAINED, END = "\x1b[2m", "\x1b[32m", "\x1b[7m"  # dim, green, reverse
MARKS = {READ: ("", ""), TRAINED: ("[[", "]]"), END: ("<<", ">>")}  # where there are no colors


class RenderedView:
    """The view of rows through the chat template of a base."""

    def __init__(self, folder: Path) -> None:
        self.template = ChatTemplate(load_tokenizer(folder))
        self.parts = DroppedParts(self.template)
        self.colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    @property
    def legend(self) -> str:
        """The line that explains the marks."""
        return f"{self._part(READ, 'prompt')} {self._part(TRAINED, 'trained')} {self._part(END, 'end mark')}"

    def lines(self, example: Example) -> Iterator[str]:
        """Yield each text of a conversation, with the border of the prompt and the end mark, then what is dropped."""
        if example.form == "text":
            yield self._part(TRAINED, example.messages[0].content or "")
            return
        messages, tools = template_arguments(example)
        try:
            row = self.template.render(messages, tools)
        except Exception as error:  # templates are code: they can raise any error
            yield f"note: the chat template rejects it: {str(error)[:200]!r}"
            return
        untrained = {number for number, message in enumerate(example.messages) if not message.is_trained}
        for text in row.texts:
            yield self._marked(text, untrained)
        if count := sum(turn.message in untrained for _, turn in row.turns()):
            yield f"note: {count} turn{'s' if count > 1 else ''} of weight 0, not trained"
        for note, count in row.notes.items():
            yield f"note: {count} {NOTES[note]}"
        for part, count in self.parts.of(messages, tools).items():
            yield f"note: {count} {part} dropped by the chat template"

    def _marked(self, text: RenderedText, untrained: Set[int]) -> str:
        parts, done = [], 0
        for turn in text.turns:
            if turn.message in untrained:
                continue
            parts.append(self._part(READ, text.text[done : turn.start]))
            parts.append(self._part(TRAINED, text.text[turn.start : turn.stop]))
            parts.append(self._part(END, text.text[turn.stop : turn.end]))
            done = turn.end
        return "".join([*parts, self._part(READ, text.text[done:])])

    def _part(self, style: str, text: str) -> str:
        text = "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)
        if self.colored:
            return f"{style}{text}\x1b[0m" if text else ""
        before, after = MARKS[style]
        return f"{before}{text}{after}"
