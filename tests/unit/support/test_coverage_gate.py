from __future__ import annotations

from tests.support.coverage_gate import FLOORS, ROOT, TESTS, passes, table

REPORT = {
    "files": {
        "punie_build/schema/spec.py": {
            "summary": {"num_statements": 8, "covered_lines": 8, "num_branches": 2, "covered_branches": 1},
            "missing_lines": [],
            "missing_branches": [[3, 5]],
        },
        "punie_build/schematics.py": {
            "summary": {"num_statements": 5, "covered_lines": 0},
            "missing_lines": [1],
            "missing_branches": [],
        },
        "punie_build/large.py": {
            "summary": {"num_statements": 10_000, "covered_lines": 9_999},
            "missing_lines": [7],
            "missing_branches": [],
        },
    }
}


def test_a_package_below_its_floor_fails_with_its_missing_branches():
    floors = {"punie_build/schema": 100}
    assert list(table(REPORT, floors)) == [
        "punie_build/schema: 90.0 % of lines and branches are covered, the floor is 100 %",
        "    punie_build/schema/spec.py: 3->5",
    ]
    assert not passes(REPORT, floors)


def test_a_package_that_reaches_its_floor_passes_and_is_one_line():
    floors = {"punie_build/schema": 90}
    assert list(table(REPORT, floors)) == [
        "punie_build/schema: 90.0 % of lines and branches are covered, the floor is 90 %"
    ]
    assert passes(REPORT, floors)


def test_a_package_that_was_not_measured_fails():
    floors = {"punie_build/engine": 100}
    [line] = table(REPORT, floors)
    assert line.startswith("punie_build/engine: no file was measured")
    assert not passes(REPORT, floors)


def test_one_missing_line_of_many_is_not_rounded_to_complete_coverage():
    floors = {"punie_build/large.py": 100}
    assert list(table(REPORT, floors)) == [
        "punie_build/large.py: 99.9 % of lines and branches are covered, the floor is 100 %",
        "    punie_build/large.py: 7",
    ]
    assert not passes(REPORT, floors)


def test_the_packages_and_the_tests_of_the_gate_exist():
    assert all((ROOT / path).exists() for path in (*FLOORS, *TESTS))
