"""Notes on splits that are empty, or far from the shares that the recipe asks for."""

from __future__ import annotations

from collections import Counter

from punie_build.data.example import SPLITS
from punie_build.data.split import ExampleStream, Split
from punie_build.data.stats import Stats
from punie_build.runtime.console import message

FAR = 0.1  # a share that differs by this much from the recipe's is noted, as is one below a third of it
MIN_ROWS = 10  # of fewer rows no shares are expected, only that no split is empty


@message
def notes(stats: Stats, spec: Split, stream: ExampleStream | None) -> tuple[str, ...]:
    """Return a note on the splits, with advice. `stream` has the rows that were split, None if all had a split."""
    kept = {split: stats.splits[split].kept for split in SPLITS}
    total = sum(kept.values())
    if not total:
        return ()
    empty = [split for split in SPLITS if spec.share(split) and not kept[split]]
    if stream is None:
        if not empty:
            return ()
        text = f"{' and '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: all rows have a split already, "
        advice = "add rows to it, or resplit = true in a mix"
        advice += ', or train with valid = "none"' if "valid" in empty else ""
        return (f"{text}and `split` divides only rows without one - {advice}",)
    far = [split for split in SPLITS if total >= MIN_ROWS and _is_far(kept[split] / total, spec.share(split))]
    if not (empty or far):
        return ()
    shares = ", ".join(
        f"{split} {'is empty' if not kept[split] else f'has {kept[split] / total:.0%} of the rows'}"
        f" instead of {spec.share(split):.0%}"
        for split in SPLITS
        if split in empty or split in far
    )
    from punie_build.data import shingles

    groups = Counter(shingles.text_hash(example.group_key(), digits=True) for example in stream())
    largest = max(groups.values())
    if "prompt" in spec.group_by and largest > 1:
        reason = f": {largest} rows have one first question (numbers ignored) and stay together"
    elif "near-dup" in spec.group_by and total >= MIN_ROWS:
        reason = ": near duplicates stay together"
    else:
        reason = f": there are only {total} rows"
    advice = "add rows with other questions, or change split.group_by ([] groups only equal rows)"
    if not spec.group_by:
        advice = "add rows, or change the shares"
    return (f"{shares}{reason} - {advice}" + ('; or train with valid = "none"' if "valid" in empty else ""),)


def _is_far(share: float, expected: float) -> bool:
    return abs(share - expected) > FAR or (expected > 0 and share < expected / 3)
