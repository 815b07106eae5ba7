"""Checks of the rows of a dataset, rendered with a base's chat template. Run in the process `process`.

A check is a function from `RenderedRows` to findings. `AUDIT_CHECKS` maps the findings of the data audit that matter to
a training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from punie_build.data import audit, template_roundtrip
from punie_build.data import split as splitting
from punie_build.data.answer_pair import answer_pair
from punie_build.data.call_formats import HERMES
from punie_build.data.chat_template import template_arguments
from punie_build.data.example import Example
from punie_build.data.filters.union import Decontaminate, FilterContext
from punie_build.models.dropped_parts import DROPPED
from punie_build.models.rendered_row import NOTES
from punie_build.preflight.finding import Level, PreflightFinding
from punie_build.preflight.rendered_rows import RenderedRows

Findings = Iterator[PreflightFinding]

MIN_READ = 0.99  # share of the training calls that the server's parser must read
RARE, COMMON = 0.1, 0.5  # shares of calls with text before them: below the first is never, above the second often
REPORTED_SHARE = 0.01  # share of rows from which a warning of the audit is reported
MIN_CALLS = 10  # calls of a tool from which it has a usual form

AUDIT_CHECKS: dict[str, tuple[str, Level]] = {  # problem in the audit -> check here
    "end-of-text markers in the text": ("markers", "error"),
    "several system messages": ("systems", "warning"),
    "empty or placeholder tool results": ("placeholders", "warning"),
    "no assistant at the end": ("turns", "warning"),
    "empty assistant messages": ("turns", "warning"),
    "calls that do not fit their tools": ("calls", "warning"),
    "exact duplicates of other rows": ("duplicates", "warning"),
}


def audited(rows: RenderedRows) -> Findings:
    """Report problems that do not depend on the base."""
    for finding in rows.audit_findings:
        check, level = AUDIT_CHECKS.get(finding.problem, ("", "warning"))
        rare = level == "warning" and finding.count <= REPORTED_SHARE * finding.total  # some commands print nothing
        intended = check == "duplicates" and rows.mixed  # a mix repeats rows by its weights only
        if check and not (rare or intended):
            yield rows.finding(
                check, level, finding.problem, finding.advice, finding.count, finding.total, finding.locations
            )


def template(rows: RenderedRows) -> Findings:
    """Check that the base's chat template accepts the rows, renders declared tools, and can render calls."""
    problems, total = rows.rendered.problems, rows.rendered.rows
    for problem, locations in problems.items():
        if problem.startswith(template_roundtrip.TEMPLATE_REJECTS):
            advice = "make the messages alternate between user and assistant, the user first"
            yield rows.finding("template", "error", problem, advice, len(locations), total, locations)
        elif problem == template_roundtrip.NO_CALL_FORMAT:
            advice = "use a base whose chat template writes calls"
            yield rows.finding("tools", "error", problem, advice, len(locations), total, locations)
    with_tools = (
        row for row in rows.stream() if row.example.tools and template_roundtrip.NO_CALL_FORMAT not in problems
    )
    for row in islice(with_tools, 1):
        messages, tools = template_arguments(row.example)
        try:
            renders_tools = rows.render(messages, tools, False) != rows.render(messages, None, False)
        except Exception:  # a template can fail in any way; it was counted above
            return
        if not renders_tools:
            count = sum(bool(row.example.tools) for row in rows.stream())
            advice = "the model would never see its tools: use a base whose template renders them"
            problem = "rows declare tools, and the base's chat template does not render them"
            yield rows.finding("tools", "error", problem, advice, count, total, [row.location])


def lost(rows: RenderedRows) -> Findings:
    """Check that no part of a row is dropped by the base's chat template: an error if the task is another without it.

    Neither the training nor the server sees such a part.
    """
    for part, locations in rows.rendered.dropped_parts.items():
        level: Level = "error" if DROPPED[part] else "warning"
        advice = "the base never sees it, in training or served: remove it from the rows, or use another base"
        problem = f"rows with {'an' if part[0] in 'aeiou' else 'a'} {part} that the base's chat template drops"
        yield rows.finding("lost", level, problem, advice, len(locations), rows.rendered.rows, locations)


