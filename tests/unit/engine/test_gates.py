from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import field

from punie_build.engine.gates import (
    Gate,
    expectation_mistakes,
    expectations,
    required,
    summary,
    unmet_expectations,
)
from punie_build.schema.spec import Spec


class DataSpec(Spec, frozen=True, kw_only=True):
    expect: dict = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


class Demanding(DataSpec, frozen=True, kw_only=True):
    def demands(self) -> tuple[Gate, ...]:
        return (Gate(metric="passed", min=1),)


def test_a_gate_needs_a_bound_and_bounds_in_order():
    with pytest.raises(ValueError, match="needs `min` or `max`"):
        Gate(metric="share")
    with pytest.raises(ValueError, match="exchange them"):
        Gate(metric="share", min=2, max=1)
    assert Gate(metric="share", min=1, max=1).problem({"share": 1.0}) is None


@pytest.mark.parametrize(
    ("gate", "value", "line"),
    [
        (Gate(metric="share", min=0.6), 0.6, None),
        (Gate(metric="share", min=0.6), 0.5, "gate 'share': 0.5 is below 0.6"),
        (Gate(metric="share", max=0.6), 0.7, "gate 'share': 0.7 is above 0.6"),
        (Gate(metric="share", min=0.6, tolerance=0.1), 0.5, None),
        (Gate(metric="share", min=0.6, tolerance=0.1), 0.4, "gate 'share': 0.4 is below 0.6, tolerance 0.1"),
        (Gate(metric="share", min=0.7), 0.8 - 0.1, None),
        (Gate(metric="share", min=0.7), 0.69999999, "gate 'share': 0.69999999 is below 0.7"),
        (Gate(metric="sound", min=1), 0.0, "gate 'sound': 0 is below 1 - the suite fails its own test"),
    ],
)
def test_a_metric_outside_the_bounds_is_one_line(gate, value, line):
    problem = gate.problem({gate.metric: value})
    assert problem == line if line is None else problem.startswith(line)


def test_a_missing_metric_is_a_problem_and_a_missing_category_is_zero():
    assert Gate(metric="shre", min=0).problem({"share": 1.0}) == (
        "gate 'shre': the lock has no such metric - did you mean 'share'?"
    )
    assert Gate(metric="categories.edit", max=0.5).problem({}) is None
    assert Gate(metric="categories.edit", min=0.1).problem({}) == "gate 'categories.edit': 0 is below 0.1"


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5))
def test_a_wider_tolerance_never_fails_a_gate_that_passes(value, bound, tolerance):
    strict, wide = Gate(metric="m", min=bound), Gate(metric="m", min=bound, tolerance=tolerance)
    assert not (strict.problem({"m": value}) is None and wide.problem({"m": value}))


def test_the_gates_of_a_recipe_come_before_those_of_its_requirements():
    gate = Gate(metric="rows", min=1)
    assert required(Demanding(gates=(gate,))) == (gate, Gate(metric="passed", min=1))
    assert required(DataSpec(gates=(gate,))) == (gate,)
    assert required(None) == ()


def test_an_expectation_is_a_gate_with_an_exact_value_or_a_range():
    spec = DataSpec(expect={"rows": (10, 20), "test": 0, "categories": {"edit": (0.1, 0.5)}})
    assert list(expectations(spec)) == [
        Gate(metric="rows", min=10, max=20),
        Gate(metric="test", min=0, max=0),
        Gate(metric="categories.edit", min=0.1, max=0.5),
    ]
    assert unmet_expectations(spec, {"rows": 15.0, "test": 0.0, "categories.edit": 0.2}) == []
    assert unmet_expectations(spec, {"rows": 25.0, "test": 1.0}) == [
        "expect.rows: 25, but the recipe expects 10 to 20",
        "expect.test: 1, but the recipe expects 0",
        "expect.categories.edit: 0, but the recipe expects 0.1 to 0.5",
    ]
    assert unmet_expectations(None, {}) == []


def test_mistakes_of_expectations_are_unknown_metrics_and_reversed_ranges():
    known = ("rows", "test", "categories")
    assert expectation_mistakes({"rows": (1, 2), "categories": {"edit": 0.1}}, known) == []
    assert expectation_mistakes({"row": 1, "rows": (2.0, 1.0), "categories": 0.5}, known) == [
        "expect.row: data has no such metric - did you mean 'rows'?",
        "expect.rows: from 2 to 1 lets nothing pass - exchange them",
        "expect.categories: data has no such metric - did you mean 'categories'?",
    ]


@pytest.mark.parametrize(
    ("failed", "lines"),
    [
        ({}, []),
        ({"eval:a": ["x"]}, ["1 gate fails", "    eval:a: x"]),
        ({"eval:a": ["x"], "eval:b": ["y", "z"]}, ["3 gates fail", "    eval:a: x", "    eval:b: y", "    eval:b: z"]),
    ],
)
def test_the_summary_counts_the_failed_gates_and_lists_them(failed, lines):
    assert summary(failed) == lines
