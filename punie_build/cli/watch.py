"""The command `watch`: a build for every change, and the pages with its progress in a browser."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path, PurePath

from punie_build.cli.options import Command, Options, targets
from punie_build.engine import events
from punie_build.errors import PunieError, join_first
from punie_build.project import Project
from punie_build.runtime import file_changes
from punie_build.runtime.child import Child
from punie_build.storage import paths

PORT = 8410
LOG = f"{paths.STATE}/logs/watch.log"
CODE = (".toml", ".py")  # recipes, suites, and what they import
MAX_NAMED = 3  # changed files in one line


def watch(root: Path, options: Options) -> int:
    """Build on every change, and serve the pages with the progress of the build, until Ctrl-C.

    Changes during a build are built after it. A build is a process of its own, which ends with this one.
    """
    from punie_build.reports import live

    if not Project.has_recipes(root):
        Project.load(root)  # which says so, and ends the command: there is nothing to wait for
    if not file_changes.has_notifications():
        print("watchfiles is not installed, so all files are compared - pip install 'punie-build[watch]'")
    with live.LiveServer(root, options.port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"{server.origin}/  (Ctrl-C ends)", flush=True)
        inputs: set[str] = set()

        def matters(path: str) -> bool:
            return PurePath(path).suffix in CODE or paths.holder(path, inputs) is not None

        try:
            for changed in file_changes.changes(root, matters):
                if changed:
                    print(f"changed: {join_first(changed, MAX_NAMED)}", flush=True)
                inputs |= inputs_of(root)
                build(root, options.targets)
        except KeyboardInterrupt:
            print("\nended: finished artifacts are kept, and `punie-build watch` goes on with the others")
        finally:
            server.shutdown()
    return 0


def inputs_of(root: Path) -> set[str]:
    """Return the files and folders that artifacts are built from and that no task builds; none if recipes have
    mistakes, which the build reports."""
    try:
        tasks = Project.load(root).tasks
    except PunieError:
        return set()
    local = {path for task in tasks for base in task.external.values() if (path := getattr(base, "path", ""))}
    return local.union(*(task.inputs for task in tasks)) - {task.target for task in tasks}


def build(root: Path, names: list[str]) -> int:
    """Build artifacts in a process that ends with this one; its mistakes are printed and recorded. Return its code."""
    child = Child("punie_build", ["build", "--continue", *names], root / LOG)
    child.output = sys.stdout.buffer
    with child:
        code = child.process.wait()
    if (text := child.text().strip()) and code:
        print(text, file=sys.stderr, flush=True)
        events.record(root, "refused", text=text)
    return code


def _options(command: argparse.ArgumentParser) -> None:
    targets(command)
    command.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"the port on 127.0.0.1, 0 for a free one; default: {PORT}"
    )


COMMANDS: dict[str, Command] = {"watch": (watch, _options)}
