"""Rows: what only the rows of a dataset tell, read as a base will read them. Run in a process of its own (`looking`).

A look is a function from `Rows` to findings. The findings of `auditing` that matter to a training are taken over by `AUDITED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data import audit, chat_template, jsonl, template_roundtrip
from punie_build.data import split as splitting
from punie_build.data.audit import Seen
from punie_build.data.dialects import normalize
from punie_build.data.example import SPLITS, Example, decode_example
from punie_build.data.filters.union import Decontaminate, FilterContext
from punie_build.data.tool_call_markup import MARKUPS
from punie_build.preflight.finding import Finding, Level

SHOWN = 3
READ = 0.99  # of the training calls, the server's own parser must read so many
FEW, HALF = 0.1, 0.5  # shares of calls with words before them: below the first is never, above the second often
SOME = 0.01  # share of rows from which what is merely odd is worth a word
ENOUGH = 10  # calls of a tool, to speak of what is usual in it


class Rows:
    """The rows of a data folder. `suites` maps the suites that will be asked to their system prompt and their prompts; `tokenizer` is
    mlx-lm's, as the server uses it; `mixed`: whether a mix made them."""

    def __init__(self, folder: Path, where: str, tokenizer: Any, suites: dict[str, Any], mixed: bool) -> None:
        self.folder, self.where, self.tokenizer, self.suites, self.mixed = folder, where, tokenizer, suites, mixed
        self.rendered = template_roundtrip.Counts()
        self.markups: Counter[str] = Counter()
        self.systems: Counter[str] = Counter()
        self.train = 0
        for row in self.stream():
            template_roundtrip.look(
                tokenizer, self.render, row.example, row.place, self.rendered, row.dialect in MARKUPS
            )
            if row.side == "train":
                self.train += 1
                self.systems[_system(row.example)] += 1
                if any(message.tool_calls for message in row.example.messages):
                    self.markups["tool_calls"] += 1
                if row.dialect in MARKUPS:
                    self.markups[row.dialect] += 1

    def render(self, messages: Any, tools: Any, prompt: bool) -> str:
        written = self.tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt
        )
        return str(written)

    def stream(self, *sides: str) -> Iterator[Seen]:
        """Every row, of all sides if none is named."""
        for split in sides or SPLITS:
            number = 0
            for lines in jsonl.read_blocks(self.folder / f"{split}.jsonl"):
                for line in lines:
                    number += 1
                    example = decode_example(line)
                    talks = b"<function" in line or b"<tool_call>" in line or b"```" in line or b"\\u003c" in line
                    dialect = normalize.detect(msgspec.json.decode(line)) if talks else "messages"
                    yield Seen(split, f"{split}.jsonl:{number}", example, dialect)

    def finding(
        self, look: str, level: Level, what: str, advice: str, count: int, of: int, places: Sequence[str] = ()
    ) -> Finding:
        at = f" (first {', '.join(places[:SHOWN])})" if places else ""
        share = count / of if of else 1.0
        said = f"{what}: {count} of {of}{at}"
        return Finding(look=look, level=level, where=self.where, what=said, advice=advice, share=share)

    @cached_property
    def audited(self) -> list[audit.Finding]:
        return list(audit.audit(self.stream))


AUDITED: dict[str, tuple[str, Level]] = {  # what an audit finds -> the look it is here
    "end-of-text markers in the text": ("markers", "error"),
    "several system messages": ("systems", "warning"),
    "empty or placeholder tool results": ("placeholders", "warning"),
    "no assistant at the end": ("turns", "warning"),
    "empty assistant messages": ("turns", "warning"),
    "calls that do not fit their tools": ("calls", "warning"),
    "rows that say what another says": ("duplicates", "warning"),
}


