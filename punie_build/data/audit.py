"""Audit the rows of a dataset: count problems, with the first rows of each. Nothing is changed or dropped.

`audit_checks` has the checks of single rows; the checks here compare rows with one another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from punie_build.data.audit_checks import CHECKS, AuditedRow
from punie_build.data.example import SPLITS, Example
from punie_build.data.split import SplitOverlap, find_overlaps
from punie_build.data.template_roundtrip import RoundTripReport

MAX_LOCATIONS = 3  # rows that a finding names
DEFAULT_MAX_TOKENS = 2048  # default of a training's max_seq_length

RowStream = Callable[[], Iterable[AuditedRow]]


class AuditFinding(Struct, frozen=True, kw_only=True):
    """A problem in `count` of `total` rows, with advice, the locations of the first rows, and a sample of the text."""

    problem: str
    count: int
    total: int
    advice: str
    locations: tuple[str, ...] = ()
    sample: str = ""

    def sentence(self) -> str:
        """Return the finding as a message."""
        share = f" ({self.count / self.total:.0%})" if self.total else ""
        locations = f" - first {', '.join(self.locations)}" if self.locations else ""
        total = f" of {self.total} rows{share}" if self.total else ""
        sample = f"\n    such as: {self.sample}" if self.sample else ""
        return f"{self.problem}: {self.count}{total}{locations}{sample}\n    {self.advice}"


def audit(stream: RowStream) -> Iterator[AuditFinding]:
    """Yield the findings of a dataset. The stream is read several times; the order of rows must not change."""
    from punie_build.data.shingles import text_hash

    split_sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    first: dict[str, list[tuple[str, str]]] = {problem: [] for problem, _, _ in CHECKS}  # (location, sample)
    dialects: Counter[str] = Counter()
    prompts: Counter[str] = Counter()
    texts: set[bytes] = set()
    templates: set[bytes] = set()
    for row in stream():
        split_sizes[row.split] += 1
        for problem, check, _ in CHECKS:
            if (sample := check(row)) is not None:
                counts[problem] += 1
                if len(first[problem]) < MAX_LOCATIONS:
                    first[problem].append((row.location, sample))
        dialects[row.dialect] += 1
        prompts.update({message.content or "" for message in row.example.messages if message.role == "system"})
        text = row.example.full_text()
        texts.add(text_hash(text))
        templates.add(text_hash(text, digits=True))
    total = split_sizes.total()
    for problem, _, advice in CHECKS:
        if samples := first[problem]:
            locations = tuple(location for location, _ in samples)
            yield AuditFinding(
                problem=problem,
                count=counts[problem],
                total=total,
                advice=advice,
                locations=locations,
                sample=samples[0][1],
            )
    yield from _mixed(total, dialects, prompts)
    yield from _repeated(total, len(texts), len(templates))
    yield from _overlaps(stream, split_sizes, "train", ("valid", "test"))
    yield from _overlaps(stream, split_sizes, "valid", ("test",))


def _mixed(total: int, dialects: Counter[str], prompts: Counter[str]) -> Iterator[AuditFinding]:
    """Yield findings for rows in several dialects, and for several system prompts."""
    if len(dialects) > 1:
        names = ", ".join(f"{name} {count}" for name, count in dialects.most_common())
        yield AuditFinding(
            problem=f"mixed dialects ({names})",
            count=total - max(dialects.values()),
            total=total,
            advice="a dataset converts them to one; a model trained on several answers in several",
        )
    if len(prompts) > 1:
        yield AuditFinding(
            problem=f"{len(prompts)} different system prompts",
            count=total,
            total=total,
            advice="train with the prompt that is used in serving: use the map `system-prompt`",
        )


def _repeated(total: int, texts: int, templates: int) -> Iterator[AuditFinding]:
    """Yield findings for equal rows, and for rows that are equal except for numbers."""
    if duplicates := total - texts:
        yield AuditFinding(
            problem="exact duplicates of other rows",
            count=duplicates,
            total=total,
            advice="use the filter `exact-dedup`",
        )
    if texts - templates > 0.1 * total:
        yield AuditFinding(
            problem=f"templates: {templates} texts that differ in more than numbers",
            count=total - templates,
            total=total,
            advice="more rows of a template add little: use the filter `exact-dedup` with digits = true",
        )


OVERLAP_PROBLEMS = {  # kind of overlap -> problem; the rows and the split of `OVERLAP_NAMES` fill it in
    "same": "{} rows that equal a {} row",
    "template": "{} rows that equal a {} row except for numbers",
    "prompt": "{} rows with the first question of a {} row",
    "near": "{} rows that are near duplicates of a {} row (Jaccard 0.8 of word 5-grams)",
}
OVERLAP_NAMES = {"train": ("held-out", "training"), "valid": ("test", "validation")}


def _overlaps(
    stream: RowStream, split_sizes: Counter[str], base: str, held_out: Sequence[str]
) -> Iterator[AuditFinding]:
    """Yield findings for rows of the splits `held_out` that have a copy in the split `base`.

    A validation set that shares rows with the test selects the model that does well on the test.
    """
    total = sum(split_sizes[split] for split in held_out)
    if not total or not split_sizes[base]:
        return

    def rows() -> Iterator[tuple[str, Example]]:
        for row in stream():
            if row.split == base or row.split in held_out:
                yield "train" if row.split == base else row.split, row.example

    overlaps = find_overlaps(rows)
    by_kind = {how: [overlap for overlap in overlaps if overlap.how == how] for how in OVERLAP_PROBLEMS}
    first = [overlap for of_kind in by_kind.values() for overlap in of_kind[:MAX_LOCATIONS]]
    locations = _locations(stream, first, base) if first else {}
    for how, of_kind in by_kind.items():
        if of_kind:
            yield AuditFinding(
                problem=OVERLAP_PROBLEMS[how].format(*OVERLAP_NAMES[base]),
                count=len(of_kind),
                total=total,
                advice="build a mix of the data: it trains no copy of a held-out row; resplit = true divides all anew",
                locations=tuple(
                    f"{locations[overlap.split, overlap.row]} = {locations[base, overlap.train]}"
                    for overlap in of_kind[:MAX_LOCATIONS]
                ),
            )


def _locations(stream: RowStream, overlaps: Sequence[SplitOverlap], base: str) -> dict[tuple[str, int], str]:
    """Return (split, line number) -> location of the rows of overlaps with the split `base`."""
    needed = {(item.split, item.row) for item in overlaps} | {(base, item.train) for item in overlaps}
    counts: Counter[str] = Counter()
    locations = {}
    for row in stream():
        counts[row.split] += 1
        if (key := (row.split, counts[row.split])) in needed:
            locations[key] = row.location
    return locations


def unknown_key_findings(counts: Mapping[str, int], total: int) -> Iterator[AuditFinding]:
    """Yield a finding for every key that has no effect on training, the most frequent first."""
    for key in sorted(counts, key=lambda key: (-counts[key], key)):
        yield AuditFinding(
            problem=f"a key without an effect on training, {key}",
            count=counts[key],
            total=total,
            advice="nothing reads it: remove it, or check that the rows mean the same without it",
        )


def held_out_findings(stream: RowStream, hashes: Mapping[str, str], place: str) -> Iterator[AuditFinding]:
    """Yield a finding for training rows that other data holds back; `hashes` are those of its `held-out.txt`."""
    rows = [row.location for row in stream() if row.split == "train" and row.example.conversation_hash() in hashes]
    if rows:
        yield AuditFinding(
            problem=f"training rows that {place} holds back",
            count=len(rows),
            total=len(hashes),
            advice="a measurement on them would be too good: train on a mix of both, which drops them",
            locations=tuple(rows[:MAX_LOCATIONS]),
        )


def near_copy_findings(
    stream: RowStream, hashes: Container[str], withheld: Sequence[AuditedRow], place: str
) -> Iterator[AuditFinding]:
    """Yield findings for the held-out rows of other data that have a near copy in training.

    `withheld` are these rows; training rows with one of the `hashes` are findings of `held_out_findings` already.
    """

    def rows() -> Iterator[AuditedRow]:
        for row in stream():
            if row.split == "train" and row.example.conversation_hash() not in hashes:
                yield row
        yield from withheld

    for finding in _overlaps(rows, Counter(row.split for row in rows()), "train", SPLITS[1:]):
        yield msgspec.structs.replace(finding, problem=f"{place}: {finding.problem}")


def roundtrip_findings(report: RoundTripReport, base: str) -> Iterator[AuditFinding]:
    """Yield the findings of a round trip of the calls through a base's chat template and parser."""
    advice = f"a model trained on {base} would learn them in another form than the server reads, or not at all"
    for description, problem in report.problems.items():
        yield AuditFinding(
            problem=description,
            count=problem.count,
            total=report.rows,
            advice=f"{base} never sees it: remove it, or use another base" if "dropped by" in description else advice,
            locations=tuple(problem.places),
        )
    if tokens := report.tokens:
        median, longest = tokens[len(tokens) // 2], tokens[-1]
        long = sum(count > DEFAULT_MAX_TOKENS for count in tokens)
        if long:
            yield AuditFinding(
                problem=f"rows above {DEFAULT_MAX_TOKENS} tokens of {base} (median {median}, longest {longest})",
                count=long,
                total=report.rows,
                advice="training cuts them: raise max_seq_length, or use the filter `max-tokens`",
            )
