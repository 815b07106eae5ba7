"""Questions with lettered choices, as a chat model can be asked them, and the check of the letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from punie_build.evaluation.checks.union import AnyCheck, MatchesRegex
from punie_build.evaluation.suite import ReferenceAnswer

NOTE = (
    "choices are asked for by their letter; the original compares likelihoods, as a table [likelihood.NAME] does, or "
    "parses the answer in its own way"
)


def choice_prompt(question: str, choices: Sequence[str]) -> str:
    """Return a question with its choices, to be answered by a letter. Raise ValueError for too few or too many."""
    if not 2 <= len(choices) <= len(ascii_uppercase):
        raise ValueError(f"{len(choices)} choices - 2 to {len(ascii_uppercase)} have a letter")
    lines = [f"{letter}) {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False)]
    return "\n".join([question.strip(), *lines, "Answer with the letter of the right choice only."])


def choice_check(index: int, choices: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a case that accept the letter of a choice. Raise ValueError without such a choice."""
    if not 0 <= index < len(choices):
        raise ValueError(f"choice {index} of {len(choices)} - the right choice is not among them")
    letter = ascii_uppercase[index]
    pattern = rf"\A\W*(?:(?i:answer|option|choice)\W+)?{letter}(?!\w)(?!.*\b(?!{letter})[{_letters(len(choices))}]\b)"
    checks: tuple[AnyCheck, ...] = (MatchesRegex(pattern=pattern),)
    return {"checks": checks, "oracle": ReferenceAnswer(content=letter)}


def _letters(count: int) -> str:
    return re.escape(ascii_uppercase[:count])