def audited(rows: Rows) -> Iterator[Finding]:
    """What is odd for whoever trains on it, whatever the base."""
    for found in rows.audited:
        look, level = AUDITED.get(found.what, ("", "warning"))
        few = level == "warning" and found.count <= SOME * found.of  # a command may well print nothing
        repeated = look == "duplicates" and rows.mixed  # a mix repeats what its weights say, and no more
        if look and not (few or repeated):
            yield rows.finding(look, level, found.what, found.advice, found.count, found.of, found.places)


def template(rows: Rows) -> Iterator[Finding]:
    """The base's chat template takes the rows, shows tools that are declared, and has a form for calls."""
    odd = rows.rendered.odd
    for kind, places in odd.items():
        if kind.startswith("the base's chat template refuses"):
            advice = "make the turns as it wants them: user and assistant in turn, the user first"
            yield rows.finding("template", "error", kind, advice, len(places), rows.rendered.rows, places)
        elif kind == template_roundtrip.FORMLESS:
            advice = "take a base that was trained with tools"
            yield rows.finding("tools", "error", kind, advice, len(places), rows.rendered.rows, places)
    declaring = (row for row in rows.stream() if row.example.tools and template_roundtrip.FORMLESS not in odd)
    for row in islice(declaring, 1):
        messages, tools = chat_template.conversation(row.example)
        try:
            shown = rows.render(messages, tools, False) != rows.render(messages, None, False)
        except Exception:  # a template can fail in any way; it was counted above
            return
        if not shown:
            count = sum(bool(row.example.tools) for row in rows.stream())
            advice = "the model would never see what it may call: take a base whose template knows tools"
            what = "rows declare tools, and the base's chat template does not show them"
            yield rows.finding("tools", "error", what, advice, count, rows.rendered.rows, [row.place])


def parser(rows: Rows) -> Iterator[Finding]:
    """The server's own parser reads the calls as they are."""
    told = rows.rendered
    unread = [
        place for kind, places in told.odd.items() if kind.startswith(template_roundtrip.UNREAD) for place in places
    ]
    if told.calls and told.read < told.calls and template_roundtrip.FORMLESS not in told.odd:
        level: Level = "error" if told.read < READ * told.calls else "warning"
        what = "calls that the server of this base would not read as they are"
        advice = "they would be learnt in a form that nobody reads: let a dataset's dialect turn them into tool_calls"
        yield rows.finding("parser", level, what, advice, told.calls - told.read, told.calls, unread)


def formats(rows: Rows) -> Iterator[Finding]:
    """All calls have one form."""
    if len(rows.markups) > 1:
        said = ", ".join(f"{count} {name}" for name, count in rows.markups.most_common())
        others = rows.markups.total() - max(rows.markups.values())
        advice = "the model would learn several: let a dataset's dialect make one of them"
        yield rows.finding("formats", "error", f"calls in several forms ({said})", advice, others, rows.markups.total())


def markers(rows: Rows) -> Iterator[Finding]:
    """Nothing that is said holds what only the template may write: the tokens that a base was given for markup."""
    start, end = (getattr(rows.tokenizer, name, None) for name in ("tool_call_start", "tool_call_end"))
    general = {"<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|eot_id|>", "</s>"}  # `audited` has these
    special = {*rows.tokenizer.get_added_vocab()} - general
    kept = special - {start, end, "<think>", "</think>"}  # what an assistant may well write
    found: Counter[str] = Counter()
    places: list[str] = []
    for row in rows.stream():
        texts = [*row.example.texts("system", "user", "tool")]
        some = {token for text in texts for token in special if token in text}
        some |= {token for text in row.example.texts("assistant") for token in kept if token in text}
        found.update(some)
        places += [row.place] if some else []
    if places:
        what = f"markup of the base in what is said ({', '.join(token for token, _ in found.most_common(3))})"
        advice = 'they would be read as markup: use the map `strip-markers` with `markers = ["..."]`'
        yield rows.finding("markers", "error", what, advice, len(places), rows.rendered.rows, places)


