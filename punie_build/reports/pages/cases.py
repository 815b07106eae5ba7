"""Cases: every case of a suite as a page shows it: what was asked, expected and said, and what each check says of it."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

import msgspec

from punie_build.evaluation.checks.union import Answer, Calls, Not, PythonHook
from punie_build.evaluation.scoring import Scored
from punie_build.evaluation.suite import Case
from punie_build.reports.html import Part
from punie_build.reports.pages.arms import Evals
from punie_build.reports.section import Section, plain

STATES = {
    "worse": ("▼ worse", 0),
    "better": ("▲ better", 1),
    "both fail": ("✗ both fail", 2),
    "both pass": ("✓ both pass", 3),
    "failed": ("✗ failed", 0),
    "passed": ("✓ passed", 3),
}


def cases(m: Evals) -> Section:
    """Every case: what was asked, expected and said. Regressions first, then gains, then what both fail."""
    rows = sorted((_case(m, index) for index in range(m.n)), key=lambda row: STATES[row["state"]][1])
    counts = {
        state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)
    }
    kinds = list(dict.fromkeys(row["category"] for row in rows))
    kinds.sort(key=[case.category for case in m.suite.case].index)
    return Section(
        "cases",
        "Every case",
        {"rows": rows, "states": counts, "words": STATES, "categories": kinds, "alone": len(m.arms) == 1},
    )


def _case(m: Evals, index: int) -> dict[str, Any]:
    case = m.suite.case[index]
    scored = [arm.scores.cases[index] for arm in m.arms]
    first, last = scored[0].passed, scored[m.last].passed
    state = ("both pass" if first else "better") if last else ("worse" if first else "both fail")
    if len(m.arms) == 1:
        state = "passed" if last else "failed"
    said = [
        _said(case, score, arm.answers[case.id]) | {"arm": arm.scores.arm}
        for score, arm in zip(scored, m.arms, strict=True)
    ]
    return {
        "id": case.id,
        "category": case.category,
        "asked": case.asks,
        "turns": [(each.role, each.content or _called(each)) for each in case.messages or ()],
        "expected": "\n".join(_expected(case)),
        "said": said,
        "state": state,
        "side": "in training data"
        if case.id in m.learnt
        else "to choose by"
        if m.apart and scored[0].split == "select"
        else "",
    }


def _called(message: Any) -> str:
    return "\n".join(call(each.function.name, each.function.arguments) for each in message.tool_calls or ())


def call(name: str, arguments: Any) -> str:
    """A call in one line, as people write it."""
    if isinstance(arguments, str):
        return f"{name}({arguments})"
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in arguments.items())
    return f"{name}({shown})"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8", "replace")


def _expected(case: Case) -> list[str]:
    """What the checks ask for, a line each."""
    lines: list[str] = []
    for check in case.checks:
        if isinstance(check, Calls):
            lines += [each.describe() for each in check.calls]
        else:
            lines.append(plain(check))
    return lines


def _said(case: Case, score: Scored, answers: list[Answer]) -> dict[str, Any]:
    """What an arm said to a case: its calls against those that were wanted, its words as they came, what each check says. Of several
    epochs the first that failed."""
    verdicts = [[check.score(answer) for check in case.checks if _tells(check)] for answer in answers]
    failed = (k for k, some in enumerate(verdicts) if not all(verdict.passed for verdict in some))
    shown = next(failed, 0)
    answer = answers[shown]
    made = [call(each.name, each.arguments) for each in answer.calls]
    asked = [
        call(each.name, each.arguments) for check in case.checks if isinstance(check, Calls) for each in wanted(check)
    ]
    return {
        "passed": score.passed,
        "failure": score.failure,
        "reason": score.reason,
        "epochs": f"passed {score.passes} of {score.epochs} times" if score.epochs > 1 else "",
        "difference": words("\n".join(asked), "\n".join(made)) if made and asked and not score.passed else (),
        "raw": answer.error or answer.raw or answer.content,
        "checks": [
            {"name": str(check.__struct_config__.tag), "verdict": verdict}
            for check, verdict in zip((c for c in case.checks if _tells(c)), verdicts[shown], strict=True)
        ],
    }


def wanted(check: Calls) -> tuple[Any, ...]:
    """Calls that would pass."""
    right = check.reference()
    return right.calls if right else ()


def _tells(check: Any) -> bool:
    """Whether a check may be asked again: a hook of the project is not run to draw a page."""
    return not isinstance(check, PythonHook) and not (isinstance(check, Not) and not _tells(check.check))


MOST_WORDS = 400


def words(before: str, after: str) -> tuple[Part, ...]:
    """A text word by word against another: what went and what came. Long texts are not compared."""
    a, b = _split(before), _split(after)
    if max(len(a), len(b)) > MOST_WORDS:
        return (("", after),)
    found: list[Part] = []
    for what, start, end, other, until in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what == "equal":
            found.append(("", "".join(a[start:end])))
        else:
            found += [("del", "".join(a[start:end])), ("ins", "".join(b[other:until]))]
    return tuple(part for part in found if part[1])


def _split(text: str) -> list[str]:
    """Words, and what is between them."""
    return re.findall(r"\w+|\s+|[^\w\s]", text)
