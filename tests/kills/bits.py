"""Flip one bit in each file of `.punie` and of the cache folder, in turn: the next build heals it, or says what to do.

    python tests/kills/bits.py                     data, training and evals: prints a line for each file
    python tests/kills/bits.py --only data         minutes

After each flip the targets are removed and built again. Files of the store are flipped while the store is used; of the
other caches (checkpoints, answers, BLAS) while the store is absent, so that the steps run and read them. The law: a
build ends with 0 and equal bytes, or with a sentence, and the build after it with 0 and equal bytes; a traceback is a
violation. `tests/integration/test_flipped_bits.py` is a short form.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.builds import FOLDERS, TRAINING, data_recipe, files_of_targets, project

PROJECTS = {"data": data_recipe(6), "training": TRAINING}
SKIPPED = ("logs", "locks", "events.jsonl")  # no build reads them


def flip(path: Path, rng: random.Random) -> None:
    """Flip one bit of a file, and leave its times as they were: the disk did it."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def flippable(root: Path) -> list[Path]:
    """Return the files of `.punie` and of the cache folder that have bytes and that builds read."""
    paths = (path for folder in (".punie", "cache") for path in sorted((root / folder).rglob("*")))
    files = (path for path in paths if path.is_file() and not path.is_symlink() and path.stat().st_size)
    return [path for path in files if path.relative_to(root).parts[1] not in SKIPPED]


def files(root: Path) -> dict[str, bytes]:
    """Return the files of all targets, without the cards, which are drawn from more than their target."""
    return {name: content for name, content in files_of_targets(root).items() if not name.endswith("/README.md")}


def build(root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "doit"],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(root / "cache"), "PUNIE_BUILD_SYNC": "0"},
    )
    return done.returncode, done.stdout + done.stderr


def flips(root: Path, rng: random.Random, minutes: float) -> Iterator[tuple[str, str, str]]:
    """Yield the file, the result and the violation, if there is one, of each flip."""
    deadline = time.monotonic() + minutes * 60
    assert build(root)[0] == 0
    expected, backup = files(root), root.with_name("backup")
    shutil.copytree(root, backup, symlinks=True)
    names = [path.relative_to(root) for path in flippable(root)]
    rng.shuffle(names)
    for name in names:
        if time.monotonic() > deadline:
            return
        shutil.rmtree(root)
        shutil.copytree(backup, root, symlinks=True)  # copies the times too
        for folder in FOLDERS:
            for target in (root / folder).glob("*/"):
                shutil.rmtree(target)
        if name.parts[:2] != (".punie", "store"):
            shutil.rmtree(root / ".punie/store")
        flip(root / name, rng)
        code, output = build(root)
        result = "healed"
        if code:
            result = f"a sentence: {output.strip().splitlines()[-1][:150]}"
            code, again = build(root)
            output += again
        actual = files(root)
        differ = sorted(path for path in expected.keys() | actual if expected.get(path) != actual.get(path))
        wrong = ", ".join(differ) + (output.strip()[-800:] if code else "")
        yield name.as_posix(), result, wrong or ("a traceback" if "Traceback" in output else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PROJECTS)
    parser.add_argument("--minutes", type=float, default=600)
    options = parser.parse_args()
    violations = count = 0
    for name in [options.only] if options.only else PROJECTS:
        with tempfile.TemporaryDirectory() as folder:
            root = project(Path(folder, "p"), PROJECTS[name])
            for file, result, violation in flips(root, random.Random(options.seed), options.minutes):
                count += 1
                violations += bool(violation)
                print(f"{name}: {file}: {(violation and f'VIOLATION {violation}') or result}", flush=True)
    print(f"{count} bits flipped, {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
