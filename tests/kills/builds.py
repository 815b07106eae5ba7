"""The kill matrix: kill builds at random instants, and check the files and processes afterwards.

    python tests/kills/builds.py --kills 300          prints a table; exits with 1 after any violation

The instants are drawn from the remaining time of the build. After each kill, every target that matches its lock has
the bytes of an uninterrupted build, and no process of the build is alive. In the end, a plain build gives the same
bytes as an uninterrupted one. `tests/integration/test_kills.py` runs a short form.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from punie_build.artifacts.registry import KINDS
from punie_build.storage import digests, locks, paths

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.project import create

SUITE = """
tools = "editor"
[[case]]
id = "read"
category = "read_file"
prompt = "Show me notes.txt"
checks = [{ type = "no-call" }]
[[case]]
id = "hello"
category = "words"
prompt = "Hello"
checks = [{ type = "no-call" }]
"""


def data_recipe(stages: int) -> str:
    """Return a recipe of quick data stages, each of which keeps all rows of the one before."""
    return '[dataset.sample]\nsource = { type = "sample", max_examples = 60 }\n' + "".join(
        f'[stage.s{n}]\nfrom = "{f"s{n - 1}" if n else "sample"}"\n'
        f'filters = [{{ type = "min-messages", messages = {1 + n % 2} }}]\n'
        for n in range(stages)
    )


DATA = data_recipe(40)
TRAINING = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }
[mix.all]
from = ["sample", "hand-authored"]
[adapter.tiny]
base = "nano"
data = "all"
iters = 6
batch_size = 2
num_layers = 1
max_seq_length = 256
lora = { rank = 2 }
steps_per_eval = 6
allow = ["turns"]
[suite.few]
file = "few.toml"
[comparison.tiny]
arms = ["nano", "tiny"]
suite = "few"
max_tokens = 8
"""
PROJECTS = {"data": DATA, "training": TRAINING}
FOLDERS = list(dict.fromkeys(kind.folder for kind in KINDS.values() if kind.folder))


def project(root: Path, recipe: str) -> Path:
    return create(root, recipe, {"few.toml": SUITE})


def build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doit", *arguments], cwd=root, capture_output=True, text=True, timeout=600
    )


def files_of_targets(root: Path) -> dict[str, bytes]:
    """Return every file of every target. Locks hold the duration of the build, so they are left out."""
    files = (path for folder in FOLDERS for path in (root / folder).glob("*/*"))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def wrong_files(root: Path, expected: dict[str, bytes]) -> list[str]:
    """Return the files that match their lock and differ from those of an uninterrupted build."""
    problems = []
    for path in locks.present(root, FOLDERS):
        lock = locks.read(path)
        target = path.relative_to(root).as_posix().removesuffix(paths.LOCK)
        if lock is None:
            problems.append(f"{target}: incomplete lock")
        elif (root / target).is_dir() and digests.of_target(root / target, target) == lock.outputs:
            names = [f"{target}/{name}" for name in lock.outputs]
            problems += [name for name in names if (root / name).read_bytes() != expected.get(name)]
    return problems


def processes(root: Path) -> list[str]:
    """Return the processes that name the project, run in it, or write one of its files."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            names = [command, os.readlink(process / "cwd"), os.readlink(process / "fd" / "1")]
        except OSError:
            continue
        if state != "Z" and int(process.name) != os.getpid() and any(str(root) in name for name in names):
            lines.append(f"{process.name} {command}")
    return lines


def orphans(root: Path, grace_seconds: float = 10.0) -> list[str]:
    """Wait for the processes of a project to end. Return those that did not."""
    deadline = time.monotonic() + grace_seconds
    while (running := processes(root)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def reset(root: Path) -> None:
    """Remove all targets and the store."""
    for folder in FOLDERS:
        shutil.rmtree(root / folder, ignore_errors=True)
    shutil.rmtree(root / paths.STATE / "store", ignore_errors=True)


def phase(root: Path) -> str:
    """Return the activity of a killed build, by the files in the staging folder."""
    staging = root / paths.STATE / "staging"
    folders = [path.relative_to(staging).parts[0] for path in staging.glob("*/*")]
    kinds = {"data": "data", "adapters": "training", "reports": "serving or reporting"}
    return kinds.get(folders[0], "other") if folders else "between tasks, publishing or deciding"


def kills(
    root: Path,
    expected: dict[str, bytes],
    duration: float,
    count: int,
    rng: random.Random,
    signal_number: int = signal.SIGKILL,
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Kill `count` builds. Yield the phase, the wrong targets and the orphans of each.

    `duration` is that of an uninterrupted build. The instants are drawn from its remaining time, so that every part is
    hit.
    """
    killed = 0
    elapsed = 0.0
    while killed < count:
        with (root / "build.log").open("wb") as log:
            child = subprocess.Popen([sys.executable, "-m", "doit"], cwd=root, stdout=log, stderr=log)
        try:
            child.wait(rng.uniform(0.15, max(duration - elapsed, 0.5)))
        except subprocess.TimeoutExpired:
            child.send_signal(signal_number)
            child.wait()
            killed += 1
            elapsed = elapsed + 0.1 * duration if elapsed < 0.9 * duration else 0.0
            yield phase(root), wrong_files(root, expected), orphans(root)
            continue
        assert child.returncode == 0, (root / "build.log").read_text()
        assert files_of_targets(root) == expected, "a complete build gave other bytes"
        reset(root)
        elapsed = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    violations = 0
    for name, recipe in PROJECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            root = project(Path(folder, "p"), recipe)
            assert build(root).returncode == 0
            reset(root)
            started = time.monotonic()
            assert build(root).returncode == 0
            duration, expected = time.monotonic() - started, files_of_targets(root)
            reset(root)
            for sign, share in ((signal.SIGKILL, 0.8), (signal.SIGTERM, 0.1), (signal.SIGINT, 0.1)):
                phases: Counter[str] = Counter()
                count, rng = round(options.kills / 2 * share), random.Random(options.seed)
                for activity, errors, running in kills(root, expected, duration, count, rng, sign):
                    phases[activity] += 1
                    violations += len(errors) + len(running)
                    for line in (*errors, *running):
                        print(f"{name}: {sign.name}: {line}", flush=True)
                last = build(root)
                same = last.returncode == 0 and files_of_targets(root) == expected
                violations += not same
                print(
                    f"{name}: {phases.total()} x {sign.name}, {dict(phases)}; then a plain build: "
                    f"{'the same bytes' if same else 'OTHER BYTES'}",
                    flush=True,
                )
    print(f"{violations} incomplete, mislabeled or orphaned")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
