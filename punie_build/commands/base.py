"""What commands share: the shape of one, its usual options, the tasks it names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from punie_build import digests
from punie_build.graph import Task, tasks
from punie_build.loading import load
from punie_build.planning import named

Options = argparse.Namespace
Command = tuple[Callable[[Path, Options], int], Callable[[argparse.ArgumentParser], None]]
TARGET = "a name as `doit list` shows it, such as adapter:quickstart"


def chosen(root: Path, wanted: Sequence[str]) -> list[Task]:
    """The tasks of these labels and all they need; all tasks for none."""
    from punie_build.planning import needed

    found = list(tasks(load(root)))
    digests.remember(root)
    return needed(found, [task.label for task in named(found, wanted)]) if wanted else found


def target(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help=TARGET)


def targets(command: argparse.ArgumentParser) -> None:
    command.add_argument("targets", nargs="*", metavar="TARGET", help=f"{TARGET}; none: everything")


def nothing(_command: argparse.ArgumentParser) -> None:
    """A command without options."""
