"""Cases of a suite as pages show them: prompt, expected answer, answers of all arms, and verdicts of all checks."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

import msgspec

from punie_build.evaluation.checks.union import Answer, Calls, PythonHook, check_result
from punie_build.evaluation.scoring import CaseScore
from punie_build.evaluation.suite import Case
from punie_build.reports.html import Part
from punie_build.reports.pages.arms import EvaluationPage
from punie_build.reports.section import Section, format_value
from punie_build.schema.spec import structs

STATES = {  # state -> (label, order on the page)
    "worse": ("▼ worse", 0),
    "better": ("▲ better", 1),
    "both fail": ("✗ both fail", 2),
    "both pass": ("✓ both pass", 3),
    "failed": ("✗ failed", 0),
    "passed": ("✓ passed", 3),
}
MAX_DIFF_WORDS = 400


def cases(page: EvaluationPage) -> Section:
    """Show all cases: regressions first, then improvements, then cases that both arms fail."""
    rows = sorted((_case(page, index) for index in range(page.case_count)), key=lambda row: STATES[row["state"]][1])
    states = {row["state"]: (0, 0) for row in rows}
    for row in rows:
        of_result, others = states[row["state"]]
        states[row["state"]] = (of_result, others + 1) if row["note"] else (of_result + 1, others)
    context = {
        "rows": rows,
        "states": states,  # state -> (cases of the result, other cases)
        "others": sum(others for _, others in states.values()),
        "labels": STATES,
        "categories": list(dict.fromkeys(case.category for case in page.suite.cases)),
        "alone": len(page.arms) == 1,
    }
    return Section("cases", "Cases", context)


def _case(page: EvaluationPage, index: int) -> dict[str, Any]:
    case = page.suite.cases[index]
    scored = [arm.scores.cases[index] for arm in page.arms]
    answers = [
        _answer(case, score, arm.answers[case.id]) | {"arm": arm.scores.arm}
        for score, arm in zip(scored, page.arms, strict=True)
    ]
    return {
        "id": case.id,
        "category": case.category,
        "prompt": case.last_user_message,
        "turns": [(message.role, message.content or _calls(message)) for message in case.messages or ()],
        "expected": "\n".join(_expected(case)),
        "answers": answers,
        "state": _state(page, scored),
        "note": _note(page, case.id, scored[0]),
    }


def _state(page: EvaluationPage, scored: list[CaseScore]) -> str:
    first, candidate = scored[0].passed, scored[page.candidate].passed
    if len(page.arms) == 1:
        return "passed" if candidate else "failed"
    if candidate:
        return "both pass" if first else "better"
    return "worse" if first else "both fail"


def _note(page: EvaluationPage, case: str, score: CaseScore) -> str:
    """Return why the result of the comparison excludes a case; "" for the others."""
    if case in page.contaminated:
        return "in training data"
    return "dev split" if page.has_dev_split and score.split == "select" else ""


def _calls(message: Any) -> str:
    return "\n".join(format_call(call.function.name, call.function.arguments) for call in message.tool_calls or ())


def format_call(name: str, arguments: Any) -> str:
    """Format a tool call in one line, as Python code."""
    if isinstance(arguments, str):
        return f"{name}({arguments})"
    values = (f"{key}={msgspec.json.encode(value).decode('utf-8', 'replace')}" for key, value in arguments.items())
    return f"{name}({', '.join(values)})"


def _expected(case: Case) -> list[str]:
    """Return one line for each expected tool call and each other check."""
    lines: list[str] = []
    for check in case.checks:
        if isinstance(check, Calls):
            lines += [call.describe() for call in check.calls]
        else:
            lines.append(format_value(check))
    return lines


def _answer(case: Case, score: CaseScore, answers: list[Answer]) -> dict[str, Any]:
    """Return an arm's answer to a case: raw text, a diff of its tool calls with the expected ones, verdicts of checks.

    Of several epochs, the first that failed is returned. Checks are scored here, because scores.json has no verdicts of
    single checks.
    """
    checks = [check for check in case.checks if _scorable(check)]
    verdicts = [[check_result(check, answer) for check in checks] for answer in answers]
    failed = (epoch for epoch, of_epoch in enumerate(verdicts) if not all(verdict.passed for verdict in of_epoch))
    epoch = next(failed, 0)
    answer = answers[epoch]
    calls = [format_call(call.name, call.arguments) for call in answer.calls]
    expected = [
        format_call(call.name, call.arguments)
        for check in case.checks
        if isinstance(check, Calls)
        for call in expected_calls(check)
    ]
    return {
        "passed": score.passed,
        "failure": score.failure,
        "reason": score.reason,
        "epochs": f"passed {score.passes} of {score.epochs} epochs" if score.epochs > 1 else "",
        "diff": word_diff("\n".join(expected), "\n".join(calls)) if calls and expected and not score.passed else (),
        "raw": answer.error or answer.raw or answer.content,
        "checks": [
            {"name": str(check.__struct_config__.tag), "verdict": verdict}
            for check, verdict in zip(checks, verdicts[epoch], strict=True)
        ],
    }


def expected_calls(check: Calls) -> tuple[Any, ...]:
    """Return tool calls that pass a check."""
    reference = check.reference()
    return reference.calls if reference else ()


def _scorable(check: Any) -> bool:
    """Return whether a page may score a check: rendering must not run the project's own Python hooks."""
    return not any(isinstance(value, PythonHook) for value in structs(check))


def word_diff(before: str, after: str) -> tuple[Part, ...]:
    """Return a word-level diff of two texts; `after` unmarked if one has more than `MAX_DIFF_WORDS` words."""
    a, b = _split(before), _split(after)
    if max(len(a), len(b)) > MAX_DIFF_WORDS:
        return (("", after),)
    parts: list[Part] = []
    for operation, start, end, other_start, other_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if operation == "equal":
            parts.append(("", "".join(a[start:end])))
        else:
            parts += [("del", "".join(a[start:end])), ("ins", "".join(b[other_start:other_end]))]
    return tuple(part for part in parts if part[1])


def _split(text: str) -> list[str]:
    """Split text into words, runs of spaces, and single punctuation characters."""
    return re.findall(r"\w+|\s+|[^\w\s]", text)
