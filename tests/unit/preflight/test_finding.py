"""Findings: which ones a recipe allows, and the names of checks."""

from __future__ import annotations

import pytest

from punie_build.data import audit_checks
from punie_build.errors import RecipeError
from punie_build.preflight import row_checks
from punie_build.preflight.finding import PreflightFinding, not_allowed
from punie_build.project import Project
from punie_build.training.spec import PREFLIGHT_CHECKS
from tests.unit.preflight import test_config_checks, test_row_checks


def test_a_recipe_allows_a_check_or_limits_it():
    findings = [
        PreflightFinding(check="leakage", level="warning", where="w", problem="a", advice="b", share=0.02),
        PreflightFinding(check="rank", level="error", where="w", problem="a", advice="b"),
    ]

    def remaining(allow: tuple[str, ...] | dict[str, float]) -> list[str]:
        return [finding.check for finding in not_allowed(findings, allow)]

    assert remaining(()) == ["rank", "leakage"]
    assert remaining(("rank",)) == ["leakage"]
    assert remaining({"leakage": 0.02, "rank": 1.0}) == []
    assert remaining({"leakage": 0.01, "rank": 1.0}) == ["leakage"]


def test_an_unknown_check_in_a_recipe_is_a_mistake(recipes):
    root = recipes(
        '[dataset.d]\nsource = { type = "sample" }\n[adapter.v]\nbase = "nano"\ndata = "d"\nallow = ["leakge"]'
    )
    with pytest.raises(RecipeError, match="allow: no check is called 'leakge' - did you mean 'leakage'"):
        Project.load(root)


def test_every_check_has_its_name_and_every_audit_finding_its_check():
    problems = {problem for problem, _, _ in audit_checks.CHECKS}
    assert {problem for problem in row_checks.AUDIT_CHECKS if problem != "exact duplicates of other rows"} <= problems
    names = {check for _, check, _ in test_row_checks.CASES.values()}
    names |= {check for _, check, _, _ in test_config_checks.CASES.values()}
    assert names | {"rate", "schedule", "tools", "template", "bits", "expect", "lost", "ends", "thoughts"} == set(
        PREFLIGHT_CHECKS
    )
