"""The errors that a user can fix. Every other exception is a bug of punie-build.

    PunieError
    ├── RecipeError    a recipe that cannot be built             exit 3, before anything runs
    ├── DataError      examples that cannot be read, or an empty split
    ├── ModelError     a base, an adapter or a training that does not work
    ├── ServerError    a model server that does not start or answer
    ├── UseError       a command whose arguments name something that does not exist
    └── IdentityError  a completion of other weights than those that the report names

A message has the form *where: what is wrong - what to do*. One error carries all problems, one per line.
To add an error, subclass the branch that a caller would catch; a new branch is one line in this tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class PunieError(Exception):
    """A problem that the user can fix: its message is printed without a traceback."""


class RecipeError(PunieError):
    """All mistakes of all recipe files, one per line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # pickle calls the class with these arguments

    def __str__(self) -> str:
        return "\n".join(self.problems)


class DataError(PunieError):
    """Examples that cannot be read, or a split without examples."""


class ModelError(PunieError):
    """A base that is not a model, an adapter that differs from its recipe, or a training that failed."""


class ServerError(PunieError):
    """A model server that did not start, died, or did not answer."""


class UseError(PunieError):
    """A command whose arguments name something that does not exist."""


class IdentityError(PunieError):
    """A completion came from other weights than those that the report names."""


def join_first(names: Sequence[str], most: int) -> str:
    """Return the first names, at most this many, and the number of the others."""
    others = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + others


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a message: ` - did you mean 'x'?`, or the known words if none is similar.

    Of labels such as `adapter:v1`, the name alone may be similar.
    """
    from difflib import get_close_matches

    choices = sorted(known)
    labels = {choice.rpartition(":")[2]: choice for choice in choices}
    if close := get_close_matches(word, [*choices, *labels], n=1, cutoff=0.6):
        return f" - did you mean '{labels.get(close[0], close[0])}'?"
    return f" - known: {', '.join(choices)}" if choices else ""
