"""The audit's checks of single rows.

To add a check: a function that returns a sample of the problem in a row ("" without a sample), or None if the row has
no problem; and its row in `CHECKS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from punie_build.data.example import Example
from punie_build.data.filters.union import ValidTools
from punie_build.data.row_remarks import has_empty_answer
from punie_build.data.tool_call_markup.span import MARKUPS
from punie_build.data.transforms import StripMarkers

MAX_SAMPLE = 80  # characters of a sample


class AuditedRow(Struct, frozen=True):
    """A row of a dataset: its split, its location (file and line), and its content.

    `dialect` is the format in which the source wrote it. `removed_marker` is the text around the first end-of-text
    marker that the reader removed, "" if it removed none.
    """

    split: str
    location: str
    example: Example
    dialect: str = "messages"
    removed_marker: str = ""

    @property
    def has_markup(self) -> bool:
        """Whether the source wrote tool calls as markup in texts."""
        return self.dialect in MARKUPS


def _text_markers(row: AuditedRow) -> str | None:
    return _around_marker(row.example.visible_texts(), StripMarkers().markers)


CALL_MARKERS = re.compile(  # of calls of other models, which the reader leaves in a text
    r"\[TOOL_CALLS\]|<\|python_tag\|>|</?function_calls?>|</?tool_calls?>|<\|tool_calls?_begin\|>|<\|action_start\|>"
    r"|^Action Input:|<\uff5ctool|<\|channel\|>commentary",
    re.MULTILINE,
)


def _other_call_markers(row: AuditedRow) -> str | None:
    for text in row.example.texts("assistant"):
        if match := CALL_MARKERS.search(text):
            return _shorten(text[max(match.start() - MAX_SAMPLE // 2, 0) :])
    return None


def _removed_markers(row: AuditedRow) -> str | None:
    return row.removed_marker or None


def _several_systems(row: AuditedRow) -> str | None:
    further = [message.content or "" for message in row.example.messages if message.role == "system"][1:]
    return _shorten(further[0]) if further else None


PLACEHOLDERS = {"...", "…", "todo", "result", "<result>", "[result]", "tool result", "placeholder", "n/a", "output"}


def _placeholder_result(row: AuditedRow) -> str | None:
    results = (message.content or "" for message in row.example.messages if message.role == "tool")
    return next((repr(text) for text in results if not text.strip() or text.strip().lower() in PLACEHOLDERS), None)


def _no_final_answer(row: AuditedRow) -> str | None:
    last = row.example.messages[-1]
    return None if last.role == "assistant" else _shorten(f"{last.role}: {last.content or ''}")


def _no_question(row: AuditedRow) -> str | None:
    return (
        None
        if row.example.has_question() or row.example.form == "text"
        else _shorten(next(row.example.texts("assistant"), ""))
    )


def _empty_answer(row: AuditedRow) -> str | None:
    return "" if has_empty_answer(row.example) else None


def _invalid_calls(row: AuditedRow) -> str | None:
    return None if ValidTools().keep(row.example) else ""


def _undeclared_arguments(row: AuditedRow) -> str | None:
    strict = ValidTools(unknown=False).keep(row.example)
    return None if strict or not ValidTools().keep(row.example) else ""


def _calls_as_text(row: AuditedRow) -> str | None:
    return "" if row.has_markup else None


CHECKS: tuple[tuple[str, Callable[[AuditedRow], str | None], str], ...] = (  # (problem, check, advice)
    (
        "calls and results written as text",
        _calls_as_text,
        "a dataset converts them to structured calls; train on its target, not on this file",
    ),
    (
        "markers of calls in an answer",
        _other_call_markers,
        "the model would learn a call of another model as words: write it under `tool_calls`",
    ),
    (
        "end-of-text markers in the text",
        _text_markers,
        "the model would learn them as words: use the map `strip-markers`",
    ),
    (
        "end-of-text markers that a dataset removes",
        _removed_markers,
        "a training on this file would learn them as words; train on a dataset's target",
    ),
    (
        "several system messages",
        _several_systems,
        "most chat templates accept one: use the map `system-prompt`",
    ),
    (
        "empty or placeholder tool results",
        _placeholder_result,
        "the model would learn that results have no content: remove these rows",
    ),
    (
        "no assistant at the end",
        _no_final_answer,
        "the last message is not trained on: use the filter `ends-with-assistant`",
    ),
    (
        "answers without a question",
        _no_question,
        'raw text is learned as an answer within the chat template: give the dataset form = "text"',
    ),
    (
        "empty assistant messages",
        _empty_answer,
        "the model would learn empty answers: use the filter `content-quality`",
    ),
    (
        "calls that do not fit their tools",
        _invalid_calls,
        "use the filter `valid-tools`, or correct the declarations",
    ),
    (
        "calls with arguments that their tools do not declare",
        _undeclared_arguments,
        "JSON Schema allows them, and so does the filter `valid-tools`, unless it has unknown = false",
    ),
)


def removed_marker(record: dict[str, Any], row: dict[str, Any]) -> str:
    """Return the text around the first end-of-text marker that a record has and the row read from it has not, else "".

    `<|im_start|>` and `<|im_end|>` in ChatML are not markers: they are its syntax.
    """
    differing = {key: value for key, value in record.items() if key == "messages" or row.get(key) != value}
    is_chatml = isinstance(text := differing.get("text"), str) and "<|im_start|>" in text
    markers = [marker for marker in StripMarkers().markers if not (is_chatml and marker.startswith("<|im_"))]
    row_text = "\n".join(_texts(row))
    texts = list(_texts(differing))
    removed = [marker for marker in markers if sum(text.count(marker) for text in texts) > row_text.count(marker)]
    return _around_marker(texts, removed) or ""


def _texts(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _around_marker(texts: Iterable[str], markers: Sequence[str]) -> str | None:
    """Return the text around the first marker in the texts."""
    for text in texts:
        if offsets := [offset for marker in markers if (offset := text.find(marker)) >= 0]:
            start = max(min(offsets) - MAX_SAMPLE // 2, 0)
            return ("..." if start else "") + _shorten(text[start:])
    return None


def _shorten(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= MAX_SAMPLE else f"{words[: MAX_SAMPLE - 3]}..."
