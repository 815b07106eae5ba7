"""Run every test that `docs/promises.md` names, and print the promises with their results: the table of faults.

python tests/kills/promises.py               exits with 1 if a promise is not held
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (.+?) \|.*\| `(tests/\S+\.py)::(\w+)` \|$", re.MULTILINE)


def promises() -> list[tuple[str, str, str]]:
    """Return the promise, the file and the name of the test of each row."""
    return ROW.findall((ROOT / "docs/promises.md").read_text(encoding="utf-8"))


def main() -> int:
    rows, broken = promises(), 0
    names = [f"{file}::{name}" for _, file, name in rows]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-rA", "-q", "--no-header", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    for promise, file, name in rows:
        results = set(
            re.findall(rf"^(PASSED|FAILED|ERROR|SKIPPED) .*{re.escape(f'{file}::{name}')}\b", done.stdout, re.MULTILINE)
        )
        held = results == {"PASSED"}
        broken += not held
        print(f"{'held  ' if held else 'BROKEN'}  {promise}" + ("" if held else f"  {sorted(results) or 'not run'}"))
    print(f"{len(rows)} promises, {broken} not held")
    if broken:
        print(done.stdout[-5000:])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
