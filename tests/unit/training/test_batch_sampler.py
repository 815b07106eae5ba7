from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.training.batch_sampler import BatchSampler, coverage, padded_length

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300)
BATCHING = ("bucket", "tokens", "pack", "file")


def rows(batches) -> list[int]:
    return [row for batch in batches for sequence in batch for row in sequence]


@pytest.mark.parametrize("batching", BATCHING)
@given(lengths=LENGTHS, size=st.integers(1, 9), epoch=st.integers(0, 5))
def test_an_epoch_has_every_row_once_in_an_order_that_depends_on_the_seed(batching, lengths, size, epoch):
    sampler = BatchSampler(batching=batching, batch_size=size, batch_tokens=600, seed=7)
    batches = sampler.epoch(lengths, epoch)
    assert sorted(rows(batches)) == list(range(len(lengths)))
    assert all(batch and all(batch) for batch in batches)
    assert batches == sampler.epoch(lengths, epoch)


@pytest.mark.parametrize("batching", ["bucket", "tokens", "pack"])
def test_another_epoch_or_seed_gives_another_order(batching):
    lengths = [10 + k % 90 for k in range(400)]
    first = BatchSampler(batching=batching, seed=1).epoch(lengths, 0)
    assert first != BatchSampler(batching=batching, seed=1).epoch(lengths, 1)
    assert first != BatchSampler(batching=batching, seed=2).epoch(lengths, 0)


def test_file_batching_keeps_the_order_of_the_file():
    assert BatchSampler(batching="file", batch_size=2).epoch([5, 3, 4], 3) == [[[0], [1]], [[2]]]


@given(lengths=LENGTHS)
def test_a_batch_by_tokens_has_at_most_batch_tokens_with_padding(lengths):
    for batch in BatchSampler(batching="tokens", batch_tokens=640).epoch(lengths, 0):
        assert len(batch) == 1 or len(batch) * padded_length(max(lengths[row] for [row] in batch)) <= 640


@given(lengths=LENGTHS)
def test_a_packed_sequence_has_at_most_batch_tokens(lengths):
    for [sequence] in BatchSampler(batching="pack", batch_tokens=640).epoch(lengths, 0):
        assert sum(lengths[row] for row in sequence) <= 640


def test_rows_of_similar_length_share_a_batch():
    lengths = [10, 200] * 64
    batches = BatchSampler(batch_size=4).epoch(lengths, 0)
    assert sum(max(lengths[k] for [k] in batch) * len(batch) for batch in batches) / sum(lengths) < 1.1


@given(lengths=LENGTHS, skip=st.integers(0, 400))
def test_skipped_batches_are_left_out(lengths, skip):
    sampler = BatchSampler(batch_size=3)
    batches, remaining = sampler.iterate(lengths), sampler.iterate(lengths, skip)
    for _ in range(skip):
        next(batches)
    assert [next(batches) for _ in range(5)] == [next(remaining) for _ in range(5)]


@given(lengths=LENGTHS, size=st.integers(1, 9), accumulation=st.integers(1, 5))
def test_coverage_counts_batches_updates_epochs_and_tokens(lengths, size, accumulation):
    result = coverage(BatchSampler(batch_size=size), lengths, accumulation, lambda _iters, epochs, _tokens: epochs >= 2)
    assert result.epochs == 2
    assert result.tokens == 2 * sum(lengths)
    assert result.iters == 2 * -(-len(lengths) // size) or result.iters >= 2
    assert result.updates == -(-result.iters // accumulation)
    assert 0 <= result.padding < 1
