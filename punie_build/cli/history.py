"""The commands `history` and `diff`: metrics of artifacts over the commits of git, from their locks.

punie-build history adapter:v1 --page page.html      each metric by commit
punie-build diff v1.0                                parameters and metrics of all artifacts since a tag
punie-build diff --gate                              fails if a gated metric is worse than at the last tag
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.cli.options import TARGET, Command, Options
from punie_build.engine import explain, gates
from punie_build.errors import UseError, join_first, printable
from punie_build.project import Project
from punie_build.storage import git_history, locks, paths
from punie_build.storage.git_history import PastFacts, PastLock, Revision

MAX_COLUMNS = 5
WORKING_TREE = "the working tree"


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """The metrics of an artifact at a commit. `state`: "" with a lock, "removed" or "unreadable" without."""

    commit: str
    date: str
    title: str
    metrics: dict[str, float]
    state: str = ""


class ArtifactDiff(Struct, frozen=True, kw_only=True):
    """The differences of an artifact between two revisions. `metrics`: (before, after), None if one has none."""

    target: str
    state: str
    parameters: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    metrics: dict[str, tuple[float | None, float | None]] = {}


def history(root: Path, options: Options) -> int:
    """Print each metric of an artifact by commit, from the locks in git's history."""
    target = _target(root, options.target)
    points = points_of(root, target, options.last)
    if not points:
        raise UseError(f"{options.target}: no commit has {paths.lock(target)} - commit the lock")
    names = list(dict.fromkeys(name for point in reversed(points) for name in point.metrics))
    if unknown := [name for name in options.metric or () if name not in names]:
        raise UseError(f"--metric {unknown[0]}: no commit has it - choose {join_first(names, 10)}")
    columns = options.metric or names
    if options.page:
        from punie_build.reports.pages import metric_history

        page = metric_history.render(options.target, points, columns)
        Path(options.page).write_text(page, encoding="utf-8")
    if options.json:
        print(msgspec.json.format(msgspec.json.encode({"target": target, "history": points}), indent=1).decode())
    else:
        print("\n".join(map(printable, _table(points, columns if options.metric else columns[:MAX_COLUMNS]))))
        if omitted := names[MAX_COLUMNS:] if not options.metric else []:
            print(f"{len(omitted)} more metrics: {join_first(omitted, 6)} (--metric NAME, --json, --page FILE)")
    return 0


def _target(root: Path, label: str) -> str:
    """Return the target of a label of the recipes, or a target that is in no recipe any more."""
    if "/" in label and git_history.revisions(root, label, 1):
        return label
    return Project.load(root, remember=False).task(label).target


def points_of(root: Path, target: str, most: int) -> list[HistoryPoint]:
    """Return the metrics at each commit that changed the lock of a target, the oldest first."""
    revisions = git_history.revisions(root, target, most)
    read = git_history.read_locks(root, [(entry.commit, target) for entry in revisions])
    return [
        HistoryPoint(
            commit=entry.commit,
            date=_date(entry),
            title=entry.title,
            metrics=lock.metrics if lock else {},
            state="" if lock else "unreadable" if exists else "removed",
        )
        for entry, (exists, lock) in zip(revisions, read, strict=True)
    ]


def _date(entry: Revision) -> str:
    return datetime.fromtimestamp(entry.time, UTC).date().isoformat()


def _table(points: Sequence[HistoryPoint], columns: Sequence[str]) -> Iterator[str]:
    widths = [max(10, len(name)) for name in columns]
    yield "  ".join(["commit  ", "date      ", *(name.rjust(n) for name, n in zip(columns, widths, strict=True))])
    before: Mapping[str, float] = {}
    for point in points:
        cells = [_cell(point.metrics.get(name)) for name in columns]
        cells = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        note = point.state or ("" if point.metrics != before else "same metrics")
        yield "  ".join([point.commit[:8], point.date, *cells, note or point.title[:50]]).rstrip()
        before = point.metrics


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def diff(root: Path, options: Options) -> int:
    """Print parameters and metrics of all artifacts between two revisions; by default, since the last commit."""
    project = Project.load(root, remember=False)
    if options.first:
        first = git_history.revision(root, options.first)
    else:
        first = git_history.last_tag(root) if options.gate else git_history.revision(root, "HEAD")
    before = git_history.locks_at(root, first.commit, project.folders)
    if options.second:
        second = git_history.revision(root, options.second)
        after, name = git_history.locks_at(root, second.commit, project.folders), _name(second)
    else:
        after, name = _present(root, project.folders), WORKING_TREE
    changed = [entry for target in sorted({*before, *after}) if (entry := _diff(target, before, after))]
    worse = _regressions(project, before, after)
    if options.json:
        table = {"first": first.commit, "second": name, "artifacts": changed, "worse": worse}
        print(msgspec.json.format(msgspec.json.encode(table), indent=1).decode())
    else:
        title = f"{_name(first)} to {name}: {len(changed)} of {len({*before, *after})} artifacts differ"
        lines = [title, *(line for entry in changed for line in _diff_lines(entry)), *worse]
        print("\n".join(map(printable, lines)))
    return 1 if options.gate and worse else 0


