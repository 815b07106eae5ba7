"""Everything that can go wrong and is not a bug of ours.

    PunieError
    ├── RecipeError    a recipe says what cannot be built        exit 3, before anything runs
    ├── DataError      examples that cannot be read, or none left
    ├── ModelError     a base, adapter or trainer that does not work
    ├── ServerError    a model server that does not start or answer
    ├── UseError       a command asked for what is not there
    └── IdentityError  an answer that came from other weights than the report would say

A message says *where: what - what to do*. One error carries every problem found, a line each.
To add one: subclass the branch a caller would want to catch; a new branch is a line in this tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PunieError(Exception):
    """A problem a person can mend: shown as it reads, without a traceback."""


class RecipeError(PunieError):
    """All mistakes of all recipe files, one per line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # what pickle makes it of again

    def __str__(self) -> str:
        return "\n".join(self.problems)


class DataError(PunieError):
    """Examples that cannot be read, or a split that has none left."""


class ModelError(PunieError):
    """A base that is no model, an adapter that is not what its recipe says, a training that failed."""


class ServerError(PunieError):
    """A model server that did not start, died, or did not answer."""


class UseError(PunieError):
    """A command asked for what is not there."""


class IdentityError(PunieError):
    """The weights that answered are not the ones the report would name."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" - did you mean 'x'?"`, or what there is to choose from, for the end of a message."""
    choices = sorted(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f" - did you mean '{close[0]}'?"
    return f" - known: {', '.join(choices)}" if choices else ""
