"""The fault table: the 639 faults that were tried on the engine, tried again and with more of their kinds, row by row.

    python tests/kills/faults.py                   all rows, half an hour; exits with 1 if one of them failed
    python tests/kills/faults.py --sample 40       rows spread over all classes
    python tests/kills/faults.py --only 'bit|lock' rows whose class or name has this pattern
    python tests/kills/faults.py --tests           also the classes of trainings, servers and the Hub, by their tests
    python tests/kills/faults.py --list            the rows, or with --tests the tests

Each row makes its fault happen in a small project of its own (`fault_table/`), builds, and judges the end:

    right bytes    the targets are those of a clean build, and a build after that has nothing to do
    one sentence   a few lines that say what is wrong, and after that, or after what they ask for, the right bytes
    traceback, wrong, hangs: failures; skipped: it cannot be tried here, as without the right to mount

`tests/integration/test_fault_table.py` is a short form. Long forms of some classes are the other scripts here.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.fault_table.row import HELD, Result, Row, SkippedError
from tests.kills.fault_table.sandbox import Template

ROOT = Path(__file__).parents[2]
MODULES = ("kills", "disks", "obstacles", "screens", "stores", "recipes", "repository")
TRIED = {  # class -> how many were tried at first, and how many failed
    "kills of builds": (150, 0), "kills beside a shared store": (44, 0), "collections beside builds": (6, 0),
    "full disks": (28, 0), "power cuts": (14, 14), "clocks and stamps": (69, 0), "targets replaced": (14, 6),
    "places and environments": (30, 4), "pipes and screens": (6, 4), "the state torn": (29, 10),
    "locks that are none": (11, 6), "a shared store with other content": (15, 4),
    "a shared store that is silent, slow or endless": (9, 4),
    "recipes, suites and hooks that no parser survives": (20, 9),
    "data that no parser survives": (13, 2), "foreign projects": (16, 4), "names": (21, 3), "paths": (21, 0),
    "texts that control terminals and CI": (24, 7), "folders of another user": (8, 2),
    "branches, stashes and merges in git": (6, 2), "edits": (3, 1), "a bit flipped in the state": (30, 1),
}  # fmt: skip
UNIT, STORAGE, ENGINE = "tests/unit", "tests/unit/storage", "tests/unit/engine"
RESULT = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*?(tests/[\w/]+\.py)(?:::(\w+))?", re.MULTILINE)


class Fault(NamedTuple):
    """A class of faults that its tests try: how many were tried and how many failed at first, and the script of its
    long form."""

    name: str
    tried: int
    failed: int
    tests: tuple[str, ...]
    script: str = ""


BY_TESTS = (
    Fault("rotten caches", 6, 6, (
        f"{UNIT}/training/test_checkpoints.py::test_a_checkpoint_with_a_flipped_bit_is_not_used",
        f"{UNIT}/evaluation/test_response_cache.py", f"{UNIT}/runtime/test_blas.py", f"{STORAGE}/test_sealed_file.py",
    ), "bits.py"),
    Fault("hostile model folders", 13, 0, (f"{UNIT}/models/test_locate.py",)),
    Fault("redirects, secrets and uploads", 20, 5, (
        f"{UNIT}/reports/test_published_folder.py", f"{UNIT}/runtime/test_device_lock.py",
    )),
    Fault("edits during a step", 0, 0, (
        f"{ENGINE}/test_build.py::test_a_build_fails_if_an_input_changes_while_the_step_runs",
        f"{ENGINE}/test_build_steps.py::test_an_input_that_changes_and_changes_back_during_a_step_is_named",
    )),
    Fault("texts in pages", 0, 0, (f"{UNIT}/cli/test_check_formats.py", f"{UNIT}/reports/test_html.py")),
    Fault("another version of Python", 2, 0, (f"{ENGINE}/test_fingerprint.py",)),
    Fault("a server that other pages may ask", 3, 2, (f"{UNIT}/evaluation/test_named_server.py",)),
    Fault("a Hub that sends other bytes", 8, 3, (f"{UNIT}/data/test_hub_files.py",)),
)  # fmt: skip


def main() -> int:
    """Run the rows, and the tests if they are wanted, and print a line for each class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, metavar="N", help="about N rows, spread over all classes")
    parser.add_argument("--only", default="", metavar="PATTERN", help="rows whose class or name has it")
    parser.add_argument("--tests", action="store_true", help="also the classes that are tried by tests")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", action="store_true", dest="verbose", help="print each row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        template = Template(Path(folder))
        rows = [row for name in MODULES for row in _module(name).rows(template.root)]
        rows = sample([row for row in rows if re.search(options.only, f"{row.fault}: {row.name}")], options.sample)
        if options.list:
            print("\n".join(f"{row.fault}: {row.name}" for row in rows))
            results: list[Result] = []
        else:
            results = [run(row, template, options.verbose) for row in rows]
    failed = print_table(rows, results) if results else 0
    if options.tests:
        failed += print_tests(options.list)
    return 1 if failed else 0


