"""Of building, without building: check, plan, why, provenance."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from punie_build.artifacts.graph import tasks
from punie_build.cli.options import Command, Options, chosen, target, targets
from punie_build.engine.plan import named
from punie_build.errors import UseError
from punie_build.recipes.loader import load
from punie_build.storage import locks, paths


def check(root: Path, options: Options) -> int:
    """Hold recipes against locks; with more options, files against locks, contents against recipes, metrics against gates."""
    from punie_build.cli import check_formats as formats
    from punie_build.engine import check as checking

    wanted = [level for level in checking.LEVELS if level == "recipes" or getattr(options, level)]
    found = checking.check(root, list(tasks(load(root))), wanted)
    shown = _for_people()
    said = formats.FORMATS[options.format or shown](root, found)
    if options.into:
        Path(options.into).write_text(said + "\n", encoding="utf-8")
        said = formats.FORMATS[shown](root, found)
    print(said)
    return {"stale": 1, "broken": 2}.get(checking.worst(found), 0)


def plan(root: Path, options: Options) -> int:
    """What a build would do, in its order, about how long it would take, and what would go wrong. Builds nothing."""
    from punie_build.artifacts.steps import steps
    from punie_build.engine import plan as planning
    from punie_build.preflight import preview

    planned = planning.plan(root, chosen(root, options.targets))
    seen = preview.outlook(root, planned, steps(load(root))["preflight"])
    for each in planned:
        if each.how != "current":
            print(f"{each.task.label:<36} {each.forecast}")
            if line := seen.lines.get(each.task.label):
                print(f"{'':<36} {line}")
    print(planning.total(planned))
    print("".join(f"{line}\n" for line in _said(seen)), end="")
    if any(finding.level == "error" for finding in seen.findings):
        return 2
    return 0 if all(each.how == "current" for each in planned) else 1


def _said(seen: Any) -> Iterator[str]:
    """What an outlook found, for people: each with the name that a recipe may allow it by."""
    if seen.findings:
        yield ""
        yield from (f"{finding.level}[{finding.look}] {finding}" for finding in seen.findings)
        errors = sum(finding.level == "error" for finding in seen.findings)
        counts = [
            f"{n} {word}{'s' if n > 1 else ''}"
            for word, n in (("error", errors), ("warning", len(seen.findings) - errors))
            if n
        ]
        yield ", ".join(counts) + (
            ": an error stops what needs it; an adapter may `allow` a look by its name" if errors else ""
        )
    if seen.unseen:
        yield f"not looked at, because not here yet: {', '.join(seen.unseen)}"


def why(root: Path, options: Options) -> int:
    """Why a target would be built: itself and all it needs, value by value. Builds nothing."""
    from punie_build.engine import plan as planning

    lines = []
    for each in planning.plan(root, chosen(root, [options.target])):
        if each.how != "current":
            lines.append(f"{each.task.label}: {MEANING[each.state]} - {each.forecast}")
            lines += [f"    {reason}" for reason in each.reasons]
    print("\n".join(lines) or f"{options.target} and all it needs are current")
    return 1 if lines else 0


MEANING = {
    "absent": "not there",
    "stale": "made from something else",
    "edited": "its files are not those that were made",
    "forgotten": "forgotten",
    "spent": "temporary, and needed no more",
    "waits": "may be made from something else",
}


def provenance(root: Path, options: Options) -> int:
    """Print the target's in-toto statement, made from its lock."""
    import json

    from punie_build.engine.provenance import statement

    [task] = named(list(tasks(load(root))), [options.target])
    lock = locks.read(root / paths.lock(task.target))
    if lock is None:
        raise UseError(f"{paths.lock(task.target)}: no lock that can be read - `doit {task.label}`")
    print(json.dumps(statement(task, lock), indent=1))
    return 0


def _check_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--outputs", action="store_true", help="are the files that are here the ones the locks name?")
    command.add_argument(
        "--conformance", action="store_true", help="are rank, layers, bits and rows in the files as asked?"
    )
    command.add_argument("--gate", dest="gates", action="store_true", help="do the metrics pass the recipes' gates?")
    formats = ("text", "json", "junit", "github")
    command.add_argument("--format", choices=formats, help="default: text; github where GITHUB_ACTIONS is true")
    command.add_argument("--into", metavar="FILE", help="write the format there, and print what people read")


def _for_people() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


COMMANDS: dict[str, Command] = {
    "check": (check, _check_options),
    "plan": (plan, targets),
    "why": (why, target),
    "provenance": (provenance, target),
}
