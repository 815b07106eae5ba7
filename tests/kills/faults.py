"""The fault table: the 639 faults that were tried on the engine, as classes with the tests and scripts that try them.

    python tests/kills/faults.py           runs all tests, prints a row for each class; exits with 1 after a failure
    python tests/kills/faults.py --list    prints the classes, their counts and tests

The classes and counts are those of the first trial. Tests of a class use smaller projects than that trial, and more
kinds of each fault. Long forms are the other scripts of this folder; a row names its script.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
UNIT, STORAGE, ENGINE = "tests/unit", "tests/unit/storage", "tests/unit/engine"
RESULT = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*?(tests/[\w/]+\.py)(?:::(\w+))?", re.MULTILINE)


class Fault(NamedTuple):
    """A class of faults: how many were tried and how many failed at first, its tests, and the script of its long
    form."""

    name: str
    tried: int
    failed: int
    tests: tuple[str, ...]
    script: str = ""


FAULTS = (
    Fault(
        "kills of builds, trainings and servers by signals", 150, 0, ("tests/integration/test_kills.py",),
        "builds.py, training.py",
    ),
    Fault("kills of two checkouts with one store", 44, 0, (
        f"{STORAGE}/test_remote.py::test_a_reader_never_sees_part_of_a_file",
        f"{STORAGE}/test_remote.py::test_a_folder_as_the_store_has_only_complete_files",
    )),
    Fault("collections beside builds", 6, 0, (f"{STORAGE}/test_garbage_collection.py",)),
    Fault("full disks", 28, 0, (
        "tests/integration/test_kills.py::test_a_full_disk_is_an_error_in_one_sentence_and_loses_no_file",
        f"{STORAGE}/test_remote.py::test_an_upload_to_a_full_disk_leaves_no_file_behind",
    )),
    Fault("power cuts", 14, 14, ("tests/integration/test_power_cuts.py",), "power.py"),
    Fault("clocks, stamps and edits in place", 69, 0, (
        f"{STORAGE}/test_digests.py", f"{STORAGE}/test_digest_cache.py",
    )),
    Fault("targets replaced or decorated", 14, 6, (
        f"{ENGINE}/test_build.py::test_whatever_is_in_the_way_is_replaced_again_and_again",
        f"{ENGINE}/test_build.py::test_what_people_put_into_a_target_is_kept_aside_and_named",
        f"{STORAGE}/test_atomic.py", "tests/integration/test_places.py",
    )),
    Fault("places, environments, pipes and screens", 36, 8, (
        f"{UNIT}/runtime/test_console.py", f"{UNIT}/cli/test_main.py::test_a_subfolder_belongs_to_the_project_above_it",
        f"{UNIT}/cli/test_main.py::test_each_error_of_a_disk_has_its_own_advice",
    )),
    Fault("the state torn, deleted or of other types", 29, 10, (
        f"{STORAGE}/test_digest_cache.py", f"{STORAGE}/test_store.py",
        f"{UNIT}/runtime/test_import_index.py::test_a_damaged_file_is_computed_again_and_replaced",
    )),
    Fault("locks that are none", 11, 6, (
        f"{STORAGE}/test_locks.py", f"{ENGINE}/test_build.py::test_a_lock_without_files_counts_as_none",
        f"{ENGINE}/test_build_steps.py::test_a_lock_that_contradicts_the_store_is_not_restored_where_the_step_can_tell",
        f"{ENGINE}/test_check.py::test_metrics_that_are_not_those_of_the_files_are_named",
    )),
    Fault("rotten caches", 6, 6, (
        f"{UNIT}/training/test_checkpoints.py::test_a_checkpoint_with_a_flipped_bit_is_not_used",
        f"{UNIT}/evaluation/test_response_cache.py", f"{UNIT}/runtime/test_blas.py", f"{STORAGE}/test_sealed_file.py",
    )),
    Fault("a shared store with other content", 15, 4, (f"{STORAGE}/test_remote.py", f"{STORAGE}/test_signatures.py")),
    Fault("a shared store that is silent, slow or endless", 9, 4, (
        f"{STORAGE}/test_remote_failures.py", f"{ENGINE}/test_temporary_targets.py",
    )),
    Fault("recipes, suites and hooks that no parser survives", 33, 11, (f"{STORAGE}/test_project_file.py",)),
    Fault("foreign projects", 16, 4, (
        f"{STORAGE}/test_settings.py", f"{UNIT}/runtime/test_child.py", f"{UNIT}/runtime/test_worker_pool.py",
    )),
    Fault("hostile model folders", 13, 0, (f"{UNIT}/models/test_locate.py",)),
    Fault("names and paths", 42, 3, (f"{UNIT}/recipes/test_loader.py", f"{STORAGE}/test_paths.py")),
    Fault("texts that control terminals, pages and CI", 24, 7, (
        f"{UNIT}/test_errors.py", f"{UNIT}/cli/test_check_formats.py", f"{UNIT}/reports/test_html.py",
    )),
    Fault("redirects, secrets and uploads", 20, 5, (
        f"{UNIT}/reports/test_published_folder.py", f"{UNIT}/runtime/test_device_lock.py",
    )),
    Fault("folders of another user", 8, 2, (
        f"{STORAGE}/test_remote_failures.py::test_a_store_without_write_permission_is_still_read",
        f"{STORAGE}/test_digest_cache.py::test_a_project_without_write_permission_can_be_read",
        f"{UNIT}/runtime/test_device_lock.py::test_a_folder_that_others_can_write_holds_no_lock",
    )),
    Fault("branches, stashes and equal rebuilds in git", 6, 2, (
        f"{STORAGE}/test_git_refs.py",
        f"{ENGINE}/test_build_steps.py::test_an_equal_rebuild_leaves_the_lock_as_it_is",
    )),
    Fault("edits during a step", 3, 1, (
        f"{ENGINE}/test_build.py::test_a_build_fails_if_an_input_changes_while_the_step_runs",
        f"{ENGINE}/test_build_steps.py::test_an_input_that_changes_and_changes_back_during_a_step_is_named",
    )),
    Fault("another version of Python", 2, 0, (f"{ENGINE}/test_fingerprint.py",)),
    Fault("a server that other pages may ask", 3, 2, (f"{UNIT}/evaluation/test_named_server.py",)),
    Fault("a bit flipped in each file of the state", 30, 1, ("tests/integration/test_flipped_bits.py",), "bits.py"),
    Fault("a Hub that sends other bytes", 8, 3, (f"{UNIT}/data/test_hub_files.py",)),
)  # fmt: skip


def main() -> int:
    """Run the tests of all classes once, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-n", type=int, default=0, help="processes of pytest")
    options = parser.parse_args()
    results = {} if options.list else run(options.n)
    n_failed = 0
    print(f"{'tried':>5} {'failed then':>11} {'tests':>6} {'failed now':>10}  class")
    for fault in FAULTS:
        found = [result for test in fault.tests for result in results.get(test, [])]
        failed = sum(result not in ("PASSED", "SKIPPED") for result in found)
        is_missing = not options.list and any(test not in results for test in fault.tests)
        n_failed += failed + is_missing
        note = f"; long form: {fault.script}" if fault.script else ""
        skipped = f", {found.count('SKIPPED')} skipped" if "SKIPPED" in found else ""
        remark = " - A TEST IS MISSING" if is_missing else ""
        print(f"{fault.tried:>5} {fault.failed:>11} {len(found):>6} {failed:>10}  {fault.name}{skipped}{note}{remark}")
        if options.list:
            print("".join(f"{'':>37}{test}\n" for test in fault.tests), end="")
    print(
        f"{sum(each.tried for each in FAULTS)} tried then, {sum(each.failed for each in FAULTS)} failed; now {n_failed}"
    )
    return 1 if n_failed else 0


def run(processes: int) -> dict[str, list[str]]:
    """Run each test once; return the results of a file, and of a test, by its name as in the table."""
    tests = sorted({test.partition("::")[0] for fault in FAULTS for test in fault.tests if "::" not in test})
    tests += sorted({test for fault in FAULTS for test in fault.tests if test.partition("::")[0] not in tests})
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            f"-n{processes}",
            "-rA",
            "-q",
            "--no-header",
            "-p",
            "no:cacheprovider",
            *tests,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    results: dict[str, list[str]] = {}
    for result, file, name in RESULT.findall(done.stdout):
        for key in (file, *((f"{file}::{name}",) if name else ())):
            results.setdefault(key, []).append(result)
    if done.returncode:
        print(done.stdout[-5000:])
    return results


if __name__ == "__main__":
    sys.exit(main())
