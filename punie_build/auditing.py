"""Auditing: what is odd about a dataset, counted, with the first places of each. Nothing is changed and nothing dropped.

To look for something else: a function from a row to a sentence or None, and its row in `LOOKS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct

from punie_build import splitting
from punie_build.calls_in_text import MARKUPS
from punie_build.examples import Example
from punie_build.filters import ValidTools
from punie_build.maps import StripMarkers

SHOWN = 3
LONG = 2048  # tokens: what training takes by default


class Seen(Struct, frozen=True):
    """A row as it is audited: its side, its line in the side's file, what it says, and the dialect it was written in."""

    side: str
    line: int
    example: Example
    dialect: str = "messages"

    @property
    def place(self) -> str:
        return f"{self.side}:{self.line}"


class Finding(Struct, frozen=True, kw_only=True):
    """Something odd: what, in how many rows of how many, what to do, and where it is met first."""

    what: str
    count: int
    of: int
    advice: str
    places: tuple[str, ...] = ()

    def sentence(self) -> str:
        share = f" ({self.count / self.of:.0%})" if self.of else ""
        at = f" - first {', '.join(self.places)}" if self.places else ""
        of = f" of {self.of} rows{share}" if self.of else ""
        return f"{self.what}: {self.count}{of}{at}\n    {self.advice}"


def _markers(row: Seen) -> bool:
    markers = StripMarkers().markers
    return any(marker in text for text in row.example.said("system", "user", "assistant", "tool") for marker in markers)


def _systems(row: Seen) -> bool:
    return sum(message.role == "system" for message in row.example.messages) > 1


def _placeholder(row: Seen) -> bool:
    return any(
        not (text := (message.content or "").strip()) or text.lower() in PLACEHOLDERS
        for message in row.example.messages
        if message.role == "tool"
    )


PLACEHOLDERS = {"...", "…", "todo", "result", "<result>", "[result]", "tool result", "placeholder", "n/a", "output"}


def _unanswered(row: Seen) -> bool:
    return row.example.messages[-1].role != "assistant"


def _silent(row: Seen) -> bool:
    return any(
        m.role == "assistant" and not (m.content or "").strip() and not m.tool_calls for m in row.example.messages
    )


def _unfit(row: Seen) -> bool:
    return not ValidTools().keep(row.example)


def _in_text(row: Seen) -> bool:
    return row.dialect in MARKUPS


LOOKS: tuple[tuple[str, Callable[[Seen], bool], str], ...] = (
    (
        "calls and results written as text",
        _in_text,
        "a dataset reads them as calls; train on its target, not on this file",
    ),
    ("end-of-text markers in the text", _markers, "they would be learnt as words: use the map `strip-markers`"),
    ("several system messages", _systems, "most chat templates take one: use the map `system-prompt`"),
    (
        "empty or placeholder tool results",
        _placeholder,
        "the model learns that results say nothing: leave these rows out",
    ),
    (
        "no assistant at the end",
        _unanswered,
        "there is nothing to learn at the end: use the filter `ends-with-assistant`",
    ),
    ("empty assistant messages", _silent, "the model learns silence: use the filter `content-quality`"),
    ("calls that do not fit their tools", _unfit, "use the filter `valid-tools`, or mend the declarations"),
)


def audit(stream: Callable[[], Iterable[Seen]]) -> Iterator[Finding]:
    """The findings of a dataset; the stream is gone through three times."""
    rows = 0
    held = 0
    counts: dict[str, list[str]] = {what: [] for what, _, _ in LOOKS}
    dialects: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    exact: Counter[bytes] = Counter()
    templates: Counter[bytes] = Counter()
    for row in stream():
        rows += 1
        held += row.side != "train"
        for what, look, _ in LOOKS:
            if look(row):
                counts[what].append(row.place)
        dialects[row.dialect] += 1
        prompts.update({message.content or "" for message in row.example.messages if message.role == "system"})
        text = row.example.text()
        exact[_key(text)] += 1
        templates[_key(text, digits=True)] += 1
    for what, _, advice in LOOKS:
        if counts[what]:
            yield Finding(
                what=what, count=len(counts[what]), of=rows, advice=advice, places=tuple(counts[what][:SHOWN])
            )
    if len(dialects) > 1:
        said = ", ".join(f"{name} {count}" for name, count in dialects.most_common())
        yield Finding(
            what=f"mixed dialects ({said})",
            count=rows - max(dialects.values()),
            of=rows,
            advice="a dataset makes one of them; a model trained on several answers in several",
        )
    if len(prompts) > 1:
        yield Finding(
            what=f"{len(prompts)} different system prompts",
            count=rows,
            of=rows,
            advice="train under the prompt that will be served: use the map `system-prompt`",
        )
    yield from _repeated(rows, exact, templates)
    yield from _leaked(stream, held)


def _key(text: str, digits: bool = False) -> bytes:
    from punie_build import neardup

    return neardup.key(text, digits)


def _repeated(rows: int, exact: Counter[bytes], templates: Counter[bytes]) -> Iterator[Finding]:
    if again := rows - len(exact):
        yield Finding(
            what="rows that say what another says", count=again, of=rows, advice="use the filter `exact-dedup`"
        )
    if len(exact) - len(templates) > 0.1 * rows:
        yield Finding(
            what=f"templates: {len(templates)} texts but for their numbers",
            count=rows - len(templates),
            of=rows,
            advice="more rows of a template teach little: use the filter `exact-dedup` with digits = true",
        )


LEAKS = {
    "same": "held-back rows that training has word for word",
    "template": "held-back rows that training has but for their numbers",
    "prompt": "held-back rows whose question training has",
    "near": "held-back rows that training nearly has (Jaccard 0.8 of word 5-grams)",
}


def _leaked(stream: Callable[[], Iterable[Seen]], held: int) -> Iterator[Finding]:
    found = splitting.leaks(lambda: ((row.side, row.example) for row in stream())) if held else []
    for how, what in LEAKS.items():
        some = [leak for leak in found if leak.how == how]
        if some:
            places = tuple(f"{leak.side}:{leak.row} = train:{leak.train}" for leak in some[:SHOWN])
            yield Finding(
                what=what, count=len(some), of=held, advice="a mix splits anew, so that none is left", places=places
            )


def rendered(told: dict[str, Any], base: str) -> Iterator[Finding]:
    """Findings of `roundtrip`: what a base's template and parser make of the rows."""
    advice = f"trained on {base} they would be learnt in a form that nobody asks for, or not at all"
    for what, some in told["odd"].items():
        yield Finding(what=what, count=some["count"], of=told["rows"], advice=advice, places=tuple(some["places"]))
    if tokens := told["tokens"]:
        middle, most = tokens[len(tokens) // 2], tokens[-1]
        long = sum(count > LONG for count in tokens)
        if long:
            yield Finding(
                what=f"rows above {LONG} tokens of {base} (median {middle}, longest {most})",
                count=long,
                of=told["rows"],
                advice="training cuts them: raise max_seq_length, or use the filter `max-tokens`",
            )
