"""Viewing: the commands that show artifacts to people, here and elsewhere. What they need is imported when they run."""

from __future__ import annotations

import argparse
from pathlib import Path

from punie_build.cli.options import Command, Options, target, targets
from punie_build.project import Project
from punie_build.runtime.console import format_bytes
from punie_build.storage import paths


def report(root: Path, options: Options) -> int:
    """Draw the pages of artifacts and the index anew. A build draws those of what it made."""
    from punie_build.reports import draw

    project = Project.load(root)
    wanted = [project.task(label) for label in options.targets] or project.tasks
    drawn = [task for task in wanted if project.is_current(task.label)]
    lines = [*draw.refresh(project, drawn)]
    lines += [f"{task.label}: {project.state(task)} - `doit {task.label}`" for task in wanted if task not in drawn]
    print("\n".join([*lines, f"{len(drawn)} drawn: {paths.INDEX}"]))
    return 1 if lines else 0


def show(root: Path, options: Options) -> int:
    """What is known of an artifact: recipe, what it is made from, what came out. Its page says more."""
    from punie_build.reports import terminal

    project = Project.load(root)
    task = project.task(options.target)
    terminal.show(project, task)
    return 0


def publish(root: Path, options: Options) -> int:
    """Make a folder of the Hugging Face Hub of an adapter or a model, with card and provenance, and upload it in one commit."""
    from punie_build.reports import hub_upload

    project = Project.load(root)
    task = project.task(options.target)
    folder = hub_upload.prepare(project, task)
    print(f"{paths.upload_folder(task.target)}/")
    for name, count in hub_upload.files(folder).items():
        print(f"    {name:<32} {format_bytes(count)}")
    if options.dry_run:
        print(f"not uploaded; without --dry-run it would be {options.repo}")
    else:
        message = f"{task.label}, key {project.lock(task).key[:12]}"
        print(f"uploaded: {hub_upload.upload(folder, options.repo, message, options.private)}")
    return 0


def _publish_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help="an adapter or a model, such as adapter:quickstart")
    command.add_argument("--repo", required=True, metavar="OWNER/NAME", help="the repository; it is made if need be")
    command.add_argument("--private", action="store_true", help="a repository that is made is private")
    command.add_argument("--dry-run", action="store_true", help="make the folder, and upload nothing")


COMMANDS: dict[str, Command] = {
    "report": (report, targets),
    "show": (show, target),
    "publish": (publish, _publish_options),
}
