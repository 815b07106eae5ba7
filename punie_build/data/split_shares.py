"""Notes on splits that are empty, or far from the shares that the recipe asks for."""

from __future__ import annotations

from collections import Counter

from punie_build.data.example import SPLITS
from punie_build.data.split import ExampleStream, Split
from punie_build.data.stats import Stats
from punie_build.runtime.console import message

FAR = 0.1  # a share that differs by this much from the recipe's is noted, as is one below a third of it
DEFAULTS = (Split(), Split(valid=0.1, test=0.1))  # of mixes and datasets: not asked for where rows have splits
MIN_ROWS = 10  # of fewer rows no shares are expected, only that no split is empty


@message
def notes(stats: Stats, spec: Split, stream: ExampleStream, settled: int) -> tuple[str, ...]:
    """Return a note on the splits, with advice. `stream` has the rows; `settled` of them had a split already."""
    kept = {split: stats.splits[split].kept for split in SPLITS}
    total = sum(kept.values())
    if not total:
        return ()
    counted = total >= MIN_ROWS and not (settled >= total and spec in DEFAULTS)
    empty = [split for split in SPLITS if spec.share(split) and not kept[split]]
    far = [split for split in SPLITS if counted and _is_far(kept[split] / total, spec.share(split))]
    if not (empty or far):
        return ()
    shares = ", ".join(
        f"{split} {'is empty' if not kept[split] else f'has {kept[split] / total:.0%} of the rows'}"
        f" instead of {spec.share(split):.0%}"
        for split in SPLITS
        if split in empty or split in far
    )
    reason, advice = _reason(spec, stream, total, settled)
    without_rows = '; or train with valid = "none" and keep = "last"' if "valid" in empty else ""
    return (f"{shares}: {reason} - {advice}{without_rows}",)


def _reason(spec: Split, stream: ExampleStream, total: int, settled: int) -> tuple[str, str]:
    """Return why shares are not those of the recipe, and advice."""
    from punie_build.data import shingles

    if settled:
        rows = "all rows" if settled >= total else f"{settled} rows"
        return f"{rows} have a split already and keep it", "add rows to the others, or resplit = true in a mix"
    advice = "add rows with other questions, or change split.group_by ([] groups only equal rows)"
    if not spec.group_by:
        return f"there are only {total} rows", "add rows, or change the shares"
    largest = max(Counter(shingles.text_hash(row.group_key(), digits=True) for row in stream()).values())
    if "prompt" in spec.group_by and largest > 1:
        return f"{largest} rows have one first question (numbers ignored) and stay together", advice
    if "near-dup" in spec.group_by and total >= MIN_ROWS:
        return "near duplicates stay together", advice
    return f"there are only {total} rows", advice


def _is_far(share: float, expected: float) -> bool:
    return abs(share - expected) > FAR or (expected > 0 and share < expected / 3)
