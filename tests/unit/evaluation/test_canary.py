"""Canary completions tell the expected weights from all others."""

from __future__ import annotations

import pytest

from punie_build.errors import IdentityError
from punie_build.evaluation.canary import distance, fingerprint, verify_identity

BASE = [[(5, -0.1), (7, -0.4)], [(2, -1.0)]]
ADAPTED = [[(5, -0.9), (7, -0.2)], [(2, -0.3)]]


def near(canary):
    return [[(token, logprob + 0.002) for token, logprob in completion] for completion in canary]


def test_the_expected_weights_are_accepted():
    verify_identity("v", near(ADAPTED), near(ADAPTED), ADAPTED, BASE, has_adapter=True)
    verify_identity("nano", near(BASE), near(BASE), BASE, BASE, has_adapter=False)


def test_a_base_that_answers_in_place_of_its_adapter_is_detected():
    with pytest.raises(IdentityError, match="the base answered, not the adapter"):
        verify_identity("v", near(BASE), near(BASE), ADAPTED, BASE, has_adapter=True)


def test_an_adapter_without_effect_is_detected():
    with pytest.raises(IdentityError, match="changes nothing"):
        verify_identity("v", BASE, BASE, BASE, BASE, has_adapter=True)


def test_other_weights_are_detected():
    other = [[(9, -0.1)], [(2, -1.0)]]
    with pytest.raises(IdentityError, match="other weights answered"):
        verify_identity("nano", other, other, BASE, BASE, has_adapter=False)
    with pytest.raises(IdentityError, match="different response to the same request"):
        verify_identity("nano", BASE, other, BASE, BASE, has_adapter=False)


def test_distance_and_fingerprint_differ_between_weights():
    assert distance(BASE, BASE) == 0
    assert distance(BASE, near(BASE)) == pytest.approx(0.002)
    assert distance(BASE, ADAPTED) == pytest.approx(0.8)
    assert fingerprint(BASE) != fingerprint(ADAPTED)