def turns_as_served(rows: RenderedRows) -> Findings:
    """Report turns that are trained otherwise than they are written, because a server asks for them otherwise."""
    switch = (
        "to train and ask without thoughts, set chat_template_args = { enable_thinking = false }"
        if "enable_thinking" in str(getattr(rows.tokenizer, "chat_template", ""))
        else "give the rows reasoning_content, or use a base that does not think"
    )
    suggestions: dict[str, tuple[str, Level, str]] = {
        "empty_thoughts": ("thoughts", "warning", switch),
        "unused_thoughts": ("thoughts", "warning", "remove the thoughts, or ask for them with chat_template_args"),
        "bare_turns": ("thoughts", "warning", switch),
        "endless_turns": ("ends", "error", "the adapter would never stop: set eos_token_id in the base's config.json"),
        "other_call_forms": ("tools", "warning", "served, a conversation cannot go on after a call"),
    }
    for note, (check, level, advice) in suggestions.items():
        if locations := rows.rendered.notes.get(note):
            problem = f"rows with {NOTES[note]}" if not NOTES[note].startswith("rows ") else NOTES[note]
            yield rows.finding(check, level, problem, advice, len(locations), rows.rendered.rows, locations)


def parser(rows: RenderedRows) -> Findings:
    """Check that the calls are read back unchanged: by the server's own parser, or here where it has none."""
    counts = rows.rendered
    if not counts.calling_turns or template_roundtrip.NO_CALL_FORMAT in counts.problems:
        return
    problems = (template_roundtrip.SERVER, template_roundtrip.READER)
    unread = [where for problem, places in counts.problems.items() if problem.startswith(problems) for where in places]
    missing, total = counts.calling_turns - counts.parsed_turns, counts.calling_turns
    if missing:
        level: Level = "error" if counts.parsed_turns < MIN_READ * total else "warning"
        reader = "the server of this base" if counts.reader.served else "evals of this base"
        advice = f"the model would learn a form that {reader} cannot read: " + (
            "convert them to tool_calls with a dialect" if counts.writes_calls else "use a base that writes calls"
        )
        if rows.call_formats.keys() == {"tool_calls"}:  # which no dialect can improve
            advice = "declare the types of their arguments, use another base, or remove the rows with these calls"
        yield rows.finding(
            "parser", level, f"calls that {reader} would not read as they are", advice, missing, total, unread
        )
    elif not counts.reader.served:
        problem = f"calls that mlx_lm.server has no parser for, and answers with as text ({counts.reader.name})"
        advice = "evals read them from the text; another client of the server has to do the same"
        yield rows.finding("served", "warning", problem, advice, total, total)


def preference(rows: RenderedRows) -> Findings:
    """Check that no row is preference data, or that each is a pair where a loss compares answers."""
    total, places = rows.rendered.rows, dict[str, list[str]]()
    for row in rows.stream():
        if rows.pairs:
            try:
                answer_pair(row.example)
            except ValueError as error:
                places.setdefault(str(error), []).append(row.location)
        elif row.example.form == "preference":
            advice = (
                "an adapter trains on one answer per row: name the wanted answer with `columns` of a dataset, "
                'or set loss = "dpo" or "orpo"'
            )
            places.setdefault(f"rows of preference data - {advice}", []).append(row.location)
    for reason, locations in places.items():
        problem, _, advice = reason.partition(" - ")
        yield rows.finding("preference", "error", problem, advice, len(locations), total, locations)


def formats(rows: RenderedRows) -> Findings:
    """Check that all calls have one form."""
    if len(rows.call_formats) > 1:
        names = ", ".join(f"{count} {name}" for name, count in rows.call_formats.most_common())
        total = rows.call_formats.total()
        others = total - max(rows.call_formats.values())
        advice = "the model would learn several: convert them to one with a dataset's dialect"
        yield rows.finding("formats", "error", f"calls in several forms ({names})", advice, others, total)


def markers(rows: RenderedRows) -> Findings:
    """Check that no text contains the base's special tokens, which only the template may write."""
    start, end = (getattr(rows.tokenizer, name, None) for name in ("tool_call_start", "tool_call_end"))
    in_audit = {"<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|eot_id|>", "</s>"}
    special = {*rows.tokenizer.get_added_vocab()} - in_audit
    read = {"<tool_call>", "</tool_call>"} if HERMES in rows.rendered.reader.formats else set[str]()
    in_assistant = special - {start, end, "<think>", "</think>"} - read  # an assistant may write the others
    counts: Counter[str] = Counter()
    locations: list[str] = []
    for row in rows.stream():
        example = row.example
        texts = [*example.texts("system", "user", "tool"), *example.structured_texts("system")]
        tokens = {token for text in texts for token in special if token in text}
        texts = [*example.texts("assistant"), *example.structured_texts("assistant")]
        tokens |= {token for text in texts for token in in_assistant if token in text}
        counts.update(tokens)
        locations += [row.location] if tokens else []
    if locations:
        problem = f"special tokens of the base in texts ({', '.join(token for token, _ in counts.most_common(3))})"
        advice = 'the tokenizer would read them as markup: use the map `strip-markers` with `markers = ["..."]`'
        yield rows.finding("markers", "error", problem, advice, len(locations), rows.rendered.rows, locations)


