"""Pages of answers: numbers of answers and errors, latency, model identity. The page of an eval has the scores.

To add a section: write a function and a template, and insert the function into `SECTIONS`, in the order of the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.evaluation import answer_files, scores
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.evaluation.checks.union import Answer
from punie_build.project import Project
from punie_build.reports import charts
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.section import ArtifactPage, Section

FINISHED = {  # finish reason -> words
    "stop": "complete",
    "tool_calls": "ended with tool calls",
    "length": "truncated at `max_tokens`",
    "turns": "ended at the limit of turns",
}


class AnswersPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of answers: the answers in the order of the suite, and the record of the weights that gave them."""

    answers: tuple[Answer, ...]
    proof: Proof


def load(project: Project, task: AnyTask, **common: Any) -> AnswersPage:
    """Load the page of answers."""
    folder = project.folder(task)
    proof = answer_files.read_proof(folder)
    answers = tuple(answer for of_case in scores.answers_by_case(folder).values() for answer in of_case)
    return AnswersPage(task=task, answers=answers, proof=proof, **common)


def metrics(page: AnswersPage) -> Section:
    """Show how many answers there are, how they finished, and which weights gave them."""
    total = f"{len(page.answers):,}"
    finish_reasons = Counter(answer.finish for answer in page.answers if answer.error is None)
    base = f"base: {page.proof.base_canary}" if page.proof.canary else "no weights were verified"
    cards = [
        {
            "name": "answers",
            "value": total,
            "note": "; ".join(
                f"{count:,} {FINISHED.get(str(reason), f'ended by {reason}')}"
                for reason, count in finish_reasons.most_common()
            ),
        },
        {"name": "no answer", "value": f"{page.proof.errors:,}", "note": f"of {total}; errors are not scored"},
        {"name": "unparsable", "value": f"{page.proof.parse_failures:,}", "note": f"tool calls in {total} answers"},
        {"name": "weights fingerprint", "value": page.proof.canary or UNPROVEN, "note": base},
    ]
    return Section("cards", "", {"cards": cards})


def speed(page: AnswersPage) -> Section | None:
    """Show the latency of the answers that have one."""
    return latency([("", latencies(page.answers))])


def latencies(answers: Sequence[Answer]) -> list[float]:
    """Return the measured latencies of answers, in seconds."""
    return [answer.seconds for answer in answers if answer.seconds is not None]


def latency(arms: list[tuple[str, list[float]]]) -> Section | None:
    """Show median, 95th percentile and maximum of the latency of every arm, given as (name, seconds)."""
    rows = []
    for name, durations in arms:
        if durations:
            ordered = sorted(durations)
            median, p95 = ordered[len(ordered) // 2], ordered[int(0.95 * (len(ordered) - 1))]
            rows.append({"name": name, "answers": len(ordered), "median": median, "p95": p95, "maximum": ordered[-1]})
    if not rows:
        return None
    picture = ""
    if len(arms) == 1:
        milliseconds = [round(duration * 1000) for duration in arms[0][1]]
        picture = charts.histogram(milliseconds, "Latency of answers", "milliseconds")
    return Section("latency", "Latency", {"rows": rows, "picture": picture})


SECTIONS = (metrics, standard_sections.gates, speed, *standard_sections.CLOSING)

ANSWERS_PAGE = PageKind(load=load, sections=SECTIONS, data_file="proof.json")