def systems(rows: Rows) -> Iterator[Finding]:
    """The rows have one system prompt."""
    if len(rows.systems) > 1:
        most = max(rows.systems.values())
        what = f"{len(rows.systems)} system prompts in training, rows without the most frequent"
        advice = "train under the one that will be served: use the map `system-prompt`"
        yield rows.finding("systems", "warning", what, advice, rows.train - most, rows.train)


def eval_system(rows: Rows) -> Iterator[Finding]:
    """The system prompt that a suite asks under occurs in training."""
    for name, suite in rows.suites.items():
        count = rows.systems[suite["system"].strip()]
        if count < HALF * rows.train:
            level: Level = "warning" if count else "error"
            what = f"training rows with the system prompt of the suite {name}"
            advice = "the model would be asked what it was not taught: give both one, the map `system-prompt` sets it"
            found = rows.finding("eval-system", level, what, advice, count, rows.train)
            yield msgspec.structs.replace(found, share=1 - found.share)


def leakage(rows: Rows) -> Iterator[Finding]:
    """What is asked later was not taught: of validation and test in training, of test in validation, of suites in training."""
    for into, held in (("train", ("valid", "test")), ("valid", ("test",))):

        def both(into: str = into, held: Sequence[str] = held) -> Iterator[tuple[str, Example]]:
            for row in rows.stream(into, *held):
                yield "train" if row.side == into else row.side, row.example

        of = sum(row.side != into for row in rows.stream(into, *held))
        found = splitting.find_overlaps(both)
        for how, level in LEAKS.items():
            if some := [leak for leak in found if leak.how == how]:
                places = [f"{leak.split}.jsonl:{leak.row} = {into}.jsonl:{leak.train}" for leak in some]
                what = audit.LEAKS[how].format(*audit.NAMED[into])
                yield rows.finding(
                    "leakage", level, what, "a mix splits anew, so that none is left", len(some), of, places
                )
    for name, suite in rows.suites.items():
        asked = Decontaminate(suites=(name,))
        train = (row.example for row in rows.stream("train"))
        dropped = [*asked.drops(train, FilterContext({name: tuple(suite["prompts"])}))]
        if dropped:
            what = f"training rows that hold a prompt of the suite {name}"
            advice = f'use the filter {{ type = "decontaminate", suites = ["{name}"] }}'
            places = [f"train.jsonl:{index + 1}" for index in dropped]
            yield rows.finding("leakage", "error", what, advice, len(dropped), rows.train, places)


LEAKS: dict[str, Level] = {"same": "error", "template": "warning", "prompt": "warning", "near": "warning"}


def preambles(rows: Rows) -> Iterator[Finding]:
    """Before a call there are words with all tools, or with none."""
    said: dict[str, list[bool]] = {}
    for row in rows.stream("train"):
        for message in row.example.messages:
            for call in (message.tool_calls or ())[:1]:
                said.setdefault(call.function.name, []).append(bool((message.content or "").strip()))
    shares = {tool: sum(some) / len(some) for tool, some in said.items() if len(some) >= ENOUGH}
    often = [tool for tool, share in shares.items() if share > HALF]
    never = [tool for tool, share in shares.items() if share < FEW]
    if often and never:
        least, most = min(never, key=lambda tool: shares[tool]), max(often, key=lambda tool: shares[tool])
        what = f"words before a call of {most} ({shares[most]:.0%}), none before one of {least} ({shares[least]:.0%})"
        advice = "the model would learn tools by whether it speaks first: write words before all calls or before none"
        count = min(sum(len(said[tool]) for tool in some) for some in (often, never))
        yield rows.finding("preambles", "warning", what, advice, count, sum(map(len, said.values())))


LOOKS: tuple[Callable[[Rows], Iterator[Finding]], ...] = (
    template, parser, formats, markers, audited, systems, eval_system, leakage, preambles,
)  # fmt: skip


def look(rows: Rows) -> list[Finding]:
    return [finding for each in LOOKS for finding in each(rows)]


def _system(example: Example) -> str:
    return next(example.texts("system"), "").strip()
