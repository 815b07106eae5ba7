"""The registry of kinds: every kind, and its variants, can be sent to a worker process."""

from __future__ import annotations

import pickle

import pytest

from punie_build.artifacts.registry import KINDS

VARIANTS = [(name, key) for name, kind in KINDS.items() for key in (None, *kind.variants)]


@pytest.mark.parametrize(("name", "key"), VARIANTS)
def test_a_kind_survives_pickling(name, key):
    kind = KINDS[name] if key is None else KINDS[name].variants[key]
    copy = pickle.loads(pickle.dumps(kind))
    assert (copy.name, copy.step, copy.spec) == (kind.name, kind.step, kind.spec)
