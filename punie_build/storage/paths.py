"""Paths: where a project keeps its files. Every path is relative to the root of the project, with `/`."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath

LOCK = ".lock.json"
CARD = "README.md"
VIEWS = {"adapters": (CARD,), "models": (CARD,)}  # folder -> files drawn in a target that are no part of it
INDEX = "reports/index.html"
EXPERIMENTS = "reports/experiments.html"
SPLITS_LOCK = "splits.lock"
CODE = Path(__file__).parent.parent  # the folder of this package
DODO = "dodo.py"
STATE = ".punie"  # may be deleted at any time: store, staging folders, logs, the fast BLAS


def holder(path: str, targets: Collection[str]) -> str | None:
    """Return the one of these targets that a path is, or lies in."""
    above = path if path in targets else str(PurePosixPath(path)) if targets else ""
    while above and above not in targets:
        above = above.rpartition("/")[0]
    return above or None


def views(path: str) -> tuple[str, ...]:
    """Return the files in a target that only show it to people: they enter no digest."""
    return VIEWS.get(path.split("/", 1)[0], ())


def page(kind: str, name: str) -> str:
    """Return the HTML page of an artifact."""
    return f"reports/{kind}-{name}.html"


def markdown_page(kind: str, name: str) -> str:
    """Return the same page in Markdown, for a pull request."""
    return f"reports/{kind}-{name}.md"


def lock(target: str) -> str:
    """Return the lock beside a target."""
    return f"{target}{LOCK}"


def splits_lock(target: str) -> str:
    """Return the file beside a target that keeps the split of each group from one build to the next."""
    return f"{target}.{SPLITS_LOCK}"


def build_lock(target: str) -> str:
    """Return the file that a build locks, so that no other process builds the same target."""
    return f"{STATE}/locks/{target}"


def forgotten(target: str) -> str:
    """Return the mark of `doit forget`: the target is to be built again, not restored."""
    return f"{STATE}/forgotten/{target}"


def staging(target: str) -> str:
    """Return the folder in which a target is made before it is published; one file system, so that publishing is a
    rename."""
    return f"{STATE}/staging/{target}"


def replaced(target: str) -> str:
    """Return where a build keeps what people had put into a target, or in its place."""
    return f"{STATE}/replaced/{target}"


def checkpoints(key: str) -> str:
    """Return the folder in which a training keeps what it needs to resume."""
    return f"{STATE}/training/{key}"


def responses(key: str) -> str:
    """Return the file that caches the completions of one model, line by line."""
    return f"{STATE}/answers/{key}.jsonl"


def measurement(key: str) -> str:
    """Return the file of the losses of an adapter and its base, which models of the adapter are compared with."""
    return f"{STATE}/fidelity/{key[:32]}.safetensors"


def converted(digest: str, version: str) -> str:
    """Return the folder of a base that was converted from a file of this digest."""
    return f"{STATE}/bases/{digest[:32]}-{version}"


def tracker_run(name: str) -> str:
    """Return the folder of the experiment trackers that a training of this name reports to."""
    return f"{STATE}/boards/{name}"


def upload_folder(target: str) -> str:
    """Return the folder that a target becomes on a hub."""
    return f"{STATE}/publish/{target}"


def build_records(target: str) -> str:
    """Return the file that says when and where the last results of a target were made."""
    return f"{STATE}/builds/{target}.json"


def logs(target: str) -> str:
    """Return the folder of the logs of a build, one for each program."""
    return f"{STATE}/logs/{target}"


def user_cache() -> Path | None:
    """Return the folder of results that all projects of a user share; it may be deleted at any time. None for a user
    without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "punie-build")
    except RuntimeError:  # pragma: no cover - a user without a home
        return None


def user_config() -> Path:
    """Return the folder of what a user decides for all projects of this machine."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(home, "punie-build")


def nano() -> Path:
    """Return the embedded base: in the package where it is installed, in the repository where it is developed."""
    installed = CODE / "nano"
    return installed if installed.exists() else CODE.parent / "models" / "nano"


def documents() -> Path:
    """Return the folder of the documents: in the package where it is installed, else in the repository."""
    installed = CODE / "docs"
    return installed if installed.exists() else CODE.parent / "docs"
