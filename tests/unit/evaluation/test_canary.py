"""Canary completions tell the expected weights from all others."""

from __future__ import annotations

import pytest

from punie_build.errors import IdentityError
from punie_build.evaluation.canary import CanaryNoise, distance, fingerprint, small_effect, verify_identity

BASE = [[(5, -0.1), (7, -0.4)], [(2, -1.0)]]
ADAPTED = [[(5, -0.9), (7, -0.2)], [(2, -0.3)]]


def near(canary):
    return [[(token, logprob + 0.0002) for token, logprob in completion] for completion in canary]


def test_the_expected_weights_are_accepted():
    verify_identity("v", near(ADAPTED), near(ADAPTED), ADAPTED, BASE, CanaryNoise())
    verify_identity("nano", near(BASE), near(BASE), BASE, BASE, CanaryNoise())


def test_a_base_that_answers_in_place_of_its_adapter_is_detected():
    with pytest.raises(IdentityError, match="the base answered, not the adapter"):
        verify_identity("v", near(BASE), near(BASE), ADAPTED, BASE, CanaryNoise())


def test_an_adapter_that_changes_little_is_a_warning_with_its_size():
    verify_identity("v", BASE, BASE, BASE, BASE, CanaryNoise())
    assert "at most 0.0e+00 nats" in (small_effect("v", BASE, BASE, CanaryNoise()) or "")
    assert "at most 2.0e-04 nats" in (small_effect("v", near(BASE), BASE, CanaryNoise()) or "")
    assert small_effect("v", ADAPTED, BASE, CanaryNoise()) is None


def test_a_canary_is_compared_to_its_end():
    """The log-probabilities of the tokens before the parting are equal."""
    parting, shorter = [[(5, -0.1), (8, -0.4)], [(2, -1.0)]], [[(5, -0.1)], [(2, -1.0)]]
    for other in (parting, shorter):
        assert distance(BASE, other) == distance(other, BASE) == float("inf")
        with pytest.raises(IdentityError, match="other weights answered"):
            verify_identity("v", other, other, BASE, ADAPTED, CanaryNoise())


def test_a_near_tie_may_part_with_a_near_probability_only():
    tie, far = [[(5, -0.1), (8, -0.4001)], [(2, -1.0)]], [[(5, -0.1), (8, -0.9)], [(2, -1.0)]]
    noise = CanaryNoise(nats=1e-5, certain=(1, 1))
    verify_identity("v", tie, tie, BASE, ADAPTED, noise)
    with pytest.raises(IdentityError, match="other weights answered"):
        verify_identity("v", far, far, BASE, ADAPTED, noise)


@pytest.mark.parametrize(("measured", "tolerance"), [(0.0, 1e-3), (5e-5, 1e-3), (1e-3, 1e-2), (1.0, 0.05)])
def test_the_tolerance_is_ten_times_the_measured_noise(measured, tolerance):
    assert CanaryNoise(nats=measured).tolerance == pytest.approx(tolerance)


def test_other_weights_are_detected():
    other = [[(9, -0.1)], [(2, -1.0)]]
    with pytest.raises(IdentityError, match="other weights answered"):
        verify_identity("nano", other, other, BASE, BASE, CanaryNoise())
    with pytest.raises(IdentityError, match="different response to the same request"):
        verify_identity("nano", BASE, other, BASE, BASE, CanaryNoise())


def test_distance_and_fingerprint_differ_between_weights():
    assert distance(BASE, BASE) == 0
    assert distance(BASE, near(BASE)) == pytest.approx(0.0002)
    assert distance(BASE, ADAPTED) == pytest.approx(0.8)
    assert fingerprint(BASE) != fingerprint(ADAPTED)
