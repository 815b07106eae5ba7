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
DATA = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }
[stage.s0]
from = "sample"
filters = [{ type = "min-messages", messages = 1 }]
""" + "".join(
    f'[stage.s{n}]\nfrom = "s{n - 1}"\nfilters = [{{ type = "min-messages", messages = {1 + n % 2} }}]\n'
    for n in range(1, 40)
)
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


def project(root: Path, recipe: str) -> Path:
    return create(root, recipe, {"few.toml": SUITE})


def build(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doit", *arguments], cwd=place, capture_output=True, text=True, timeout=600
    )


def made(place: Path) -> dict[str, bytes]:
    """Every file of every target; locks hold how long it took, so they are left out."""
    tops = dict.fromkeys(paths.FOLDERS.values())
    found = (path for top in tops for path in (place / top).glob("*/*"))
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def wrong(place: Path, right: dict[str, bytes]) -> list[str]:
    """Targets whose lock and files agree, and that are not what an uninterrupted build made."""
    found = []
    for path in locks.present(place):
        lock = locks.read(path)
        target = path.relative_to(place).as_posix().removesuffix(paths.LOCK)
        if lock is None:
            found.append(f"{target}: torn lock")
        elif (place / target).is_dir() and digests.of_target(place / target, target) == lock.outputs:
            found += [
                f"{target}/{name}"
                for name in lock.outputs
                if (place / target / name).read_bytes() != right.get(f"{target}/{name}")
            ]
    return found


def alive(place: Path) -> list[str]:
    """Return the processes that name the project, run in it, or write one of its files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            names = [command, os.readlink(process / "cwd"), os.readlink(process / "fd" / "1")]
        except OSError:
            continue
        if state != "Z" and int(process.name) != os.getpid() and any(str(place) in name for name in names):
            found.append(f"{process.name} {command}")
    return found


def orphans(place: Path, patience: float = 10.0) -> list[str]:
    deadline = time.monotonic() + patience
    while (left := alive(place)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def again(place: Path) -> None:
    """Nothing was ever built here."""
    for top in dict.fromkeys(paths.FOLDERS.values()):
        shutil.rmtree(place / top, ignore_errors=True)
    shutil.rmtree(place / paths.STATE / "store", ignore_errors=True)


def phase(place: Path) -> str:
    """What the build was doing, by what it left in the staging folder."""
    left = [path.relative_to(place / paths.STATE / "staging") for path in (place / paths.STATE / "staging").glob("*/*")]
    kinds = {"data": "data", "adapters": "training", "reports": "serving or reporting"}
    return kinds.get(left[0].parts[0], "other") if left else "between tasks, publishing or deciding"


def kills(
    place: Path, right: dict[str, bytes], span: float, count: int, chance: random.Random, sign: int = signal.SIGKILL
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Kill `count` builds. Yield the phase, the wrong targets and the orphans of each.

    `span` is how long an uninterrupted build takes: instants are drawn from what is left of it, so that every part is
    hit.
    """
    done = 0
    before = 0.0
    while done < count:
        with (place / "build.log").open("wb") as log:
            child = subprocess.Popen([sys.executable, "-m", "doit"], cwd=place, stdout=log, stderr=log)
        try:
            child.wait(chance.uniform(0.15, max(span - before, 0.5)))
        except subprocess.TimeoutExpired:
            child.send_signal(sign)
            child.wait()
            done += 1
            before = before + 0.1 * span if before < 0.9 * span else 0.0
            yield phase(place), wrong(place, right), orphans(place)
            continue
        assert child.returncode == 0, (place / "build.log").read_text()
        assert made(place) == right, "a build that got to its end is another"
        again(place)
        before = 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name, recipe in PROJECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = project(Path(folder, "p"), recipe)
            assert build(place).returncode == 0
            again(place)
            started = time.monotonic()
            assert build(place).returncode == 0
            span, right = time.monotonic() - started, made(place)
            again(place)
            for sign, share in ((signal.SIGKILL, 0.8), (signal.SIGTERM, 0.1), (signal.SIGINT, 0.1)):
                hit: Counter[str] = Counter()
                for where, errors, left in kills(
                    place, right, span, round(options.kills / 2 * share), random.Random(options.seed), sign
                ):
                    hit[where] += 1
                    bad += len(errors) + len(left)
                    for line in (*errors, *left):
                        print(f"{name}: {sign.name}: {line}", flush=True)
                last = build(place)
                same = last.returncode == 0 and made(place) == right
                bad += not same
                print(
                    f"{name}: {hit.total()} x {sign.name}, {dict(hit)}; then a plain build: "
                    f"{'the same bytes' if same else 'OTHER BYTES'}",
                    flush=True,
                )
    print(f"{bad} torn, mislabelled or orphaned")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
