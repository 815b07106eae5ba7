"""A comparison in Markdown, for a pull request: the same facts as on its page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from punie_build.engine.gates import required
from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.evaluation.comparison import comparison_summary
from punie_build.reports.decision import decide
from punie_build.reports.html import visible
from punie_build.reports.pages.arms import ComparisonPage
from punie_build.reports.pages.evaluation import VERDICTS
from punie_build.runtime.console import format_points

MAX_REGRESSIONS = 20


def comparison(page: ComparisonPage) -> str:
    """Return a comparison as Markdown: verdict, gates, arms, categories, regressions."""
    result = page.result
    [main] = [delta for delta in result.differences if delta.arm == result.arm]
    decided = decide(page)
    canaries = zip(result.arms, result.canaries, strict=True)
    identities = ", ".join(
        f"{cell(arm)} ({f'weights fingerprint `{canary}`' if canary else UNPROVEN})" for arm, canary in canaries
    )
    parts = [
        f"## {VERDICTS[main.verdict]}: {cell(main.arm)} {format_points(main.difference)}",
        f"**{decided.answer[0].upper()}{decided.answer[1:]}.** {cell('; '.join(decided.reasons))}.",
        f"{cell(comparison_summary(result))}.",
        _gates(page),
        _arms(page),
        _categories(page),
        _regressions(page),
        f"Built by `doit comparison:{page.task.name}` from the answers of {identities}.",
        *(f"{cell(build.text)}." for build in page.builds[-1:] if build.text),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Escape text for one line of Markdown, so that it can contain no markup and mention no user."""
    escaped = "".join(f"\\{char}" if char in "\\`*_{}[]<>|#!" else char for char in visible(" ".join(text.split())))
    return escaped.replace("@", "@\u200b")


def code(text: str) -> str:
    """Escape text for a code span in a table."""
    return visible(text).replace("`", "'").replace("|", "\\|")


def _gates(page: ComparisonPage) -> str:
    gates = [(gate.metric, gate.problem(page.lock.metrics)) for gate in required(page.task.spec)]
    rows = [
        [f"`{metric}`", f"✗ {cell(problem.partition(': ')[2])}" if problem else "✓ passed"] for metric, problem in gates
    ]
    return table(("gate", "result"), rows) if rows else ""


def _arms(page: ComparisonPage) -> str:
    baseline = cell(page.result.arms[0])
    rows = []
    for index, (name, total) in enumerate(zip(page.result.arms, page.result.totals, strict=True)):
        low, high = total.interval
        difference = "–"
        if index:
            delta = page.result.differences[index - 1]
            interval = f"{format_points(delta.difference)} ({format_points(delta.low, delta.high)})"
            difference = f"{interval}, {delta.gained} gained, {delta.lost} lost"
        rate = f"{total.rate:.0%} ({low:.0%} to {high:.0%})"
        rows.append([cell(name), f"{total.passed:g} of {total.n}", rate, difference])
    return table(("arm", "passed", "pass rate, 95 % interval", f"difference from {baseline}, 95 % interval"), rows)


def _categories(page: ComparisonPage) -> str:
    index = page.result.arms.index(page.result.arm)
    rows = []
    for name, totals in page.result.categories.items():
        delta = page.result.category_differences[name][index - 1]
        difference = f"{format_points(delta.difference)} ({format_points(delta.low, delta.high)})"
        rows.append([cell(name), str(totals[0].n), *(f"{total.passed:g}" for total in totals), difference])
    head = ("category", "cases", *map(cell, page.result.arms), f"{cell(page.result.arm)}, difference")
    return f"<details><summary>By category</summary>\n\n{table(head, rows)}\n\n</details>"


def _regressions(page: ComparisonPage) -> str:
    """List the cases that the baseline passes and the candidate fails."""
    pairs = zip(page.arms[0].scores.cases, page.arms[page.candidate].scores.cases, strict=True)
    lost = [
        candidate
        for baseline, candidate in pairs
        if baseline.passed and not candidate.passed and candidate.case not in page.contaminated
    ]
    if not lost:
        return "No regressions."
    rows = [[f"`{code(score.case)}`", cell(score.category), cell(score.failure)] for score in lost[:MAX_REGRESSIONS]]
    omitted = f"\n\nand {len(lost) - MAX_REGRESSIONS} more" if len(lost) > MAX_REGRESSIONS else ""
    listing = table(("case", "category", "failure"), rows)
    return f"<details><summary>{len(lost)} regressions</summary>\n\n{listing}{omitted}\n\n</details>"
