"""Layout: where each target lives. Every path of a project is written in this file, relative to its root, with `/`."""

from __future__ import annotations

from pathlib import Path

FOLDERS = {
    "dataset": "data",
    "stage": "data",
    "mix": "data",
    "tokens": "data",
    "preflight": "preflight",
    "adapter": "adapters",
    "model": "models",
    "choice": "adapters",
    "grid": "reports",
    "answers": "answers",
    "eval": "reports",
    "comparison": "reports",
}
ENDINGS = {"grid": "@grid"}  # a grid, an eval and a comparison may have one name
LOCK = ".lock.json"
CARD = "README.md"
VIEWS = {"adapters": (CARD,), "models": (CARD,)}  # what is drawn in a target, and is no part of it
INDEX = "reports/index.html"
REMEMBERED = "splits.lock"
STATE = ".punie"  # what may be deleted at any time: store, staging, logs, the fast BLAS


def target(kind: str, name: str) -> str:
    """The folder an artifact is, such as `data/clean`."""
    return f"{FOLDERS[kind]}/{name}{ENDINGS.get(kind, '')}"


def views(place: str) -> tuple[str, ...]:
    """The files in a target that show it to people: they enter no digest, and no target is made of them."""
    return VIEWS.get(place.split("/", 1)[0], ())


def page(kind: str, name: str) -> str:
    """The page that shows an artifact."""
    return f"reports/{kind}-{name}.html"


def twin(kind: str, name: str) -> str:
    """The same in Markdown, for a pull request."""
    return f"reports/{kind}-{name}.md"


def lock(target: str) -> str:
    """The lock beside a target: its recipe, inputs and outputs by digest."""
    return f"{target}{LOCK}"


def splits(target: str) -> str:
    """What a split remembers from one build to the next: the side of each group."""
    return f"{target}.{REMEMBERED}"


def guard(target: str) -> str:
    """The file that whoever builds a target holds, so that nobody else does."""
    return f"{STATE}/locks/{target}"


def forgotten(target: str) -> str:
    """The mark that a target was forgotten: it is to be made again, not restored."""
    return f"{STATE}/forgotten/{target}"


def staging(target: str) -> str:
    """Where a target is made before it is published; on the same file system, so that publishing is a rename."""
    return f"{STATE}/staging/{target}"


def checkpoints(identity: str) -> str:
    """Where a training keeps what it needs to go on after a kill, or when it is to be longer."""
    return f"{STATE}/training/{identity}"


def answered(identity: str) -> str:
    """Where all that some weights ever said is written down: a cache, line by line."""
    return f"{STATE}/answers/{identity}.jsonl"


def board(name: str) -> str:
    """Where the trackers that a training of this name reports to keep what they are told."""
    return f"{STATE}/boards/{name}"


def published(target: str) -> str:
    """The folder that a target becomes on a hub."""
    return f"{STATE}/publish/{target}"


def logs(target: str) -> str:
    """The folder of what was written while a target was made; one log for each program."""
    return f"{STATE}/logs/{target}"


def nano() -> Path:
    """The embedded base: in the package where it was installed, in the repository where it is developed."""
    here = Path(__file__).parent.parent
    installed = here / "nano"
    return installed if installed.exists() else here.parent / "models" / "nano"
