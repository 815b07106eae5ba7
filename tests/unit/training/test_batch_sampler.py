from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.training.batch_sampler import Order, coverage, padded

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300)
WAYS = ("bucket", "tokens", "pack", "file")


def rows(batches) -> list[int]:
    return [row for batch in batches for sequence in batch for row in sequence]


@pytest.mark.parametrize("how", WAYS)
@given(lengths=LENGTHS, size=st.integers(1, 9), epoch=st.integers(0, 5))
def test_an_epoch_is_every_row_once_in_an_order_the_seed_decides(how, lengths, size, epoch):
    order = Order(how=how, rows=size, tokens=600, seed=7)
    found = order.epoch(lengths, epoch)
    assert sorted(rows(found)) == list(range(len(lengths)))
    assert all(batch and all(batch) for batch in found)
    assert found == order.epoch(lengths, epoch)


@pytest.mark.parametrize("how", ["bucket", "tokens", "pack"])
def test_another_epoch_or_seed_is_another_order(how):
    lengths = [10 + k % 90 for k in range(400)]
    first = Order(how=how, seed=1).epoch(lengths, 0)
    assert first != Order(how=how, seed=1).epoch(lengths, 1)
    assert first != Order(how=how, seed=2).epoch(lengths, 0)


def test_the_order_of_a_file_is_the_file():
    assert Order(how="file", rows=2).epoch([5, 3, 4], 3) == [[[0], [1]], [[2]]]


@given(lengths=LENGTHS)
def test_a_batch_by_tokens_holds_at_most_so_many_with_its_padding(lengths):
    for batch in Order(how="tokens", tokens=640).epoch(lengths, 0):
        assert len(batch) == 1 or len(batch) * padded(max(lengths[row] for [row] in batch)) <= 640


@given(lengths=LENGTHS)
def test_a_pack_holds_at_most_so_many_tokens(lengths):
    for [sequence] in Order(how="pack", tokens=640).epoch(lengths, 0):
        assert sum(lengths[row] for row in sequence) <= 640


def test_rows_of_like_length_come_together():
    lengths = [10, 200] * 64
    batches = Order(rows=4).epoch(lengths, 0)
    assert sum(max(lengths[k] for [k] in batch) * len(batch) for batch in batches) / sum(lengths) < 1.1


@given(lengths=LENGTHS, skip=st.integers(0, 400))
def test_going_on_gives_the_batches_that_are_left(lengths, skip):
    order = Order(rows=3)
    whole, rest = order.forever(lengths), order.forever(lengths, skip)
    for _ in range(skip):
        next(whole)
    assert [next(whole) for _ in range(5)] == [next(rest) for _ in range(5)]


@given(lengths=LENGTHS, size=st.integers(1, 9), accumulation=st.integers(1, 5))
def test_coverage_counts_what_is_seen(lengths, size, accumulation):
    seen = coverage(Order(rows=size), lengths, accumulation, lambda _iters, epochs, _tokens: epochs >= 2)
    assert seen.epochs == 2
    assert seen.tokens == 2 * sum(lengths)
    assert seen.iters == 2 * -(-len(lengths) // size) or seen.iters >= 2
    assert seen.updates == -(-seen.iters // accumulation)
    assert 0 <= seen.padding < 1
