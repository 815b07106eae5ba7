"""Canary completions, which verify the weights behind a server by their greedy completions of fixed prompts.

A canary holds, for each prompt, the generated tokens and their log-probabilities. Different weights never agree to the
last digit; the same weights agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from punie_build.errors import IdentityError
from punie_build.schema.spec import digest

Canary = Sequence[Sequence[tuple[int, float]]]  # for each prompt, (token id, log-probability in nats) of each token
CANARY_PROMPTS = ("What are you?", "Name three things that are blue.", "Write one line of Python.")
CANARY_TOKENS = 8  # generated for each prompt
TOLERANCE = 0.05  # nats: no noise may excuse more, for other weights move a log-probability by as little
LEAST_TOLERANCE = 1e-3  # nats: of weights whose noise was measured as less than a tenth of it


class CanaryNoise(Struct, frozen=True, kw_only=True):
    """How exactly a canary can be compared, as measured on the weights themselves.

    `nats`: the largest gap of a log-probability between decoding and one pass over the whole text. `certain`: for each
    prompt, the number of leading tokens that are no near ties, so that the same weights always generate them.
    """

    nats: float = 0.0
    certain: tuple[int, ...] = ()

    @property
    def tolerance(self) -> float:
        """The gap (nats) that is still noise: ten times the measured noise, within limits."""
        return min(TOLERANCE, max(LEAST_TOLERANCE, 10 * self.nats))


def fingerprint(canary: Canary) -> str:
    """Return a short digest of a canary: 12 hex digits, of log-probabilities rounded to 0.01 nats."""
    return digest([[(token, round(logprob, 2)) for token, logprob in completion] for completion in canary])[:12]


def distance(a: Canary, b: Canary, certain: Sequence[int] = ()) -> float:
    """Return the largest gap between log-probabilities (nats); infinity if the canaries part.

    They are compared to their ends. With `certain`, each completion to its first near tie: there, other tokens are no
    parting, but have near log-probabilities.
    """
    gaps = [0.0]
    for index, (completion, other) in enumerate(zip(a, b, strict=True)):
        end = certain[index] if certain else max(len(completion), len(other))
        if min(len(completion), len(other)) < min(end, max(len(completion), len(other))):
            return float("inf")
        pairs = list(zip(completion, other, strict=False))
        if any(token != other_token for (token, _), (other_token, _) in pairs[:end]):
            return float("inf")
        gaps += [abs(logprob - other_logprob) for (_, logprob), (_, other_logprob) in pairs[: end + 1]]
    return max(gaps)


def verify_identity(
    name: str, served: Canary, repeated: Canary, expected: Canary, base: Canary, noise: CanaryNoise
) -> None:
    """Raise IdentityError unless the served canary equals the expected one and is repeatable.

    `served` and `repeated` come from the server; `expected` and `base` come from the weights with and without the
    adapter.
    """
    if distance(served, repeated, noise.certain) > noise.tolerance:
        raise IdentityError(
            f"{name}: the server gives a different response to the same request each time - "
            "check whether another program uses its port"
        )
    if (gap := distance(served, expected, noise.certain)) <= noise.tolerance:
        return
    if distance(served, base, noise.certain) <= noise.tolerance:
        raise IdentityError(
            f"{name}: the base answered, not the adapter - "
            "this version of mlx-lm does not serve adapters: pip install 'mlx-lm>=0.32'"
        )
    differs = f"log-probabilities differ by {gap:.2g} nats" if gap < float("inf") else "they generate other tokens"
    raise IdentityError(
        f"{name}: other weights answered ({differs}) - check whether another server on this machine uses the port"
    )


def small_effect(name: str, expected: Canary, base: Canary, noise: CanaryNoise) -> str | None:
    """Return a warning if an adapter changes so little that its answers cannot be told from those of the base."""
    gap = distance(expected, base, noise.certain)
    if gap > noise.tolerance:
        return None
    return (
        f"{name}: the adapter changes little: log-probabilities of the canary differ from those of the base by at most "
        f"{gap:.1e} nats, so the canary cannot tell which of them answered - train longer, or with a larger "
        "learning_rate"
    )
