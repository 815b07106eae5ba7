"""Profiles of property tests: `dev` draws a quarter of the examples, `ci` all. HYPOTHESIS_PROFILE selects one.

No profile has a deadline: these tests share their machine, and a slow example is no failure.
"""

from __future__ import annotations

import os

from hypothesis import settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "dev")

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None)
settings.load_profile(PROFILE)


def examples(number: int) -> settings:
    """Return settings that draw `number` examples under `ci`, and a quarter of them, at least ten, under `dev`."""
    return settings(max_examples=number if PROFILE == "ci" else max(10, number // 4))
