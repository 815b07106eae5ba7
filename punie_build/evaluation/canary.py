"""Identity: which weights answered, proven by what they say to fixed questions.

A canary is, for each question, the tokens said and their log-probabilities. Two arms of different weights never agree to
the last digit; the same weights agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_build.errors import IdentityError
from punie_build.schema.spec import digest

Canary = Sequence[Sequence[tuple[int, float]]]
CANARIES = ("What are you?", "Name three things that are blue.", "Write one line of Python.")
TOKENS = 8  # of each answer
ROUNDING = 0.05  # nats: what batching and kernels may move a log-probability; other weights move it further


def fingerprint(canary: Canary) -> str:
    """A short name for what was said, 12 hex digits."""
    return digest([[(token, round(logprob, 2)) for token, logprob in said] for said in canary])[:12]


def distance(a: Canary, b: Canary) -> float:
    """The largest gap in nats between log-probabilities while both say the same; infinite if a first word differs."""
    gaps = []
    for said, other in zip(a, b, strict=True):
        same = 0
        for (token, p), (other_token, q) in zip(said, other, strict=False):
            if token != other_token:
                break
            gaps.append(abs(p - q))
            same += 1
        if not same:
            return float("inf")
    return max(gaps, default=float("inf"))


def prove(name: str, served: Canary, again: Canary, arm: Canary, base: Canary, adapted: bool) -> None:
    """Raise IdentityError unless the server says what these weights say, twice, and an adapter changes anything at all."""
    if distance(served, again) > ROUNDING:
        raise IdentityError(
            f"{name}: the server answers the same question differently each time - is another program using its port?"
        )
    if adapted and distance(arm, base) == 0:
        raise IdentityError(
            f"{name}: the adapter changes nothing, base and adapter give equal probabilities - train longer, or with a larger learning_rate"
        )
    if adapted and distance(served, base) < distance(served, arm):
        raise IdentityError(
            f"{name}: the base answered, not the adapter - this version of mlx-lm does not serve adapters as punie-build asks"
        )
    if (gap := distance(served, arm)) > ROUNDING:
        raise IdentityError(
            f"{name}: other weights answered (log-probabilities differ by {gap:.2f} nats) - is another server on this machine's port?"
        )
