"""Ranking of adapters by validation loss: order, significance, and effects of values."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie_build.evaluation.statistics import student_t_p
from punie_build.sweeps.adapter_ranking import CellResult, metrics, noise_limit, rank_adapters, summary


def runs(*losses: tuple[float, ...]) -> list[tuple[dict, CellResult]]:
    """Return the runs of settings with these losses, one for each seed."""
    facts = {"valid_loss_start": 2.0, "valid_loss_last": 1.0, "accuracy": 0.5, "best_at": 3, "iterations": 4}
    return [
        ({"rank": number}, CellResult(cell=f"v@{number},{seed}", seed=seed, valid_loss=loss, **facts))
        for number, group in enumerate(losses)
        for seed, loss in enumerate(group)
    ]


def test_settings_are_ranked_by_the_mean_of_their_seeds():
    ranking = rank_adapters("v", ["rank"], runs((0.5, 0.7), (0.1, 0.9), (0.55, 0.45)))
    assert [(entry.rank, entry.setting["rank"], entry.low, entry.high) for entry in ranking.settings] == [
        (1, 1, 0.1, 0.9),
        (2, 2, 0.45, 0.55),
        (3, 0, 0.5, 0.7),
    ]
    assert ranking.axes == {"rank": (0, 1, 2)}
    assert metrics(ranking) == {"valid_loss": 0.5, "range": 0.8, "settings": 3, "cells": 6, "level": 3}


def test_settings_are_worse_only_if_significant_and_never_with_one_seed():
    ranking = rank_adapters("v", ["rank"], runs((0.50, 0.52, 0.51), (0.51, 0.515, 0.50), (0.9, 0.93, 0.91)))
    assert [entry.worse for entry in ranking.settings] == [False, False, True]
    assert "1 other is not significantly worse" in summary(ranking)
    alone = rank_adapters("v", ["rank"], runs((0.5,), (0.9,)))
    assert (alone.noise, [entry.p for entry in alone.settings]) == (None, [None, None])
    assert "one seed per setting gives no estimate of chance" in summary(alone)


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_a_setting_is_worse_from_the_limit_of_noise_on(factor):
    near, far = (0.50, 0.52, 0.51), (0.9, 0.93, 0.91)
    limit = noise_limit(rank_adapters("v", ["rank"], runs(near, near, far)))
    shifted = tuple(loss + factor * limit for loss in near)  # the residuals, and so the noise, stay what they are
    ranking = rank_adapters("v", ["rank"], runs(near, shifted, far))
    assert noise_limit(ranking) == pytest.approx(limit)
    assert ranking.settings[1].worse is (factor > 1)
    assert noise_limit(rank_adapters("v", ["rank"], runs((0.5,), (0.9,)))) is None


def test_the_effect_of_a_seed_on_all_settings_is_no_noise():
    """Seed 1 raises the loss of both settings: they still differ by 0.1."""
    ranking = rank_adapters("v", ["rank"], runs((0.5, 0.9, 0.6), (0.6, 1.001, 0.699)))
    assert ranking.settings[1].worse
    cells = runs((0.5, 0.9, 0.6), (0.6, 1.001, 0.699))
    other_seeds = [
        (
            setting,
            run
            if setting["rank"]
            else CellResult(**{f: getattr(run, f) for f in run.__struct_fields__} | {"seed": run.seed + 9}),
        )
        for setting, run in cells
    ]
    assert not rank_adapters("v", ["rank"], other_seeds).settings[1].worse, (
        "other seeds: their effect cannot be removed"
    )


def test_effects_are_means_over_the_other_axes():
    facts = {
        "seed": None,
        "valid_loss_start": 2.0,
        "valid_loss_last": 1.0,
        "accuracy": 0.5,
        "best_at": 3,
        "iterations": 4,
    }
    table = {("a", 1): 1.0, ("a", 2): 2.0, ("b", 1): 3.0, ("b", 2): 6.0}
    cells = [({"x": x, "y": y}, CellResult(cell=f"{x}{y}", valid_loss=loss, **facts)) for (x, y), loss in table.items()]
    ranking = rank_adapters("v", ["x", "y"], cells)
    assert [(e.value, e.mean, e.low, e.high, e.settings) for e in ranking.effects["x"]] == [
        ("a", 1.5, 1.0, 2.0, 2),
        ("b", 4.5, 3.0, 6.0, 2),
    ]
    assert [(e.value, e.mean) for e in ranking.effects["y"]] == [(1, 2.0), (2, 4.0)]


@given(st.lists(st.lists(st.floats(0.1, 9), min_size=2, max_size=2), min_size=1, max_size=5))
def test_the_order_of_cells_changes_no_rank(losses):
    cells = runs(*map(tuple, losses))
    means = [entry.mean for entry in rank_adapters("v", ["rank"], cells).settings]
    assert means == sorted(means)
    assert [entry.mean for entry in rank_adapters("v", ["rank"], cells[::-1]).settings] == pytest.approx(means)


@pytest.mark.parametrize(("free", "t"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (10, 2.22814), (30, 2.04227)])
def test_student_has_the_quantiles_of_the_textbook(free, t):
    assert student_t_p(t, free) == pytest.approx(0.05, abs=1e-5)
    assert student_t_p(0.0, free) == 1.0


def test_equal_settings_are_rarely_apart_from_the_best():
    """16 equal settings of five seeds were apart in 16 % of grids, with Holm's correction alone."""
    r, apart = Random(4), 0
    for _ in range(300):
        losses = [tuple(r.gauss(1.0, 0.01) for _ in range(5)) for _ in range(16)]
        apart += any(entry.worse for entry in rank_adapters("g", ["rank"], runs(*losses)).settings)
    assert apart <= 0.06 * 300
