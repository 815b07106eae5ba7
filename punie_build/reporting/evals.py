"""Eval and comparison pages: what arms answered, what that is worth, and whether one of them is better.

To add a section: a function, its template, and its place in `SECTIONS` (or `EVAL`), which is the order on the page.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import msgspec
from msgspec import Struct

from punie_build import deltas, evaluating, training
from punie_build.checks import Answer, Calls, Not, Python
from punie_build.comparing import Compared, sentence
from punie_build.evaluating import Scores
from punie_build.graph import Task
from punie_build.recipe import ADAPTERS
from punie_build.reporting import adapters, charts, common, data
from punie_build.reporting.data import Step
from punie_build.reporting.material import Material, Section, plain
from punie_build.reporting.page import Part
from punie_build.reporting.project import Project
from punie_build.scoring import Scored
from punie_build.suites import Case, Suite


class Arm(Struct, frozen=True):
    """One arm: its scores, its answers to each case by id, one for each epoch, and the place of its page."""

    scores: Scores
    answers: dict[str, list[Answer]]
    href: str = ""


class Evals(Material, frozen=True, kw_only=True):
    """What an eval's page and a comparison's page share: the suite, and its arms."""

    suite: Suite
    arms: tuple[Arm, ...]

    @property
    def names(self) -> list[str]:
        return [arm.scores.arm for arm in self.arms]

    @property
    def n(self) -> int:
        return len(self.suite.case)


class Comparison(Evals, frozen=True, kw_only=True):
    """A comparison's page: its result, the data its adapters were made from, and how they were trained."""

    result: Compared
    way: tuple[Step, ...] = ()
    curves: tuple[tuple[str, list[dict[str, Any]]], ...] = ()


def _suite(project: Project, name: str) -> Suite:
    return project.suites[name]


def _arm(project: Project, name: str) -> Arm:
    task = project.planned[f"eval:{name}"].task
    given = evaluating.given(project.root / task.inputs[0])
    return Arm(evaluating.scores(project.folder(task)), given, project.href(task))


def gather_eval(project: Project, task: Task, **more: Any) -> Evals:
    """The material of an eval's page."""
    return Evals(task=task, suite=_suite(project, task.spec.suite), arms=(_arm(project, task.name),), **more)


def gather(project: Project, task: Task, **more: Any) -> Comparison:
    """The material of a comparison's page."""
    result = msgspec.json.decode((project.folder(task) / "comparison.json").read_bytes(), type=Compared)
    trained = project.before(task.label, *ADAPTERS)
    return Comparison(
        task=task,
        suite=_suite(project, task.spec.suite),
        arms=tuple(_arm(project, name) for name in task.config["evals"]),
        result=result,
        way=data.way(project, task.label),
        curves=tuple((each.name, training.metrics(project.folder(each))) for each in trained),
        **more,
    )


def verdict(m: Comparison) -> Section:
    """What a person came for: better or not, by how much, how sure."""
    rows = [{"delta": delta, "sentence": sentence(delta, m.result.n, m.result.arms[0])} for delta in m.result.deltas]
    return Section("verdict", "", {"rows": rows})


def parity(m: Evals) -> Section | None:
    """What a reader must know before any number: an arm that was trained under another prompt than it is asked with."""
    found = [(arm.scores.arm, arm.scores.parity.objections()) for arm in m.arms if arm.scores.parity]
    rows = [{"arm": name, "lines": lines} for name, lines in found if lines]
    return Section("parity", "", {"rows": rows}) if rows else None


def totals(m: Evals) -> Section:
    """Each arm in total, with its interval, and what it did not do right."""
    rows = []
    reported = m.result.totals if isinstance(m, Comparison) else [deltas.share(arm.scores.cases) for arm in m.arms]
    for arm, total in zip(m.arms, reported, strict=True):
        unread = sum(case.malformed for case in arm.scores.cases)
        rows.append({"name": arm.scores.arm, "share": total, "href": arm.href, "unread": unread})
    return Section("totals", "", {"arms": rows, "alone": len(rows) == 1})


def categories(m: Evals) -> Section:
    """The same for each category."""
    rows = []
    for name in dict.fromkeys(case.category for case in m.suite.case):
        cases = [[case for case in arm.scores.cases if case.category == name] for arm in m.arms]
        shares: Any = [deltas.share(some) for some in cases]
        if isinstance(m, Comparison):
            if name not in m.result.categories:
                continue
            shares = m.result.categories[name]
        rows.append({"name": name, "shares": shares, "gain": shares[-1].share - shares[0].share})
    return Section("categories", "By category", {"arms": m.names, "rows": rows})


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
    first, last = scored[0].passed, scored[-1].passed
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
            lines += [each.shown() for each in check.calls]
        else:
            lines.append(plain(check))
    return lines


def _said(case: Case, score: Scored, answers: list[Answer]) -> dict[str, Any]:
    """What an arm said to a case: its calls against those that were wanted, its words as they came, what each check says. Of several
    epochs the first that failed."""
    verdicts = [[check.judge(answer) for check in case.checks if _tells(check)] for answer in answers]
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
    right = check.right()
    return right.calls if right else ()


def _tells(check: Any) -> bool:
    """Whether a check may be asked again: a hook of the project is not run to draw a page."""
    return not isinstance(check, Python) and not (isinstance(check, Not) and not _tells(check.check))


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
    import re

    return re.findall(r"\w+|\s+|[^\w\s]", text)


def failures(m: Evals) -> Section | None:
    """What went wrong, by class, for each arm."""
    classes = sorted({case.failure for arm in m.arms for case in arm.scores.cases if case.failure})
    rows = [(name, [sum(case.failure == name for case in arm.scores.cases) for arm in m.arms]) for name in classes]
    rows.sort(key=lambda row: -sum(row[1]))
    return Section("failures", "What went wrong", {"arms": m.names, "rows": rows, "n": m.n}) if rows else None


def curves(m: Comparison) -> Section | None:
    """The loss curve of each adapter among the arms."""
    shown = []
    for name, events in m.curves:
        valid = [(each["iteration"], each["loss"]) for each in adapters.only(events, "valid")]
        train = [(each["iteration"], each["loss"]) for each in adapters.only(events, "train")]
        title = f"Loss of {name}: validation {valid[0][1]:.3f} before, {valid[-1][1]:.3f} at the end"
        lines = [charts.Line("training", "train", tuple(train)), charts.Line("validation", "valid", tuple(valid))]
        shown.append(
            {"name": name, "said": title, "picture": charts.lines(lines, title, "batch", "loss (nats a token)")}
        )
    return Section("training", "Training", {"curves": shown}) if shown else None


def proof(m: Evals) -> Section:
    """Which weights answered."""
    arms = [
        {
            "name": arm.scores.arm,
            "canary": arm.scores.canary,
            "base": arm.scores.base_canary,
            "dropped": arm.scores.parse_failures,
        }
        for arm in m.arms
    ]
    return Section("proof", "Who answered", {"arms": arms, "n": m.n})


ALONE = (totals, categories, cases, failures, proof)  # of what no recipe asks for
EVAL = (parity, common.gates, totals, categories, cases, failures, proof, *common.ENDING)
SECTIONS = (
    parity,
    verdict,
    common.gates,
    totals,
    categories,
    cases,
    failures,
    curves,
    data.funnel,
    proof,
    *common.ENDING,
)
