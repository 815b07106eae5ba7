"""The commands `check`, `plan`, `why` and `provenance`: they report on builds, and build no artifact."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie_build.cli.options import Command, Options, print_json, target, target_json, targets_json
from punie_build.project import Project
from punie_build.runtime.console import format_count

if TYPE_CHECKING:
    from punie_build.engine.plan import Planned
    from punie_build.preflight.preview import Preview


def check(root: Path, options: Options) -> int:
    """Compare recipes with locks; with options also files with locks, contents with recipes, metrics with gates."""
    from punie_build.cli import check_formats
    from punie_build.engine import check as checking

    levels = [level for level in checking.LEVELS if level == "recipes" or getattr(options, level)]
    project = Project.load(root, remember=False)
    results = project.check(levels)
    readable = _readable_format()
    text = check_formats.FORMATS[options.format or readable](root, results)
    if options.into:
        Path(options.into).write_text(text + "\n", encoding="utf-8")
        text = check_formats.FORMATS[readable](root, results)
    print(text)
    return {"stale": 1, "broken": 2}.get(checking.worst(results), 0)


def plan(root: Path, options: Options) -> int:
    """Print the tasks that a build would run, how long they would take, and the problems that it would report."""
    from punie_build.engine import gates
    from punie_build.engine.plan import summary
    from punie_build.preflight import preview

    project = Project.load(root)
    planned = project.plan(options.targets)
    report = preview.preview(project.root, planned)
    failed = project.failed_gates(item.task for item in planned)
    if options.json:
        print_json(
            {
                "artifacts": [_facts(item) for item in planned],
                "findings": report.findings,
                "failed_gates": failed,
                "notes": [*report.notes()],
                "unchecked": report.unchecked,
            }
        )
    else:
        for item in planned:
            if item.action != "current":
                print(f"{item.task.label:<36} {item.forecast}")
                if line := report.lines.get(item.task.label):
                    print(f"{'':<36} {line}")
        print("\n".join([summary(planned), *gates.summary(failed)]))
        print("".join(f"{line}\n" for line in _problems(report)), end="")
    if any(finding.level == "error" for finding in report.findings):
        return 2
    return 0 if all(item.action == "current" for item in planned) else 1


def _facts(planned: Planned) -> dict[str, Any]:
    """Return the plan of an artifact, for programs. `seconds` is null where no run has told."""
    return {
        "label": planned.task.label,
        "target": planned.task.target,
        "action": planned.action,
        "state": planned.state,
        "reasons": planned.reasons,
        "seconds": planned.estimate if planned.action != "current" else 0.0,
    }


def _problems(report: Preview) -> Iterator[str]:
    """Yield the findings of a preview, each with the name that a recipe may allow it by."""
    if report.findings:
        yield ""
        yield from (f"{finding.level}[{finding.check}] {finding}" for finding in report.findings)
        errors = sum(finding.level == "error" for finding in report.findings)
        numbers = (("error", errors), ("warning", len(report.findings) - errors))
        counts = [format_count(count, word) for word, count in numbers if count]
        hint = ": an error stops what needs it; an adapter may `allow` a check by its name" if errors else ""
        yield ", ".join(counts) + hint
    yield from report.notes()
    if report.unchecked:
        yield f"not checked, because not built yet: {', '.join(report.unchecked)}"


def why(root: Path, options: Options) -> int:
    """Print why a target and its inputs would be built, value by value."""
    lines = []
    plan = Project.load(root).plan([options.target])
    if options.json:
        print_json([_facts(planned) for planned in plan])
        return 0 if all(planned.action == "current" for planned in plan) else 1
    for planned in plan:
        if planned.action != "current":
            lines.append(f"{planned.task.label}: {MEANING[planned.state]} - {planned.forecast}")
            lines += [f"    {reason}" for reason in planned.reasons]
    print("\n".join(lines) or f"{options.target} and all that it needs are current")
    return 1 if lines else 0


MEANING = {
    "absent": "not built",
    "stale": "out of date: recipe, code, inputs or tools changed",
    "edited": "its files were edited",
    "forgotten": "forgotten",
    "removed": "temporary output, removed after use",
    "waits": "may be out of date, depends on an upstream rebuild",
}


def provenance(root: Path, options: Options) -> int:
    """Print the in-toto statement of a target, computed from its lock."""
    import json

    from punie_build.engine.provenance import statement

    project = Project.load(root, remember=False)
    task = project.task(options.target)
    print(json.dumps(statement(task, project.lock(task)), indent=1))
    return 0


def _check_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--outputs", action="store_true", help="compare the files with the locks")
    command.add_argument(
        "--conformance", action="store_true", help="compare rank, layers, bits and rows in the files with the recipes"
    )
    command.add_argument(
        "--gate", dest="gates", action="store_true", help="test the metrics against the gates in the recipes"
    )
    formats = ("text", "json", "junit", "github")
    command.add_argument("--format", choices=formats, help="default: text, or github if GITHUB_ACTIONS is true")
    command.add_argument("--into", metavar="FILE", help="write the format to this file, and print the text")


def _readable_format() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


COMMANDS: dict[str, Command] = {
    "check": (check, _check_options),
    "plan": (plan, targets_json),
    "why": (why, target_json),
    "provenance": (provenance, target),
}
