from __future__ import annotations

import pytest

from punie_build.errors import IdentityError
from punie_build.evaluation.canary import distance, fingerprint, prove

BASE = [[(5, -0.1), (7, -0.4)], [(2, -1.0)]]
ARM = [[(5, -0.9), (7, -0.2)], [(2, -0.3)]]


def near(canary):
    return [[(token, p + 0.002) for token, p in said] for said in canary]


def test_the_right_weights_are_believed():
    prove("v", near(ARM), near(ARM), ARM, BASE, adapted=True)
    prove("nano", near(BASE), near(BASE), BASE, BASE, adapted=False)


def test_a_base_that_answers_as_its_adapter_is_found():
    with pytest.raises(IdentityError, match="the base answered, not the adapter"):
        prove("v", near(BASE), near(BASE), ARM, BASE, adapted=True)


def test_an_adapter_that_changes_nothing_is_found():
    with pytest.raises(IdentityError, match="changes nothing"):
        prove("v", BASE, BASE, BASE, BASE, adapted=True)


def test_a_strangers_answers_are_found():
    stranger = [[(9, -0.1)], [(2, -1.0)]]
    with pytest.raises(IdentityError, match="other weights answered"):
        prove("nano", stranger, stranger, BASE, BASE, adapted=False)
    with pytest.raises(IdentityError, match="differently each time"):
        prove("nano", BASE, stranger, BASE, BASE, adapted=False)


def test_distance_and_fingerprint_tell_weights_apart():
    assert distance(BASE, BASE) == 0
    assert distance(BASE, near(BASE)) == pytest.approx(0.002)
    assert distance(BASE, ARM) == pytest.approx(0.8)
    assert fingerprint(BASE) != fingerprint(ARM)
