"""Sections: the facts of a report, each a function from the material to a section, or None where it has nothing to say.

To add one: a function and its template, and its place in `SECTIONS`, which is the order on the page.
"""

from __future__ import annotations

from typing import Any

from punie_build.comparing import Share, sentence
from punie_build.reporting import charts
from punie_build.reporting.material import Material, Section


def verdict(m: Material) -> Section:
    """What a person came for: better or not, by how much, how sure."""
    cases = len(m.scores[0].cases)
    rows = [{"delta": delta, "sentence": sentence(delta, cases, m.result.arms[0])} for delta in m.result.deltas]
    return Section("verdict", "", {"rows": rows})


def cards(m: Material) -> Section:
    """Each arm in total, with its interval."""
    arms = [
        {"name": name, "share": total, "canary": canary}
        for name, total, canary in zip(m.result.arms, m.result.totals, m.result.canaries, strict=True)
    ]
    return Section("cards", "", {"arms": arms})


def categories(m: Material) -> Section:
    rows = [{"name": name, "shares": shares, "gain": _gain(shares)} for name, shares in m.result.categories.items()]
    return Section("categories", "By category", {"arms": m.result.arms, "rows": rows})


def _gain(shares: tuple[Share, ...]) -> float:
    return shares[-1].share - shares[0].share


def cases(m: Material) -> Section:
    """Every case: what was asked, expected and said. Regressions first, then gains, then what both fail."""
    order = {"worse": 0, "better": 1, "both fail": 2, "both pass": 3}
    rows = sorted((_case(m, index) for index in range(len(m.suite.case))), key=lambda row: order[row["state"]])
    return Section(
        "cases",
        "Every case",
        {
            "arms": m.result.arms,
            "rows": rows,
            "states": {state: sum(row["state"] == state for row in rows) for state in order},
        },
    )


def _case(m: Material, index: int) -> dict[str, Any]:
    case = m.suite.case[index]
    scored = [arm.cases[index] for arm in m.scores]
    first, last = scored[0].passed, scored[-1].passed
    state = ("both pass" if first else "better") if last else ("worse" if first else "both fail")
    asked = (
        case.prompt
        if case.prompt is not None
        else "\n".join(f"{message.role}: {message.content or _called(message)}" for message in case.messages or ())
    )
    said = [
        {
            "arm": name,
            "passed": score.passed,
            "failure": score.failure,
            "reason": score.reason,
            "raw": answers[case.id].raw,
        }
        for name, score, answers in zip(m.result.arms, scored, m.answers, strict=True)
    ]
    return {"id": case.id, "category": case.category, "asked": asked, "said": said, "state": state}


def _called(message: Any) -> str:
    return ", ".join(f"{call.function.name}({call.function.arguments})" for call in message.tool_calls or ())


def failures(m: Material) -> Section | None:
    """What went wrong, by class, for each arm."""
    classes = sorted({case.failure for arm in m.scores for case in arm.cases if case.failure})
    if not classes:
        return None
    rows = [
        {"name": name, "counts": [sum(case.failure == name for case in arm.cases) for arm in m.scores]}
        for name in classes
    ]
    return Section(
        "failures",
        "What went wrong",
        {"arms": m.result.arms, "rows": sorted(rows, key=lambda row: -sum(row["counts"])), "n": len(m.scores[0].cases)},
    )


def training(m: Material) -> Section | None:
    """The loss curve of each adapter among the arms."""
    curves = []
    for name, events in m.curves:
        start, end = (next(event for event in events if event["event"] == kind) for kind in ("start", "end"))
        train = charts.Line(
            "training",
            "train",
            tuple((event["iteration"], event["loss"]) for event in events if event["event"] == "train"),
        )
        valid = charts.Line(
            "validation",
            "valid",
            tuple((event["iteration"], event["loss"]) for event in events if event["event"] == "valid"),
        )
        picture = charts.lines(
            [train, valid],
            f"Loss of {name}: validation {valid.points[0][1]:.3f} before, {valid.points[-1][1]:.3f} after training",
            "iteration",
            "loss (nats per token)",
        )
        curves.append(
            {"name": name, "picture": picture, "rows": start["rows"], "first": valid.points[0][1], "end": end}
        )
    return Section("training", "Training", {"curves": curves}) if curves else None


def data(m: Material) -> Section | None:
    """The retention funnel: how many examples each dataset, stage and mix kept, and why others went."""
    if not m.data:
        return None
    widest = max(stats.total.seen for _, stats in m.data)
    rows = [
        {
            "name": name,
            "total": stats.total,
            "splits": {split: counts for split, counts in stats.splits.items() if counts.seen},
            "kept_width": stats.total.kept / widest,
            "lost_width": (stats.total.seen - stats.total.kept) / widest,
        }
        for name, stats in m.data
    ]
    return Section("data", "Where the data went", {"rows": rows})


def provenance(m: Material) -> Section:
    """Which weights answered, and how to get this report again."""
    arms = [
        {"name": scores.arm, "canary": scores.canary, "base": scores.base_canary, "dropped": scores.parse_failures}
        for scores in m.scores
    ]
    return Section(
        "provenance",
        "Proof",
        {"arms": arms, "command": f"doit comparison:{m.result.name}", "n": len(m.scores[0].cases)},
    )


SECTIONS = (verdict, cards, categories, cases, failures, training, data, provenance)
