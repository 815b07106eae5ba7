"""The weights and settings behind the arms of a comparison: the same ones twice are no comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from punie_build.errors import IdentityError
from punie_build.evaluation.arm_spec import identity
from punie_build.evaluation.scores import Scores
from punie_build.schema.spec import digest
from punie_build.storage import locks, paths
from punie_build.storage.locks import KeyInputs

SETTINGS = ("asked", "chat_template_args", "sampling", "system", "remote", "file")  # in which arms may differ


class AskedWeights(Struct, frozen=True):
    """A digest of the weights of an arm and one of the settings it is asked with; empty where they are unknown."""

    weights: str = ""
    settings: str = ""


def read(root: Path, target: str) -> AskedWeights:
    """Return the weights that gave the answers of an eval, and how they were asked, from the locks."""
    lock = locks.read(root / paths.lock(target))
    answers = next((path for path in lock.key_inputs.inputs if path.endswith("@answers")), "") if lock else ""
    answers_lock = locks.read(root / paths.lock(answers)) if answers else None
    return of_inputs(answers_lock.key_inputs if answers_lock else None)


def of_inputs(key_inputs: KeyInputs | None) -> AskedWeights:
    """Return the weights and settings behind answers, from all that decides them."""
    if key_inputs is None:
        return AskedWeights()
    inputs, recipe = key_inputs.inputs, key_inputs.recipe
    settings = {name: recipe[name] for name in SETTINGS if name in recipe}
    return AskedWeights(digest(sorted(inputs.values())) if inputs else "", digest(settings))


def require_distinct(name: str, arms: Sequence[Scores], weights: Sequence[AskedWeights]) -> None:
    """Raise IdentityError for arms that are the same model, asked in the same way: by the digests of their weights, and
    by canary where one is unknown. Arms without a canary have no weights that could be compared."""
    for index, arm in enumerate(arms):
        for other, asked in zip(arms[:index], weights, strict=False):
            known = asked.weights and weights[index].weights
            same = asked == weights[index] if known else bool(arm.canary) and arm.canary == other.canary
            if same:
                raise IdentityError(
                    f"comparison.{name}: {other.arm} and {arm.arm} have the same weights ({identity(arm.canary)}) - "
                    "compare different arms; if they are meant to be equal, set `parity = true`"
                )


def similar_weights(arms: Sequence[Scores], parity: bool, weights: Sequence[AskedWeights] = ()) -> list[str]:
    """Return a line for each arm whose weights have the canary of an earlier arm, unless they are meant to be equal:
    by `parity`, or because only their settings differ."""
    known = [arm.weights for arm in weights] or [""] * len(arms)
    pairs = [
        (arms[other].arm, arm.arm)
        for index, arm in enumerate(arms)
        for other in range(index)
        if arm.canary and arm.canary == arms[other].canary and not (known[index] and known[index] == known[other])
    ]
    return (
        []
        if parity
        else [
            f"{other} and {arm} give the canary the same tokens, and probabilities equal to 0.01 nats: "
            "their weights differ little"
            for other, arm in pairs
        ]
    )
