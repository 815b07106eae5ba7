"""The fault table names tests that exist, and all faults of the first trial."""

from __future__ import annotations

import pytest

from tests.kills.faults import BY_TESTS, RESULT, ROOT, TRIED


@pytest.mark.parametrize("fault", BY_TESTS, ids=lambda fault: fault.name)
def test_a_class_of_faults_has_tests_that_exist(fault):
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert f"def {name or 'test_'}" in (ROOT / file).read_text(encoding="utf-8")
    for script in fault.script.split(", ") if fault.script else ():
        assert (ROOT / "tests/kills" / script).is_file()


def test_the_table_has_all_faults_of_the_first_trial():
    assert sum(tried for tried, _ in TRIED.values()) + sum(fault.tried for fault in BY_TESTS) == 639


def test_results_of_pytest_are_counted_by_file_and_test():
    text = (
        "PASSED tests/a/test_b.py::test_c[x]\nSKIPPED [1] tests/a/test_b.py:3: why\n"
        "FAILED tests/a/test_b.py::test_d - E"
    )
    assert RESULT.findall(text) == [
        ("PASSED", "tests/a/test_b.py", "test_c"),
        ("SKIPPED", "tests/a/test_b.py", ""),
        ("FAILED", "tests/a/test_b.py", "test_d"),
    ]
