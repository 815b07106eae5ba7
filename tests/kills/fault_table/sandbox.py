"""A small data project for each fault, and programs that run in it: each in a process of its own.

The project is built once and copied for each fault. A process is forked from this one, in which all modules are
imported, so that it takes a tenth of the time of a new interpreter; nothing else is shared between faults.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from doit.doit_cmd import DoitMain
from msgspec import Struct

from punie_build.cli.main import main
from punie_build.doit_plugin import startup
from tests.kills.builds import SUITE, processes
from tests.support.project import create

ROW = '{{"messages": [{{"role": "user", "content": "{}"}}, {{"role": "assistant", "content": "{}"}}]}}\n'
ROWS = "".join(ROW.format(f"What is {n} and {n}?", f"It is {2 * n}, and not {n}.") for n in range(40))
RECIPE = """
[dataset.rows]
source = { type = "local", path = "raw" }
[stage.s1]
from = "rows"
filters = [{ type = "min-messages", messages = 2 }]
[stage.s2]
from = "s1"
filters = [{ type = "content-quality" }]
[mix.all]
from = ["rows", "s2"]
[suite.few]
file = "few.toml"
"""
FILES = {"raw/rows.jsonl": ROWS, "few.toml": SUITE, "pyproject.toml": "", ".gitignore": ".punie/\ndata/*/\nreports/\n"}
TARGETS = ("data/rows", "data/s1", "data/s2", "data/all")
SECONDS = 60.0  # after which a process counts as one that hangs


class Done(Struct, frozen=True):
    """How a process ended: its exit code (negative: the signal; None: it was still running) and its output."""

    code: int | None
    output: str


def start(function: Callable[[], int], folder: Path, log: Path, variables: Mapping[str, str] | None = None) -> int:
    """Run a function in a forked process, with its output in a file, and return its number. It leads a group."""
    sys.stdout.flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if number := os.fork():
        os.close(output)
        return number
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)  # not of a test
        os.chdir(folder)
        os.environ.update({"XDG_CONFIG_HOME": f"{log}.config", "PUNIE_BUILD_SYNC": "0", **(variables or {})})
        for name in [name for name, value in os.environ.items() if value == ""]:
            del os.environ[name]
        code = function()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or 0)


def wait(number: int, log: Path, seconds: float = SECONDS) -> Done:
    """Wait for a process. One that takes longer is killed with its group, and has no code."""
    end = time.monotonic() + seconds
    pause = 0.002
    while not (found := os.waitpid(number, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(number, signal.SIGKILL)
            os.waitpid(number, 0)
            return Done(None, log.read_text(errors="replace"))
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return Done(os.waitstatus_to_exitcode(found[1]), log.read_text(errors="replace"))


def doit(*words: str) -> Callable[[], int]:
    """Return a function that runs `doit WORD ...`."""

    def run() -> int:
        sys.argv = ["doit", *words]
        startup.begin()  # as at the import of its module, which this process has imported already
        return int(DoitMain().run(list(words)) or 0)

    return run


def command(*words: str) -> Callable[[], int]:
    """Return a function that runs `punie-build WORD ...`."""

    def run() -> int:
        main(words)
        return 0

    return run


def program(*words: str) -> Callable[[], int]:
    """Return a function that becomes the program `punie-build WORD ...` or `doit WORD ...`, in a new interpreter, for
    workers that import the main module, and for a start with closed files."""
    module, arguments = ("doit", words[1:]) if words[0] == "doit" else ("punie_build", words)
    return lambda: os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


class Sandbox:
    """A project of one fault. `expected` are the files of its targets as a clean build makes them, by path."""

    def __init__(self, root: Path, expected: dict[str, bytes]) -> None:
        self.root, self.expected = root, expected
        self.log = root.parent / "log"
        self.number = 0

    def start(self, function: Callable[[], int], **variables: str) -> tuple[int, Path]:
        """Start a process in the project. Return its number and its log."""
        self.number += 1
        log = Path(f"{self.log}{self.number}")
        return start(function, self.root, log, variables), log

    def run(self, function: Callable[[], int], *, seconds: float = SECONDS, **variables: str) -> Done:
        """Run a process in the project to its end."""
        return wait(*self.start(function, **variables), seconds)

    def build(self, *words: str, **variables: str) -> Done:
        return self.run(doit(*words), **variables)

    def files(self) -> dict[str, bytes]:
        """Return the files of all targets that are there."""
        found = {}
        for target in TARGETS:
            for path in sorted((self.root / target).rglob("*")):
                if path.is_file():
                    found[path.relative_to(self.root).as_posix()] = path.read_bytes()
        return found

    def remove_targets(self) -> None:
        """Remove all targets; their locks stay."""
        for target in TARGETS:
            shutil.rmtree(self.root / target, ignore_errors=True)

    def unbuild(self) -> None:
        """Remove everything that a build makes."""
        for name in ("data", "reports", ".punie"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def processes(self) -> list[str]:
        """Return the processes that still run in the project."""
        return processes(self.root)


def _with_modules(path: Path) -> Callable[[], int]:
    """Return a function that builds, and writes the names of all modules that this imports."""

    def build() -> int:
        code = doit()()
        path.write_text("\n".join(name for name in sys.modules if not name.startswith("__")))
        return code

    return build


class Template:
    """The project of all faults, built once."""

    def __init__(self, folder: Path) -> None:
        self.root = create(folder / "template", RECIPE, FILES)
        first = Sandbox(self.root, {})
        started = time.monotonic()
        done = first.run(_with_modules(folder / "modules"))
        assert done.code == 0, done.output
        self.seconds = time.monotonic() - started
        for name in (folder / "modules").read_text().split():
            with suppress(ImportError):
                import_module(name)
        self.expected = first.files()

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """Yield a copy of the project."""
        with tempfile.TemporaryDirectory(prefix="fault-", ignore_cleanup_errors=True) as folder:
            root = Path(folder, "project")
            shutil.copytree(self.root, root, symlinks=True)
            yield Sandbox(root, self.expected)
