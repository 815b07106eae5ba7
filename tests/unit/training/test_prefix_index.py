"""Rows that begin alike are found, grouped, and share as much as their loss masks allow."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.training.batch_sampler import BatchSampler, coverage
from punie_build.training.prefix_index import MIN_SHARED, PrefixIndex, shares_enough
from punie_build.training.spec import Adapter, Lora
from punie_build.training.token_file import TokenRows

PREFIXES = [list(range(start, start + 200)) for start in (0, 1000, 2000)]
ROWS = st.lists(
    st.tuples(st.sampled_from(PREFIXES), st.integers(0, 200), st.lists(st.integers(0, 9), min_size=2, max_size=30)),
    min_size=1,
    max_size=60,
)


def token_rows(rows: list[list[int]], prompts: list[int]) -> TokenRows:
    """Return rows whose tokens from position `prompts[i]` on are trained."""
    masks = [[index >= prompt for index in range(len(row))] for row, prompt in zip(rows, prompts, strict=True)]
    ends = np.cumsum([len(row) for row in rows])
    ids, mask = list(chain.from_iterable(rows)), list(chain.from_iterable(masks))
    return TokenRows(np.array(ids, np.int32), np.array(mask, np.uint8), ends, np.arange(1, len(rows) + 1))


def same_system(count: int, prefix: list[int], length: int = 200) -> list[list[int]]:
    return [[*prefix[:length], 5000 + number, 1, 2, 3] for number in range(count)]


@given(rows=ROWS, size=st.integers(1, 5))
def test_groups_hold_every_row_once(rows, size):
    index = PrefixIndex(token_rows([p[:n] + tail for p, n, tail in rows], [n for _, n, _ in rows]), size)
    assert sorted(row for group in index.groups for row in group) == list(range(len(rows)))
    assert all(len(group) >= size for group in index.groups[:-1])


@given(rows=ROWS, size=st.integers(2, 5), epoch=st.integers(0, 3))
def test_what_a_batch_shares_is_a_prefix_of_each_row_before_its_first_target(rows, size, epoch):
    tokens = token_rows([p[:n] + tail for p, n, tail in rows], [n for _, n, _ in rows])
    sampler = BatchSampler(batching="prefix", batch_size=size, prefixes=PrefixIndex(tokens, size))
    batches = sampler.epoch(tokens.input_lengths, epoch)
    assert sorted(row for batch in batches for [row] in batch) == list(range(len(rows)))
    for batch in batches:
        shared = sampler.shared(batch)
        assert shared == 0 or shared >= MIN_SHARED
        own = [tokens.row(row) for [row] in batch]
        assert len({tuple(ids[:shared]) for ids, _ in own}) == 1
        assert all(shared < len(ids) - 1 or not shared for ids, _ in own)
        assert not any(mask[: shared + 1].any() for _, mask in own if shared)


def test_rows_with_one_system_prompt_are_one_group():
    tokens = token_rows(same_system(9, PREFIXES[0]), [202] * 9)
    assert PrefixIndex(tokens, 4).groups == [list(range(9)), []]


def test_rows_with_other_tools_are_other_groups_and_single_ones_are_left():
    rows = same_system(6, PREFIXES[0]) + same_system(5, PREFIXES[1]) + [[7, 8, 9], [9, 9, 9], [8, 1]]
    tokens = token_rows(rows, [202] * 11 + [1] * 3)
    assert PrefixIndex(tokens, 4).groups == [list(range(6)), list(range(6, 11)), [11, 12, 13]]


def test_tools_within_a_common_system_prompt_are_groups_of_their_own():
    common = list(range(3000, 3100))
    rows = [common + tools[:100] + [number] for tools in PREFIXES[:2] for number in range(5)]
    assert PrefixIndex(token_rows(rows, [200] * 10), 4).groups == [list(range(5)), list(range(5, 10)), []]


def test_epochs_differ_and_depend_on_the_seed():
    tokens = token_rows(same_system(40, PREFIXES[0]) + same_system(40, PREFIXES[1]), [202] * 80)
    first = BatchSampler(batching="prefix", seed=1, prefixes=PrefixIndex(tokens, 4))
    assert first.epoch(tokens.input_lengths, 0) == first.epoch(tokens.input_lengths, 0)
    assert first.epoch(tokens.input_lengths, 0) != first.epoch(tokens.input_lengths, 1)
    other = BatchSampler(batching="prefix", seed=2, prefixes=PrefixIndex(tokens, 4))
    assert other.epoch(tokens.input_lengths, 0) != first.epoch(tokens.input_lengths, 0)


def test_coverage_counts_tokens_that_are_computed_with_another_row():
    tokens = token_rows(same_system(8, PREFIXES[0]), [202] * 8)
    sampler = BatchSampler(batching="prefix", batch_size=4, prefixes=PrefixIndex(tokens, 4))
    covered = coverage(sampler, tokens.input_lengths, 1, lambda _iters, epochs, _tokens: epochs >= 1)
    assert (covered.tokens, covered.shared) == (8 * 203, 2 * 3 * 200)
    assert covered.computed == 2 * (200 + 4 * 32)
    assert "74% of them computed with another row" in str(covered)


@pytest.mark.parametrize(
    ("length", "fields", "chosen"),
    [
        (200, {}, "prefix"),
        (40, {}, "bucket"),  # shares fewer tokens than a second pass costs
        (200, {"batch_size": 1}, "bucket"),
        (200, {"lora": Lora(dropout=0.1)}, "bucket"),
        (200, {"neftune_noise_alpha": 5.0}, "bucket"),
        (200, {"loss": "orpo"}, "bucket"),
        (200, {"batching": "tokens"}, "tokens"),
    ],
)
def test_auto_shares_prefixes_where_that_saves_enough(length, fields, chosen):
    tokens = token_rows(same_system(9, PREFIXES[0], length), [length + 2] * 9)
    assert Adapter(base="b", data="d", **fields).for_rows(tokens).batching == chosen


def test_whether_rows_share_enough_is_judged_by_a_sample():
    tokens = token_rows(same_system(9000, PREFIXES[0], 100), [102] * 9000)
    assert shares_enough(tokens, 4)
    assert len(tokens.sample(100)) == 100
    assert tokens.sample(100).lines[-1] > 8900
