"""Markdown: the page of a comparison in short, for a pull request. The facts are those of its page: no number without its cases, no
difference without its interval."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from punie_build.engine.gates import required
from punie_build.evaluation.comparison import told
from punie_build.reports.html import visible
from punie_build.reports.pages.arms import Comparison
from punie_build.reports.pages.evaluation import WORDS

MOST = 20  # regressions that are listed


def comparison(m: Comparison) -> str:
    """The whole text."""
    found = m.result
    [main] = [delta for delta in found.deltas if delta.arm == found.arm]
    parts = [
        f"## {WORDS[main.verdict]}: {cell(main.arm)} {main.difference:+.0%}",
        f"{cell(told(found))}.",
        _gates(m),
        _arms(m),
        _categories(m),
        _regressions(m),
        f"Made by `doit comparison:{m.task.name}` from the answers of {', '.join(f'{cell(n)} (canary `{c}`)' for n, c in zip(found.arms, found.canaries, strict=True))}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """A text that is nothing but text, in one line."""
    plain = "".join(
        f"\\{letter}" if letter in "\\`*_{}[]<>|#!" else letter for letter in visible(" ".join(text.split()))
    )
    return plain.replace("@", "@\u200b")  # nobody is called by a name in a suite


def code(text: str) -> str:
    """The same between backticks."""
    return visible(text).replace("`", "'").replace("|", "\\|")


def _gates(m: Comparison) -> str:
    some = [(gate, gate.problem(m.lock.metrics)) for gate in required(m.task.spec)]
    rows = [
        [f"`{gate.metric}`", f"✗ {cell(objection.partition(': ')[2])}" if objection else "✓ open"]
        for gate, objection in some
    ]
    return table(("gate", ""), rows) if rows else ""


def _arms(m: Comparison) -> str:
    rows = []
    for place, (name, total) in enumerate(zip(m.result.arms, m.result.totals, strict=True)):
        low, high = total.interval
        against = "–"
        if place:
            delta = m.result.deltas[place - 1]
            against = f"{delta.difference:+.0%} ({delta.low:+.0%} to {delta.high:+.0%}), {delta.gained} gained, {delta.lost} lost"
        rows.append(
            [cell(name), f"{total.passed:g} of {total.n}", f"{total.share:.0%} ({low:.0%} to {high:.0%})", against]
        )
    return table(("arm", "passed", "share, 95 % interval", f"against {cell(m.result.arms[0])}, 95 % interval"), rows)


def _categories(m: Comparison) -> str:
    place = m.result.arms.index(m.result.arm)
    rows = []
    for name, shares in m.result.categories.items():
        delta = m.result.category_deltas[name][place - 1]
        counts = [f"{each.passed:g}" for each in shares]
        rows.append(
            [cell(name), str(shares[0].n), *counts, f"{delta.difference:+.0%} ({delta.low:+.0%} to {delta.high:+.0%})"]
        )
    inside = table(("category", "n", *map(cell, m.result.arms), f"{cell(m.result.arm)}, difference"), rows)
    return f"<details><summary>By category</summary>\n\n{inside}\n\n</details>"


def _regressions(m: Comparison) -> str:
    """The cases that the first arm passes and the one the verdict is of does not."""
    both = zip(m.arms[0].scores.cases, m.arms[m.last].scores.cases, strict=True)
    lost = [after for before, after in both if before.passed and not after.passed and after.case not in m.learnt]
    if not lost:
        return "No case that passed before fails now."
    rows = [[f"`{code(each.case)}`", cell(each.category), cell(each.failure)] for each in lost[:MOST]]
    more = f"\n\nand {len(lost) - MOST} more" if len(lost) > MOST else ""
    inside = table(("case", "category", "why"), rows)
    return f"<details><summary>{len(lost)} cases fail that passed before</summary>\n\n{inside}{more}\n\n</details>"
