"""Measure the branch coverage of packages by their own tests, and fail if one is below its floor.

    python -m tests.support.coverage_gate               run the tests below `FLOORS` under coverage, and report
    python -m tests.support.coverage_gate --report      report the data of the last run, after `coverage combine`

`FLOORS` has the percentage of lines and branches that must be covered, by package. Other packages are not checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FLOORS = {
    "punie_build/schema": 100.0,
    "punie_build/engine": 100.0,
    "punie_build/storage": 100.0,
    "punie_build/evaluation/scoring.py": 100.0,
}
TESTS = (
    "tests/unit/schema",
    "tests/unit/engine",
    "tests/unit/storage",
    "tests/unit/cluster",
    "tests/unit/cli/test_history.py",  # of storage/git_history.py
    "tests/unit/evaluation/test_scoring.py",
    "tests/unit/evaluation/test_suite.py",
    "tests/integration/test_cluster.py",  # of engine/executor.py
)


def percent(files: Mapping[str, Any], prefix: str) -> float | None:
    """Compute the percentage of covered lines and branches below a path. None if no file of it was measured."""
    summaries = [
        data["summary"] for name, data in files.items() if name == prefix or name.startswith(f"{prefix.rstrip('/')}/")
    ]
    total = sum(summary["num_statements"] + summary.get("num_branches", 0) for summary in summaries)
    covered = sum(summary["covered_lines"] + summary.get("covered_branches", 0) for summary in summaries)
    return 100 * covered / total if total else None


def missing(files: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield a line for each file below a path that is not covered completely."""
    for name, data in sorted(files.items()):
        if name == prefix or name.startswith(f"{prefix.rstrip('/')}/"):
            branches = [f"{start}->{end}" for start, end in data.get("missing_branches", [])]
            if parts := [*map(str, data["missing_lines"]), *branches]:
                yield f"    {name}: {', '.join(parts)}"


def table(report: Mapping[str, Any], floors: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for each package: its coverage, its floor, and the lines and branches that it lacks."""
    for prefix, floor in floors.items():
        share = percent(report["files"], prefix)
        if share is None:
            yield f"{prefix}: no file was measured - run its tests under coverage"
        else:
            yield f"{prefix}: {_rounded(share)} % of lines and branches are covered, the floor is {floor:g} %"
            if share < floor:
                yield from missing(report["files"], prefix)


def _rounded(share: float) -> str:
    """Return a percentage with one digit, rounded down: 99.99 is not 100."""
    return f"{int(share * 10) / 10:.1f}"


def passes(report: Mapping[str, Any], floors: Mapping[str, float]) -> bool:
    """Return whether every package reaches its floor."""
    return all((percent(report["files"], prefix) or 0) >= floor for prefix, floor in floors.items())


def measure() -> int:
    """Run the tests in one process, with the processes that they start, and combine the data. Return the exit code."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], cwd=ROOT, check=True)
    code = subprocess.run([*coverage, "run", "-m", "pytest", "-n0", *TESTS], cwd=ROOT, check=False).returncode
    subprocess.run([*coverage, "combine", "-q"], cwd=ROOT, check=True)
    return code


def main(arguments: list[str]) -> int:
    """Measure unless `--report` is given, and print the table. Return 1 if a test or a package fails."""
    failed = 0 if "--report" in arguments else measure()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        # tests also measure copies of the package, in folders that may be removed by now
        command = [sys.executable, "-m", "coverage", "json", "-q", "--include=punie_build/*", "-o", str(path)]
        subprocess.run(command, cwd=ROOT, check=True)
        report = json.loads(path.read_text())
    print("\n".join(table(report, FLOORS)))
    return int(bool(failed) or not passes(report, FLOORS))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