def _name(entry: Revision) -> str:
    return f"{entry.commit[:8]} ({_date(entry)}, {entry.title[:50]})"


def _present(root: Path, folders: Sequence[str]) -> dict[str, PastLock | None]:
    """Return the locks of the working tree by target."""
    files = locks.present(root, folders)
    return {
        path.relative_to(root).as_posix().removesuffix(paths.LOCK): git_history.decode(path.read_bytes())
        for path in files
    }


def _diff(
    target: str, before: Mapping[str, PastLock | None], after: Mapping[str, PastLock | None]
) -> ArtifactDiff | None:
    """Return the differences of an artifact; None if it is the same."""
    old, new = before.get(target), after.get(target)
    if old == new and (target in before) == (target in after):
        return None
    if old is None or new is None:
        states = [("new" if target not in before else "was unreadable") if old is None else ""]
        states += [("removed" if target not in after else "is unreadable") if new is None else ""]
        lock = new or old
        metrics: dict[str, Any] = {
            name: (old.metrics.get(name) if old else None, new.metrics.get(name) if new else None)
            for name in (lock.metrics if lock else ())
        }
        return ArtifactDiff(target=target, state=", ".join(filter(None, states)), metrics=metrics)
    changes = list(_changes(old.facts, new.facts))
    metrics = {
        name: (old.metrics.get(name), new.metrics.get(name))
        for name in dict.fromkeys([*old.metrics, *new.metrics])
        if old.metrics.get(name) != new.metrics.get(name)
    }
    return ArtifactDiff(
        target=target,
        state="changed",
        parameters=tuple(line.removeprefix("recipe.") for line in changes if line.startswith("recipe.")),
        others=tuple(line for line in changes if not line.startswith("recipe.")),
        metrics=metrics,
    )


def _changes(old: PastFacts, new: PastFacts) -> Iterator[str]:
    for part in ("recipe", "inputs", "tools", "code"):
        yield from explain.value_changes(getattr(old, part), getattr(new, part), part)


def _diff_lines(entry: ArtifactDiff) -> Iterator[str]:
    yield f"{entry.target}: {entry.state}"
    yield from (f"    {line}" for line in entry.parameters)
    for name, (before, after) in entry.metrics.items():
        change = f"  ({after - before:+.4g})" if before is not None and after is not None else ""
        yield f"    {name}  {_cell(before)} -> {_cell(after)}{change}"
    if entry.others:
        parts = dict.fromkeys(line.partition(":")[0].partition(".")[0] for line in entry.others)
        yield f"    also changed: {', '.join(parts)}"


def _regressions(
    project: Project, before: Mapping[str, PastLock | None], after: Mapping[str, PastLock | None]
) -> list[str]:
    """Return a line for each metric with a gate that is worse than before by more than the gate's tolerance.

    A gate with `min` says that larger is better, one with `max` that smaller is."""
    lines = []
    for task in project.tasks:
        old, new = before.get(task.target), after.get(task.target)
        for gate in gates.required(task.spec) if old else ():
            was, current = (lock.metrics.get(gate.metric) if lock else None for lock in (old, new))
            if was is None:
                continue
            if current is None:
                lines.append(f"worse: {task.label}: {gate.metric} {was:.6g} before, and absent now")
            elif (gate.min is not None and current < was - gate.tolerance - gates.EXACT * abs(was)) or (
                gate.max is not None and current > was + gate.tolerance + gates.EXACT * abs(was)
            ):
                lines.append(
                    f"worse: {task.label}: {gate.metric} {was:.6g} -> {current:.6g}, tolerance {gate.tolerance:g}"
                )
    return lines


def _history_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help=f"{TARGET}; or a folder whose lock was committed once")
    command.add_argument("--metric", action="append", metavar="NAME", help="only this metric; may be repeated")
    command.add_argument("--last", type=int, default=1000, metavar="N", help="the last N commits of the lock (1000)")
    command.add_argument("--page", metavar="FILE", help="write a page with a line for each metric")
    command.add_argument("--json", action="store_true", help="print JSON with all metrics")


def _diff_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "first", nargs="?", metavar="REV", help="a commit, branch or tag; default: HEAD, with --gate the last tag"
    )
    command.add_argument("second", nargs="?", metavar="REV", help="default: the locks in the working tree")
    command.add_argument("--gate", action="store_true", help="exit with 1 if a metric with a gate is worse than it was")
    command.add_argument("--json", action="store_true", help="print JSON")


COMMANDS: dict[str, Command] = {"history": (history, _history_options), "diff": (diff, _diff_options)}