def systems(rows: RenderedRows) -> Findings:
    """Check that the training rows have one system prompt."""
    if len(rows.system_prompts) > 1:
        most, total = max(rows.system_prompts.values()), rows.system_prompts.total()
        problem = f"{len(rows.system_prompts)} system prompts in training, rows without the most frequent"
        advice = "train with the prompt that will be served: use the map `system-prompt`"
        yield rows.finding("systems", "warning", problem, advice, total - most, total)


def eval_system(rows: RenderedRows) -> Findings:
    """Check that the system prompt of each suite occurs in training."""
    total = rows.system_prompts.total()
    for name, suite in rows.suites.items():
        count = rows.system_prompts[suite.system.strip()]
        if count < COMMON * total:
            level: Level = "warning" if count else "error"
            problem = f"training rows with the system prompt of the suite {name}"
            advice = "the eval would not match the training: give both one prompt, with the map `system-prompt`"
            finding = rows.finding("eval-system", level, problem, advice, count, total)
            yield msgspec.structs.replace(finding, share=1 - finding.share)


OVERLAP_LEVELS: dict[str, Level] = {"same": "error", "template": "warning", "prompt": "warning", "near": "warning"}


def leakage(rows: RenderedRows) -> Findings:
    """Check that no row of a later split is in an earlier one, and that no prompt of a suite is in training."""
    for into, held_out in (("train", ("valid", "test")), ("valid", ("test",))):
        yield from _split_overlaps(rows, into, held_out)
    for name, suite in rows.suites.items():
        train = (row.example for row in rows.stream("train"))
        dropped = [*Decontaminate(suites=(name,)).drops(train, FilterContext({name: suite.prompts}))]
        if dropped:
            problem = f"training rows that contain a prompt of the suite {name}"
            advice = f'use the filter {{ type = "decontaminate", suites = ["{name}"] }}'
            locations = [f"train.jsonl:{index + 1}" for index in dropped]
            yield rows.finding("leakage", "error", problem, advice, len(dropped), rows.train, locations)


def _split_overlaps(rows: RenderedRows, into: str, held_out: Sequence[str]) -> Findings:
    """Yield a finding for each kind of overlap between the split `into` and held-out ones."""

    def stream() -> Iterator[tuple[str, Example]]:
        for row in rows.stream(into, *held_out):
            yield "train" if row.split == into else row.split, row.example

    total = sum(row.split != into for row in rows.stream(into, *held_out))
    overlaps = splitting.find_overlaps(stream)
    for how, level in OVERLAP_LEVELS.items():
        if matches := [overlap for overlap in overlaps if overlap.how == how]:
            locations = [f"{item.split}.jsonl:{item.row} = {into}.jsonl:{item.train}" for item in matches]
            problem = audit.OVERLAP_PROBLEMS[how].format(*audit.OVERLAP_NAMES[into])
            advice = "split the data again with a mix, which keeps copies in one split"
            yield rows.finding("leakage", level, problem, advice, len(matches), total, locations)


def preambles(rows: RenderedRows) -> Findings:
    """Check that either all tools or none have text before their calls."""
    has_text: dict[str, list[bool]] = {}
    for row in rows.stream("train"):
        for message in row.example.messages:
            for call in (message.tool_calls or ())[:1]:
                has_text.setdefault(call.function.name, []).append(bool((message.content or "").strip()))
    shares = {tool: sum(calls) / len(calls) for tool, calls in has_text.items() if len(calls) >= MIN_CALLS}
    often = [tool for tool, share in shares.items() if share > COMMON]
    never = [tool for tool, share in shares.items() if share < RARE]
    if often and never:
        least, most = min(never, key=lambda tool: shares[tool]), max(often, key=lambda tool: shares[tool])
        problem = f"text before a call of {most} ({shares[most]:.0%}), none before one of {least} ({shares[least]:.0%})"
        advice = "the model would choose tools by whether it writes text first: write text before all calls or none"
        count = min(sum(len(has_text[tool]) for tool in tools) for tools in (often, never))
        yield rows.finding("preambles", "warning", problem, advice, count, sum(map(len, has_text.values())))


CHECKS: tuple[Callable[[RenderedRows], Findings], ...] = (
    template, lost, turns_as_served, parser, preference, formats, markers, audited, systems, eval_system, leakage,
    preambles,
)  # fmt: skip


def check(rows: RenderedRows) -> list[PreflightFinding]:
    """Return the findings of all checks."""
    return [finding for function in CHECKS for finding in function(rows)]
