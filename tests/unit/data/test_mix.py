from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.data.example import Row, parse
from punie_build.data.mix import MixComponent, choose, copies, dedup, shuffle


def row(question: str, answer: str = "a") -> Row:
    return parse(
        msgspec.json.encode(
            {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        )
    )


rows = st.lists(st.builds(row, st.text(max_size=5), st.text(max_size=3)), max_size=40)
PART = MixComponent(name="p")


@given(rows, rows)
def test_adding_rows_moves_none_of_those_that_were_there(old: list[Row], new: list[Row]):
    order = [each.line for each in shuffle(old, 0)]
    mixed = [each.line for each in shuffle(old + new, 0)]
    kept = [line for line in mixed if line in set(order)]
    if not {each.line for each in new} & set(order):
        assert kept == order


@given(rows)
def test_unique_keeps_or_drops_every_row_and_once_is_enough(given: list[Row]):
    pairs = [(PART, each) for each in given]
    first, twins = dedup(pairs)
    assert len(first) + len(twins) == len(given)
    assert dedup(first) == (first, [])
    assert {each.content_hash() for _, each in first} == {each.content_hash() for each in given}


def test_a_larger_cap_only_adds():
    given = [row(f"q{n}") for n in range(50)]
    small = choose(given, MixComponent(name="p", cap=10), 0)
    large = choose(given, MixComponent(name="p", cap=20), 0)
    assert len(small) == 10
    assert {each.line for each in small} < {each.line for each in large}


def test_weights_repeat_and_thin():
    given = [row(f"q{n}") for n in range(1000)]
    assert len(choose(given, MixComponent(name="p", weight=0.3), 0)) == pytest.approx(300, abs=45)
    assert sum(copies(each, MixComponent(name="p", weight=2.5), 0) for each in given) == pytest.approx(2500, abs=60)
    assert {copies(each, PART, 0) for each in given} == {1}
