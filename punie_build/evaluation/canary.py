"""Canary completions, which verify the weights behind a server by their greedy completions of fixed prompts.

A canary holds, for each prompt, the generated tokens and their log-probabilities. Different weights never agree to the
last digit; the same weights agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_build.errors import IdentityError
from punie_build.schema.spec import digest

Canary = Sequence[Sequence[tuple[int, float]]]  # for each prompt, (token id, log-probability in nats) of each token
CANARY_PROMPTS = ("What are you?", "Name three things that are blue.", "Write one line of Python.")
CANARY_TOKENS = 8  # generated for each prompt
TOLERANCE = 0.05  # nats: batching and kernels move a log-probability by less, other weights move it by more


def fingerprint(canary: Canary) -> str:
    """Return a short digest of a canary: 12 hex digits, of log-probabilities rounded to 0.01 nats."""
    return digest([[(token, round(logprob, 2)) for token, logprob in completion] for completion in canary])[:12]


def distance(a: Canary, b: Canary) -> float:
    """Return the largest gap between log-probabilities (nats) of common prefixes; infinity if a first token differs."""
    gaps = []
    for completion, other in zip(a, b, strict=True):
        common = 0
        for (token, logprob), (other_token, other_logprob) in zip(completion, other, strict=False):
            if token != other_token:
                break
            gaps.append(abs(logprob - other_logprob))
            common += 1
        if not common:
            return float("inf")
    return max(gaps, default=float("inf"))


def verify_identity(
    name: str, served: Canary, repeated: Canary, expected: Canary, base: Canary, has_adapter: bool
) -> None:
    """Raise IdentityError unless the served canary equals the expected one, is repeatable, and an adapter has an
    effect.

    `served` and `repeated` come from the server; `expected` and `base` come from the weights with and without the
    adapter.
    """
    if distance(served, repeated) > TOLERANCE:
        raise IdentityError(
            f"{name}: the server gives a different response to the same request each time - "
            "check whether another program uses its port"
        )
    if has_adapter and distance(expected, base) == 0:
        raise IdentityError(
            f"{name}: the adapter changes nothing, base and adapter give equal probabilities - "
            "train longer, or with a larger learning_rate"
        )
    if has_adapter and distance(served, base) < distance(served, expected):
        raise IdentityError(
            f"{name}: the base answered, not the adapter - "
            "this version of mlx-lm does not serve adapters, install another version"
        )
    if (gap := distance(served, expected)) > TOLERANCE:
        raise IdentityError(
            f"{name}: other weights answered (log-probabilities differ by {gap:.2f} nats) - "
            "check whether another server on this machine uses the port"
        )
