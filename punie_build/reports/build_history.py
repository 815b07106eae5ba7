"""Builds of artifacts as pages show them: when, at which commit and on which machine.

No target and no lock has them: they come from the build records of this checkout, else from git, which has the commit
of a lock. Pages and terminal output are views, so they may differ where the files of the artifacts are equal."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import structs

from punie_build.engine import build_record
from punie_build.engine.task import AnyTask
from punie_build.errors import PunieError
from punie_build.project import Project
from punie_build.reports import lineage
from punie_build.reports.section import ArtifactBuild
from punie_build.storage import git_history, locks, paths


def builds(project: Project, task: AnyTask) -> tuple[ArtifactBuild, ...]:
    """Return the builds of the artifacts that one is built from, in the order of the graph, and its own as the last."""
    sources = [source for source in project.upstream(task.label, *project.recipe.kinds) if source is not task]
    return (*(_build(project, source) for source in sources), build(project, task))


def build(project: Project, task: AnyTask) -> ArtifactBuild:
    """Return the known facts on the build of an artifact, from its record or from git."""
    result = _build(project, task)
    if result.record or not result.key:
        return result
    return structs.replace(result, committed=_committed(project, task.target, result.key))


def _build(project: Project, task: AnyTask) -> ArtifactBuild:
    lock = locks.read(project.root / paths.lock(task.target))
    if lock is None:
        return ArtifactBuild(label=task.label)
    return ArtifactBuild(
        label=task.label,
        key=lock.key,
        href=lineage.href(project, task),
        seconds=lock.seconds,
        record=build_record.read(project.root, task.target, lock.key),
    )


def _committed(project: Project, target: str, key: str) -> str:
    """Return since when git has the lock of a target; "" if it has another one, or none."""
    if not build_record.commit_of(project.root).name:
        return ""
    try:
        revisions = git_history.revisions(project.root, target, 1)
        past = git_history.read_locks(project.root, [(revision.commit, target) for revision in revisions])
        if not revisions or [lock.key for _, lock in past if lock] != [key]:
            return ""
    except PunieError:
        return ""
    day = datetime.fromtimestamp(revisions[0].time, UTC).date().isoformat()
    return f"built elsewhere or earlier; its lock is of commit {revisions[0].commit[:10]}, {day}"
