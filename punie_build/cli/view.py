"""The commands `report`, `show`, `publish` and `verify`: render pages, print an artifact, upload it to the Hub, and
verify a downloaded folder.

The packages that they need are imported when they run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from punie_build.artifacts.registry import KINDS
from punie_build.cli.options import Command, Options, json_option, print_json, target_json, targets
from punie_build.errors import UseError, printable
from punie_build.project import Project
from punie_build.runtime.console import format_bytes
from punie_build.runtime.program import build_command
from punie_build.storage import paths


def report(root: Path, options: Options) -> int:
    """Render the pages of artifacts and the index again. A build renders the pages of the artifacts that it built."""
    from punie_build.reports import draw

    project = Project.load(root)
    tasks = [project.task(label) for label in options.targets] or project.tasks
    current = [task for task in tasks if project.is_current(task.label)]
    lines = [*draw.refresh(project, current)]
    lines += [
        f"{task.label}: {project.state(task)} - `{build_command()} {task.label}`"
        for task in tasks
        if task not in current
    ]
    print("\n".join([*lines, f"{len(current)} rendered: {paths.INDEX}"]))
    return 1 if lines else 0


def show(root: Path, options: Options) -> int:
    """Print the recipe, the inputs and the results of an artifact. Its page has more."""
    from punie_build.reports import terminal

    project = Project.load(root)
    task = project.task(options.target)
    if options.json:
        lock = project.lock(task) if project.is_current(task.label) else None
        facts = {name: text for name, text in terminal.facts(project, task) if text}
        print_json({"label": task.label, "facts": facts, "metrics": lock.metrics if lock else {}})
    else:
        terminal.show(project, task)
    return 0


def publish(root: Path, options: Options) -> int:
    """Write a Hub folder of an adapter or a model, with card and provenance, and upload it in one commit."""
    from punie_build.reports import hub_upload

    project = Project.load(root)
    task = project.task(options.target)
    folder = hub_upload.prepare(project, task, Path(options.sign) if options.sign else None)
    print(f"{paths.upload_folder(task.target)}/")
    for name, count in hub_upload.files(folder).items():
        print(f"    {name:<32} {format_bytes(count)}")
    if options.dry_run:
        print(f"not uploaded: without --dry-run it is uploaded to {options.repo}")
    else:
        message = f"{task.label}, key {project.lock(task).key[:12]}"
        print(f"uploaded: {hub_upload.upload(folder, options.repo, message, options.private)}")
    return 0


def _publish_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help="an adapter or a model, such as adapter:quickstart")
    command.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="the repository; it is created if it does not exist"
    )
    command.add_argument("--private", action="store_true", help="create a private repository")
    command.add_argument("--dry-run", action="store_true", help="write the folder without an upload")
    command.add_argument(
        "--sign", metavar="FILE", help="sign all files with this private key (PEM, curve P-256, P-384 or P-521)"
    )


def verify(root: Path, options: Options) -> int:
    """Verify a folder that `publish` wrote: signature, lock, and the files against the recipe. Needs no project."""
    from punie_build.reports import published_folder

    folder = root / options.folder
    if not folder.is_dir():
        raise UseError(
            f"{options.folder}: not a folder - download it first, with `hf download OWNER/NAME --local-dir DIR`"
        )
    key, base = (Path(path) if path else None for path in (options.key, options.base))
    result = published_folder.verify(folder, KINDS, key, base)
    print("\n".join(printable(line) for line in (*result.facts, *(f"WRONG: {line}" for line in result.problems))))
    return 2 if result.problems else 0


def _verify_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="a folder of an adapter or a model, as it was downloaded")
    command.add_argument("--key", metavar="FILE", help="the public key of its signer, as PEM")
    command.add_argument("--base", metavar="DIR", help="the folder of its base model, to compare them")


def show_experiments(root: Path, options: Options) -> int:
    """Print parameters and metrics of all adapters and evals that were built."""
    from punie_build.reports import experiments

    tables = experiments.load(Project.load(root))
    if options.json:
        print_json(tables)
    elif options.csv:
        print(experiments.as_csv(tables), end="")
    else:
        print("\n\n".join(map(experiments.as_text, tables)) or "no adapter or eval was built")
    return 0


def _experiment_options(command: argparse.ArgumentParser) -> None:
    json_option(command)
    command.add_argument("--csv", action="store_true", help="print CSV with all columns")


COMMANDS: dict[str, Command] = {
    "report": (report, targets),
    "show": (show, target_json),
    "experiments": (show_experiments, _experiment_options),
    "publish": (publish, _publish_options),
    "verify": (verify, _verify_options),
}
