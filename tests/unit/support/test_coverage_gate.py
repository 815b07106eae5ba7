from __future__ import annotations

from tests.support.coverage_gate import problems

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
    }
}


def test_a_package_below_its_floor_is_reported_with_its_missing_branches():
    assert list(problems(REPORT, {"punie_build/schema": 100})) == [
        "punie_build/schema: 90.0 % of lines and branches are covered, the floor is 100 %",
        "    punie_build/schema/spec.py: 3->5",
    ]


def test_a_package_that_reaches_its_floor_is_not_reported():
    assert list(problems(REPORT, {"punie_build/schema": 90})) == []


def test_a_package_that_was_not_measured_is_reported():
    [line] = problems(REPORT, {"punie_build/engine": 100})
    assert line.startswith("punie_build/engine: no file was measured")
