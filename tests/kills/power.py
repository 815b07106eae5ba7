"""Cut the power at instants of builds of data, training and serving: what is on the disk must rebuild alone.

    python tests/kills/power.py --cuts 20        prints a line for each cut; exits with 1 after any violation

A project is built on a disk of its own (`tests/support/cut_disk.py`), with its cache folder. At an instant of the build
or shortly after it, the processes are stopped and the disk is copied without a sync. The copy is mounted, as after a
power cut, and built again: it ends with 0 and the bytes of an uninterrupted build, nothing is restored by hand, and
the build after it has nothing to do. Needs the right to mount. `tests/integration/test_power_cuts.py` is a short form.
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
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.builds import FOLDERS, TRAINING, data_recipe, files_of_targets, project
from tests.support import cut_disk

PROJECTS = {"data": data_recipe(12), "training": TRAINING}
AFTER = 6.0  # seconds after the build: ext4 commits its journal every five


def build(root: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(root / "cache"), "PUNIE_BUILD_SYNC": "1"}
    log = root.parent.parent / f"{root.parent.name}.log"
    with log.open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "doit"], cwd=root, stdout=out, stderr=out, env=environment, start_new_session=True
        )


def splits(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("data/*.splits.lock")}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PROJECTS)
    options = parser.parse_args()
    rng, violations = random.Random(options.seed), 0
    for name in [options.only] if options.only else PROJECTS:
        with tempfile.TemporaryDirectory() as text:
            violations += cuts(Path(text), name, options.cuts if options.only else options.cuts // 2, rng)
    print(f"{violations} cuts did not rebuild alone to equal bytes")
    return 1 if violations else 0


def cuts(folder: Path, name: str, count: int, rng: random.Random) -> int:
    """Cut the power `count` times in builds of a project. Return the number of violations."""
    violations = 0
    with cut_disk.disk(folder, 256) as disk:
        root = project(disk / "p", PROJECTS[name])
        os.sync()
        started = time.monotonic()
        assert build(root).wait() == 0, (folder / f"{disk.name}.log").read_text()
        duration = time.monotonic() - started
        expected = files_of_targets(root) | splits(root)
        for number in range(count):
            for path in (*(root / folder for folder in FOLDERS), root / ".punie", root / "cache"):
                shutil.rmtree(path, ignore_errors=True)
            os.sync()
            delay = rng.uniform(0.3, duration + AFTER)
            child = build(root)
            time.sleep(delay)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGSTOP)
            cut = cut_disk.cut(folder)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            ended = child.wait() == 0
            problems = rebuilt(cut, expected)
            violations += bool(problems)
            instant = f"{delay - duration:.1f} s after" if ended else f"{delay:.1f} of {duration:.1f} s"
            print(f"{name} {number + 1}: cut {instant}: {'; '.join(problems) or 'equal bytes'}", flush=True)
    return violations


def rebuilt(image: Path, expected: dict[str, bytes]) -> list[str]:
    """Build what is on a disk after its power was cut. Return how that differs from an uninterrupted build."""
    with cut_disk.mounted(image) as disk:
        root, log = disk / "p", disk.parent / f"{disk.name}.log"
        if code := build(root).wait():
            return [f"exit code {code}: {log.read_text().strip()[-600:]}"]
        first, actual = log.read_text(), files_of_targets(root) | splits(root)
        problems = [name for name in sorted(expected.keys() | actual) if expected.get(name) != actual.get(name)]
        problems += [line.strip() for line in first.splitlines() if "edited" in line or "kept in" in line]
        if build(root).wait() or "current" not in log.read_text():
            problems.append(f"the next build: {log.read_text().strip()[-300:]}")
        return problems


if __name__ == "__main__":
    sys.exit(main())
