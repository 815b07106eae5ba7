"""The command `doctor`: the facts of a machine and a project that decide whether a build works here."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from punie_build import __version__
from punie_build.cli.options import Command, Options, json_option, print_json
from punie_build.errors import PunieError, RecipeError
from punie_build.project import Project
from punie_build.runtime import blas, versions
from punie_build.runtime.console import format_bytes, format_count
from punie_build.storage import settings

SIGNS = {"ok": "ok", "remark": "--", "problem": "!!"}
EXTRAS = {  # package -> (extra that installs it, purpose)
    "pyarrow": ("tables", "Parquet"),
    "fsspec": ("shared", "a shared store"),
    "optuna": ("search", "searches"),
    "gguf": ("gguf", "GGUF files"),
    "tensorboardX": ("tensorboard", "logs for TensorBoard"),
}
LOW_DISK = 5 * 10**9  # bytes


class Fact(Struct, frozen=True):
    """`level` is ok, remark or problem; `advice` is empty for ok."""

    level: str
    name: str
    text: str
    advice: str = ""


def doctor(root: Path, options: Options) -> int:
    """Print versions, device, memory, disk, extras, git and the recipes, with advice where a build would suffer."""
    facts = [*_machine(root), *_packages(), *_project(root)]
    if options.json:
        print_json(facts)
    else:
        for fact in facts:
            print(f"{SIGNS[fact.level]}  {fact.name}: {fact.text}" + (f" - {fact.advice}" if fact.advice else ""))
    return 2 if any(fact.level == "problem" for fact in facts) else 0


def _machine(root: Path) -> Iterator[Fact]:
    from punie_build.preflight import resources

    yield Fact("ok", "punie-build", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    memory = resources.available(root).memory
    yield Fact("ok", "device", versions.device() + (f", {format_bytes(memory)} of memory" if memory else ""))
    if sys.platform == "linux":
        slow = blas.advice()
        yield Fact("remark" if slow else "ok", "matrix products", slow or blas.name())
    free = shutil.disk_usage(root).free
    advice = "a training needs room for checkpoints and models" if free < LOW_DISK else ""
    yield Fact("problem" if advice else "ok", "disk", f"{format_bytes(free)} free here", advice)


def _packages() -> Iterator[Fact]:
    for package in ("doit", "mlx", "mlx-lm", "transformers"):
        version = versions.version(package)
        missing = version == "absent"
        advice = "pip install punie-build" if missing else ""
        yield Fact("problem" if missing else "ok", package, version, advice)
    for package, (extra, purpose) in EXTRAS.items():
        try:
            yield Fact("ok", package, f"{metadata.version(package)}, for {purpose}")
        except metadata.PackageNotFoundError:
            yield Fact("remark", package, f"absent, needed for {purpose}", f"pip install 'punie-build[{extra}]'")


def _project(root: Path) -> Iterator[Fact]:
    git = shutil.which("git")
    command = [git or "git", "-C", str(root), "rev-parse", "--is-inside-work-tree"]
    if git is None:
        yield Fact("remark", "git", "absent", "locks are meant to be committed")
    elif subprocess.run(command, capture_output=True, check=False).returncode:
        yield Fact("remark", "git", "this folder is in no repository", "locks are meant to be committed: git init")
    else:
        yield Fact("ok", "git", "a repository")
    if not Project.has_recipes(root):
        yield Fact("remark", "project", "no recipes here", "punie-build init")
        return
    try:
        project = Project.load(root)
    except RecipeError as error:
        yield Fact("problem", "recipes", format_count(len(error.problems), "mistake"), "punie-build plan lists them")
        return
    except PunieError as error:
        yield Fact("problem", "project", str(error))
        return
    states = [project.state(task) for task in project.tasks_in_use()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield Fact("ok", "artifacts", counts)
    failed = project.failed_gates()
    if failed:
        yield Fact("problem", "gates", f"{format_count(len(failed), 'artifact')} fail a gate", "punie-build list")
    if remark := settings.not_allowed(root):
        yield Fact("remark", "store", remark)


COMMANDS: dict[str, Command] = {"doctor": (doctor, json_option)}
