"""Answers pages: who answered, how many, how fast. What they are worth is on the page of the eval that judges them.

To add a section: a function, its template, and its place in `SECTIONS`, which is the order on the page.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from punie_build.engine.task import AnyTask
from punie_build.evaluation import answer_files, scores
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.checks.union import Answer
from punie_build.project import Project
from punie_build.reports import charts
from punie_build.reports.page_kind import PageKind
from punie_build.reports.pages import standard_sections
from punie_build.reports.section import Material, Section


class Answers(Material, frozen=True, kw_only=True):
    """An answers page: the answers in the suite's order, and the proof of which weights gave them."""

    answers: tuple[Answer, ...]
    proof: Proof


def gather(project: Project, task: AnyTask, **more: Any) -> Answers:
    """The material of an answers page."""
    folder = project.folder(task)
    proof = answer_files.read_proof(folder)
    given = scores.given(folder)
    return Answers(task=task, answers=tuple(each for some in given.values() for each in some), proof=proof, **more)


def numbers(m: Answers) -> Section:
    """How many came, how they ended, and who gave them."""
    n = len(m.answers)
    ends = Counter(each.finish for each in m.answers if each.error is None)
    cards = [
        {
            "name": "answers",
            "value": f"{n:,}",
            "soft": ", ".join(f"{count} {end}" for end, count in ends.most_common()),
        },
        {"name": "never came", "value": f"{m.proof.errors:,}", "soft": f"of {n:,}: errors count neither way"},
        {"name": "not to be read", "value": f"{m.proof.parse_failures:,}", "soft": f"calls, of {n:,} answers"},
        {"name": "canary", "value": m.proof.canary, "soft": f"its base says {m.proof.base_canary}"},
    ]
    return Section("numbers", "", {"cards": cards})


def speed(m: Answers) -> Section | None:
    """How long they took, where that was measured."""
    return latency([("", [each.seconds for each in m.answers if each.seconds is not None])])


def latency(arms: list[tuple[str, list[float]]]) -> Section | None:
    """How long the answers of each arm took: half of them, 95 % of them, and the longest."""
    rows = []
    for name, some in arms:
        if some:
            took = sorted(some)
            half, most = took[len(took) // 2], took[int(0.95 * (len(took) - 1))]
            rows.append({"name": name, "n": len(took), "half": half, "most": most, "longest": took[-1]})
    if not rows:
        return None
    picture = charts.histogram([round(each * 1000) for each in arms[0][1]], "How long answers took", "milliseconds")
    return Section("latency", "How long they took", {"rows": rows, "picture": picture if len(arms) == 1 else ""})


SECTIONS = (numbers, standard_sections.gates, speed, *standard_sections.ENDING)

ANSWERS_PAGE = PageKind(load=gather, sections=SECTIONS, data_file="proof.json")
