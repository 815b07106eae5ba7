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

import errno
import os
from collections.abc import Iterable, Sequence


class PunieError(Exception):
    """A problem that the user can fix: its message is printed without a traceback."""


class RecipeError(PunieError):
    """All mistakes of all recipe files, one per line, whatever characters the files hold."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(printable, problems))
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


ADVICE = {  # of the errors of the system: what to do about them
    errno.EACCES: "give yourself access to it",
    errno.EPERM: "give yourself access to it",
    errno.EBUSY: "end the program that uses it",
    errno.EEXIST: "move away what is in its place",
    errno.EISDIR: "move away the folder that is in its place",
    errno.ENOTDIR: "move away the file that is in the place of a folder",
    errno.ENOTEMPTY: "move away what is in it",
    errno.ELOOP: "correct the link",
    errno.ENOENT: "it was removed meanwhile, or is a link to nowhere: put it back",
    errno.ENAMETOOLONG: "choose a shorter name, or a folder with a shorter path",
    errno.EMFILE: "allow more open files: `ulimit -n 4096`",
    errno.ENFILE: "close other programs: the system has too many open files",
    errno.ENOMEM: "close other programs: the memory is full",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room: your quota of the disk is used up",
    errno.EFBIG: "make it smaller, or use another file system",
    errno.EROFS: "mount the disk for writing, or move the project",
    errno.EIO: "the disk fails: move the project to another one",
    errno.ESTALE: "the network disk was mounted anew: enter the folder again",
    errno.EXDEV: "move both to one disk",
}


def os_error(error: OSError, place: str) -> str:
    """Return an error of the system as one sentence, with its path, or `place` where it has none, and what to do."""
    path = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
    where = os.fsdecode(path) if path else place
    reason = error.strerror or str(error) or type(error).__name__
    return f"{where}: {reason} - {ADVICE.get(error.errno or 0, 'see whether the disk and its rights are in order')}"


def printable(text: str) -> str:
    """Return one line that every terminal, log and file can show: other characters as escapes. A name on disk may hold
    anything."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """Return lines that every terminal and log can show. A line that a CI service would take for a command, such as
    `::error::`, has its first character as an escape."""
    if text.isprintable() and not text.lstrip().startswith(COMMANDS):
        return text
    lines = ["\t".join(map(printable, line.split("\t"))) for line in text.split("\n")]
    return "\n".join(
        f"\\x{ord(each.lstrip()[0]):x}{each.lstrip()[1:]}" if _is_command(each) else each for each in lines
    )


COMMANDS = ("::", "##[", "##vso[", "##teamcity[")  # of GitHub, Azure and TeamCity


def _is_command(line: str) -> bool:
    return line.lstrip().startswith(COMMANDS)


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
