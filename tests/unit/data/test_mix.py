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
COMPONENT = MixComponent(name="p")


@given(rows, rows)
def test_adding_rows_keeps_the_order_of_the_others(old: list[Row], new: list[Row]):
    order = [row.line for row in shuffle(old, 0)]
    mixed = [row.line for row in shuffle(old + new, 0)]
    if not {row.line for row in new} & set(order):
        assert [line for line in mixed if line in set(order)] == order


@given(rows)
def test_dedup_keeps_or_drops_every_row_and_is_idempotent(rows: list[Row]):
    unique, duplicates = dedup(rows)
    assert len(unique) + len(duplicates) == len(rows)
    assert dedup(unique) == (unique, [])
    assert {row.content_hash() for row in unique} == {row.content_hash() for row in rows}


def test_a_larger_cap_only_adds_rows():
    examples = [row(f"q{n}") for n in range(50)]
    small = choose(examples, MixComponent(name="p", cap=10), 0)
    large = choose(examples, MixComponent(name="p", cap=20), 0)
    assert len(small) == 10
    assert {row.line for row in small} < {row.line for row in large}


def test_weights_repeat_and_thin_out_rows():
    examples = [row(f"q{n}") for n in range(1000)]
    assert len(choose(examples, MixComponent(name="p", weight=0.3), 0)) == pytest.approx(300, abs=45)
    assert sum(copies(example, MixComponent(name="p", weight=2.5), 0) for example in examples) == pytest.approx(
        2500, abs=60
    )
    assert {copies(example, COMPONENT, 0) for example in examples} == {1}