def _module(name: str) -> Any:
    return import_module(f"tests.kills.fault_table.{name}")


def sample(rows: Sequence[Row], count: int | None) -> list[Row]:
    """Return about `count` rows: the same share of each class, and at least one."""
    if count is None or count >= len(rows):
        return [*rows]
    chosen = []
    for fault in dict.fromkeys(row.fault for row in rows):
        of_class = [row for row in rows if row.fault == fault]
        n = max(1, round(count * len(of_class) / len(rows)))
        chosen += [of_class[(2 * index + 1) * len(of_class) // (2 * n)] for index in range(n)]
    return chosen


def run(row: Row, template: Template, verbose: bool) -> Result:
    """Try a fault in a project of its own."""
    with template.sandbox() as box:
        try:
            result = row.run(box)
        except SkippedError as reason:
            result = Result("skipped", str(reason))
        except Exception as error:  # of the row: all others are tried
            result = Result("wrong", f"the row itself: {type(error).__name__}: {error}")
    if verbose or not result.is_held:
        sign = result.outcome if result.is_held else f"FAILED: {result.outcome}"
        print(f"{sign}  {row.fault}: {row.name}  {result.reason}".rstrip(), flush=True)
    return result


def print_table(rows: Sequence[Row], results: Sequence[Result]) -> int:
    """Print a line for each class of faults; return how many rows failed."""
    print("tried then failed rows now  bytes sentence skipped FAILED  class")
    counts: dict[str, Counter[str]] = {}
    for row, result in zip(rows, results, strict=True):
        counts.setdefault(row.fault, Counter())[result.outcome if result.is_held else "failed"] += 1
    total = Counter[str]()
    for fault, count in counts.items():
        total += count
        print(_line(*TRIED[fault], count, fault))
    tried, failed = (sum(TRIED[fault][index] for fault in counts) for index in (0, 1))
    print(_line(tried, failed, total, "all"))
    return total["failed"]


def _line(tried: int, failed: int, count: Counter[str], name: str) -> str:
    now = "".join(f"{count[outcome]:>{width}} " for outcome, width in zip((*HELD, "failed"), (6, 8, 7, 6), strict=True))
    return f"{tried:>10} {failed:>6} {count.total():>8} {now} {name}"


def print_tests(is_list: bool) -> int:
    """Run the tests of the other classes, and print a line for each of these; return how many failed or are missing."""
    results = {} if is_list else run_tests()
    n_failed = 0
    for fault in BY_TESTS:
        found = [result for test in fault.tests for result in results.get(test, [])]
        failed = sum(result not in ("PASSED", "SKIPPED") for result in found)
        is_missing = not is_list and any(test not in results for test in fault.tests)
        n_failed += failed + is_missing
        note = f"; long form: {fault.script}" if fault.script else ""
        remark = " - A TEST IS MISSING" if is_missing else ""
        print(f"{fault.tried:>10} {fault.failed:>6} {len(found):>8} tests, {failed} failed  {fault.name}{note}{remark}")
        if is_list:
            print("".join(f"{'':>28}{test}\n" for test in fault.tests), end="")
    return n_failed


def run_tests() -> dict[str, list[str]]:
    """Run each test once; return the results of a file, and of a test, by its name as in the table."""
    tests = sorted({test.partition("::")[0] for fault in BY_TESTS for test in fault.tests if "::" not in test})
    tests += sorted({test for fault in BY_TESTS for test in fault.tests if test.partition("::")[0] not in tests})
    words = ["-m", "pytest", "-n0", "-rA", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    results: dict[str, list[str]] = {}
    for result, file, name in RESULT.findall(done.stdout):
        for key in (file, *((f"{file}::{name}",) if name else ())):
            results.setdefault(key, []).append(result)
    if done.returncode:
        print(done.stdout[-5000:])
    return results


if __name__ == "__main__":
    sys.exit(main())
