"""Faults of repositories: those of other people, whose files and settings must not act, and git in our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.kills.fault_table.row import Result, Row, healed, output_problem, right
from tests.kills.fault_table.sandbox import Sandbox, command, doit

FOREIGN, GIT = "foreign projects", "branches, stashes and merges in git"
LOOKS = (
    ("check",),
    ("check", "--outputs"),
    ("plan",),
    ("why", "s1"),
    ("show", "s1"),
    ("list",),
    ("info", "s1"),
    ("doctor",),
    ("history", "s1"),
    ("prune", "--dry-run"),
    ("provenance", "s1"),
    ("doit", "list"),
    ("doit", "list", "-s"),
    ("doit", "info", "stage:s1"),
)
STORES = {
    "http": 'store = "{}/x"',
    "S3": 'store = "s3://bucket/x"\nstore_options = {{ endpoint_url = "{}" }}',
    "an executor": 'executor = "dask://{}"',
}
SHADOWS = ("types", "struct", "queue", "json", "random", "typing", "re", "enum", "doit", "msgspec", "pathlib", "signal")


@contextmanager
def _listener() -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a server, and a list that has an item for each connection."""
    connections: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}", connections
        server.setblocking(False)  # the system accepts them before anyone asks for them
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                connections.append(1)


def _looked_at(store: str, words: tuple[str, ...], box: Sandbox) -> Result:
    secrets = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    with _listener() as (address, connections):
        where = address if store == "an executor" else f"http://{address}"
        (box.root / "pyproject.toml").write_text(f"[tool.punie-build]\n{STORES[store].format(where)}\n")
        box.unbuild()
        run = doit(*words[1:]) if words[0] == "doit" else command(*words)
        done = box.run(run, seconds=30, **secrets)
    if connections:
        return Result("wrong", f"{len(connections)} connections to a host that the user has not allowed")
    if (box.root / "data/s1").exists():
        return Result("wrong", "a look built something")
    return output_problem(done) or Result("right bytes")


def _shadowed(module: str, box: Sandbox) -> Result:
    (box.root / f"{module}.py").write_text('open("PWNED", "w").close()\nraise SystemExit("shadowed")\n')
    box.unbuild()

    def build() -> int:  # a program of its own: this process has imported all modules already
        script = str(Path(sys.executable).with_name("doit"))
        return subprocess.run([sys.executable, script, "-n", "2"]).returncode

    done = box.run(build)
    if (box.root / "PWNED").exists():
        return Result("wrong", "a file of the project ran as a module")
    return output_problem(done) or right(box, done)


def _git(box: Sandbox, *commands: str) -> None:
    for line in commands:
        subprocess.run(["bash", "-c", line], cwd=box.root, check=True, capture_output=True)


START = "git init -q . && git config user.email a@b && git config user.name n && git add -A && git commit -qm one"
EDIT = "sed -i 's/messages = 2/messages = 3/' recipes/project.toml"
STORIES = {
    "a branch and back": (
        START,
        f"git checkout -qb b && {EDIT} && git commit -qam two",
        "BUILD",
        "git add -A; git commit -qm locks || true",
        "git checkout -q -",
    ),
    "a stash during the work": (START, EDIT, "BUILD", "git stash -q"),
    "a stash and back": (
        START,
        "echo '# x' >> few.toml",
        "git stash -q && git stash pop -q && git checkout -q few.toml",
    ),
    "clean -fdx": (START, "git clean -qfdx"),
    "clean -fdx but the state": (START, "git clean -qfdx -e .punie"),
    "a merge with conflicts in a lock": (
        START,
        f"git checkout -qb b && {EDIT}",
        "BUILD",
        "git add -A && git commit -qm two && git checkout -q -",
        "sed -i 's/messages = 2/messages = 1/' recipes/project.toml",
        "BUILD",
        "git add -A && git commit -qm three",
        "git merge b || true",
        "git checkout --ours -- recipes",
        "sed -i 's/messages = 1/messages = 2/' recipes/project.toml",
    ),
    "a worktree": (START, "git worktree add -q ../other && rm -rf ../other && git worktree prune"),
    "a lock of another branch": (START, "cp data/s2.lock.json data/s1.lock.json"),
    "locks with CRLF": (START, "sed -i 's/$/\\r/' data/*.lock.json"),
    "all times new": (START, "git ls-files | xargs touch"),
}


def _story(name: str, box: Sandbox) -> Result:
    for line in STORIES[name]:
        if line == "BUILD":
            if problem := output_problem(box.build()):
                return problem
        else:
            _git(box, line)
    return healed(box)


def _equal_rebuild(box: Sandbox) -> Result:
    _git(box, START)
    box.remove_targets()
    shutil.rmtree(box.root / ".punie")
    done = box.build()
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=box.root, capture_output=True, text=True).stdout
    if changed.strip():
        return Result("wrong", f"an equal rebuild changed {changed}")
    return output_problem(done) or right(box, done)


def rows(_template: Path) -> Iterator[Row]:
    """Yield the faults of repositories."""
    for store in STORES:
        for words in LOOKS:
            yield Row(FOREIGN, f"{' '.join(words)} with {store}", partial(_looked_at, store, words))
    for module in SHADOWS:
        yield Row(FOREIGN, f"{module}.py in the project", partial(_shadowed, module))
    for name in STORIES:
        yield Row(GIT, name, partial(_story, name))
    yield Row(GIT, "an equal rebuild", _equal_rebuild)
