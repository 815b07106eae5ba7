"""Viewing: the commands that show artifacts to people, here and elsewhere. What they need is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from punie_build import digests, layout
from punie_build.commands.base import Command, Options, target, targets
from punie_build.loading import load
from punie_build.planning import named
from punie_build.screen import size

if TYPE_CHECKING:
    from punie_build.reporting.project import Project


def report(root: Path, options: Options) -> int:
    """Draw the pages of artifacts and the index anew. A build draws those of what it made."""
    from punie_build.reporting import pages

    project = _project(root)
    wanted = named(project.tasks, options.targets) if options.targets else project.tasks
    drawn = [task for task in wanted if project.current(task.label)]
    lines = [*pages.refresh(project, drawn)]
    lines += [f"{task.label}: {project.state(task)} - `doit {task.label}`" for task in wanted if task not in drawn]
    print("\n".join([*lines, f"{len(drawn)} drawn: {layout.INDEX}"]))
    return 1 if lines else 0


def show(root: Path, options: Options) -> int:
    """What is known of an artifact: recipe, what it is made from, what came out. Its page says more."""
    from punie_build import showing

    project = _project(root)
    [task] = named(project.tasks, [options.target])
    showing.show(project, task)
    return 0


def publish(root: Path, options: Options) -> int:
    """Make a folder of the Hugging Face Hub of an adapter or a model, with card and provenance, and upload it in one commit."""
    from punie_build import uploading

    project = _project(root)
    [task] = named(project.tasks, [options.target])
    folder = uploading.prepare(project, task)
    print(f"{layout.published(task.target)}/")
    for name, count in uploading.files(folder).items():
        print(f"    {name:<32} {size(count)}")
    if options.dry_run:
        print(f"not uploaded; without --dry-run it would be {options.repo}")
    else:
        message = f"{task.label}, key {project.lock(task).key[:12]}"
        print(f"uploaded: {uploading.upload(folder, options.repo, message, options.private)}")
    return 0


def _publish_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help="an adapter or a model, such as adapter:quickstart")
    command.add_argument("--repo", required=True, metavar="OWNER/NAME", help="the repository; it is made if need be")
    command.add_argument("--private", action="store_true", help="a repository that is made is private")
    command.add_argument("--dry-run", action="store_true", help="make the folder, and upload nothing")


def _project(root: Path) -> Project:
    from punie_build.reporting import pages

    digests.remember(root)
    return pages.project_of(root, load(root))


COMMANDS: dict[str, Command] = {
    "report": (report, targets),
    "show": (show, target),
    "publish": (publish, _publish_options),
}
