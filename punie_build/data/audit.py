"""Auditing: what is odd about a dataset, counted, with the first places of each. Nothing is changed and nothing dropped.

To look for something else: a function from a row to the words that show it (or "" where there are none to show), None where it
is not so; and its row in `LOOKS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from punie_build.data import split
from punie_build.data.example import Example
from punie_build.data.filters.union import ValidTools
from punie_build.data.template_roundtrip import RoundTripReport
from punie_build.data.tool_call_markup import MARKUPS
from punie_build.data.transforms import StripMarkers

SHOWN = 3  # places of each finding
SAID = 80  # letters of the words that show it
LONG = 2048  # tokens: what training takes by default


class Seen(Struct, frozen=True):
    """A row as it is audited: its side, the place it was read from (file and line), what it says, the dialect it was written
    in, and the words around the first end-of-text marker that reading took away."""

    side: str
    place: str
    example: Example
    dialect: str = "messages"
    taken: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """Something odd: what, in how many rows of how many, what to do, where it is met first, and the words that show it there."""

    what: str
    count: int
    of: int
    advice: str
    places: tuple[str, ...] = ()
    shown: str = ""

    def sentence(self) -> str:
        share = f" ({self.count / self.of:.0%})" if self.of else ""
        at = f" - first {', '.join(self.places)}" if self.places else ""
        of = f" of {self.of} rows{share}" if self.of else ""
        such = f"\n    such as: {self.shown}" if self.shown else ""
        return f"{self.what}: {self.count}{of}{at}{such}\n    {self.advice}"


def _markers(row: Seen) -> str | None:
    return _marked(row.example.texts("system", "user", "assistant", "tool"), StripMarkers().markers)


def _taken(row: Seen) -> str | None:
    return row.taken or None


def _systems(row: Seen) -> str | None:
    second = [message.content or "" for message in row.example.messages if message.role == "system"][1:]
    return _short(second[0]) if second else None


def _placeholder(row: Seen) -> str | None:
    results = (message.content or "" for message in row.example.messages if message.role == "tool")
    return next((repr(text) for text in results if not text.strip() or text.strip().lower() in PLACEHOLDERS), None)


PLACEHOLDERS = {"...", "…", "todo", "result", "<result>", "[result]", "tool result", "placeholder", "n/a", "output"}


def _unanswered(row: Seen) -> str | None:
    last = row.example.messages[-1]
    return None if last.role == "assistant" else _short(f"{last.role}: {last.content or ''}")


def _silent(row: Seen) -> str | None:
    turns = (message for message in row.example.messages if message.role == "assistant")
    return "" if any(not (turn.content or "").strip() and not turn.tool_calls for turn in turns) else None


def _unfit(row: Seen) -> str | None:
    return None if ValidTools().keep(row.example) else ""


def _in_text(row: Seen) -> str | None:
    return "" if row.dialect in MARKUPS else None


LOOKS: tuple[tuple[str, Callable[[Seen], str | None], str], ...] = (
    (
        "calls and results written as text",
        _in_text,
        "a dataset reads them as calls; train on its target, not on this file",
    ),
    ("end-of-text markers in the text", _markers, "they would be learnt as words: use the map `strip-markers`"),
    (
        "end-of-text markers that a dataset leaves out",
        _taken,
        "whoever trains on this file itself learns them as words; train on a dataset's target",
    ),
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


def taken(record: dict[str, Any], row: dict[str, Any]) -> str:
    """The words around the first end-of-text marker of a record that the row made of it no longer has; "" if there is none.

    `<|im_start|>` and `<|im_end|>` are no markers in ChatML, which consists of them.
    """
    own = {key: value for key, value in record.items() if key == "messages" or row.get(key) != value}
    chat_ml = isinstance(text := own.get("text"), str) and "<|im_start|>" in text
    markers = [mark for mark in StripMarkers().markers if not (chat_ml and mark.startswith("<|im_"))]
    kept = "\n".join(_texts(row))
    texts = list(_texts(own))
    gone = [mark for mark in markers if sum(text.count(mark) for text in texts) > kept.count(mark)]
    return _marked(texts, gone) or ""


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _marked(texts: Iterable[str], markers: Sequence[str]) -> str | None:
    """The words around the first marker in the texts."""
    for text in texts:
        if places := [at for mark in markers if (at := text.find(mark)) >= 0]:
            start = max(min(places) - SAID // 2, 0)
            return ("..." if start else "") + _short(text[start:])
    return None


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= SAID else f"{words[: SAID - 3]}..."


def audit(stream: Callable[[], Iterable[Seen]]) -> Iterator[Finding]:
    """The findings of a dataset; the stream is gone through several times. Rows of a side come in one order, each time."""
    counts: Counter[str] = Counter()  # rows of each side
    odd: Counter[str] = Counter()
    first: dict[str, list[tuple[str, str]]] = {what: [] for what, _, _ in LOOKS}  # place and words
    dialects: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    exact: Counter[bytes] = Counter()
    templates: Counter[bytes] = Counter()
    for row in stream():
        counts[row.side] += 1
        for what, look, _ in LOOKS:
            if (words := look(row)) is not None:
                odd[what] += 1
                if len(first[what]) < SHOWN:
                    first[what].append((row.place, words))
        dialects[row.dialect] += 1
        prompts.update({message.content or "" for message in row.example.messages if message.role == "system"})
        text = row.example.text()
        exact[_key(text)] += 1
        templates[_key(text, digits=True)] += 1
    rows = counts.total()
    for what, _, advice in LOOKS:
        if some := first[what]:
            places = tuple(place for place, _ in some)
            yield Finding(what=what, count=odd[what], of=rows, advice=advice, places=places, shown=some[0][1])
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
    yield from _leaked(stream, counts, "train", ("valid", "test"))
    yield from _leaked(stream, counts, "valid", ("test",))


def _key(text: str, digits: bool = False) -> bytes:
    from punie_build.data import shingles

    return shingles.text_hash(text, digits)


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
    "same": "{} rows that {} has word for word",
    "template": "{} rows that {} has but for their numbers",
    "prompt": "{} rows whose question {} has",
    "near": "{} rows that {} nearly has (Jaccard 0.8 of word 5-grams)",
}
NAMED = {"train": ("held-back", "training"), "valid": ("test", "validation")}  # the rows that leak, and into what


def _leaked(
    stream: Callable[[], Iterable[Seen]], counts: Counter[str], into: str, held: Sequence[str]
) -> Iterator[Finding]:
    """What the sides `held` share with the side `into`. A validation set that shares its rows with the test chooses the model
    that the test will like."""
    of = sum(counts[side] for side in held)
    if not of or not counts[into]:
        return

    def both() -> Iterator[tuple[str, Example]]:
        for row in stream():
            if row.side == into or row.side in held:
                yield "train" if row.side == into else row.side, row.example

    found = split.find_overlaps(both)
    some = {how: [leak for leak in found if leak.how == how] for how in LEAKS}
    first = [leak for leaks in some.values() for leak in leaks[:SHOWN]]
    wanted = {(leak.split, leak.row) for leak in first} | {(into, leak.train) for leak in first}
    where = _where(stream, wanted) if wanted else {}
    for how, leaks in some.items():
        if leaks:
            yield Finding(
                what=LEAKS[how].format(*NAMED[into]),
                count=len(leaks),
                of=of,
                advice="a mix splits anew, so that none is left",
                places=tuple(f"{where[leak.split, leak.row]} = {where[into, leak.train]}" for leak in leaks[:SHOWN]),
            )


def _where(stream: Callable[[], Iterable[Seen]], wanted: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The places of the wanted rows: (side, number in it from 1)."""
    counts: Counter[str] = Counter()
    found = {}
    for row in stream():
        counts[row.side] += 1
        if (name := (row.side, counts[row.side])) in wanted:
            found[name] = row.place
    return found


def rendered(report: RoundTripReport, base: str) -> Iterator[Finding]:
    """Yield the findings of a round trip of the calls through a base's chat template and parser."""
    advice = f"trained on {base} they would be learnt in a form that nobody asks for, or not at all"
    for what, problem in report.problems.items():
        yield Finding(what=what, count=problem.count, of=report.rows, advice=advice, places=tuple(problem.places))
    if tokens := report.tokens:
        middle, most = tokens[len(tokens) // 2], tokens[-1]
        long = sum(count > LONG for count in tokens)
        if long:
            yield Finding(
                what=f"rows above {LONG} tokens of {base} (median {middle}, longest {most})",
                count=long,
                of=report.rows,
                advice="training cuts them: raise max_seq_length, or use the filter `max-tokens`",
            )
