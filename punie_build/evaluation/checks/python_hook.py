"""A check of the project's own: a Python function in a file of the project.

    checks = [{ type = "python", function = "suites.judges:polite" }]        suites/judges.py, inside the project

    def polite(answer):                     # {"content": ..., "calls": [{"name": ..., "arguments": {...}}], "raw": ..., "finish": ...}
        return "please" in answer["content"], "no please"

It returns true or false, a score in [0, 1] of which only 1 passes, or either of these and a reason. The file's text is part of the suite:
another text is another suite, and answers are judged anew. It runs when answers are scored, never when recipes are read, and sees the
standard library and installed packages, but no other file of the project: what that says would not be in the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from punie_build.evaluation.checks.check import Check
from punie_build.evaluation.checks.response import PASS, Answer, Verdict

Hook = Callable[[dict[str, Any]], Any]


class Python(Check, frozen=True, kw_only=True, tag="python"):
    """Pass answers that a function of the project passes. `source` is the text of its file, filled in when the suite is read."""

    function: str
    source: str = ""

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"function {self.function!r} - write module:function, such as suites.judges:polite")

    @property
    def place(self) -> str:
        """The file, relative to the project."""
        return self.function.partition(":")[0].replace(".", "/") + ".py"

    def judge(self, answer: Answer) -> Verdict:
        try:
            said = _hook(self.source, self.function)(msgspec.to_builtins(answer))
        except Exception as error:
            return Verdict(0.0, "cannot judge", f"{self.function} raised {type(error).__name__}: {error}")
        score, reason = said if isinstance(said, tuple) and len(said) == 2 else (said, "")
        if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
            return Verdict(
                0.0, "cannot judge", f"{self.function} returned {score!r} - true, false or a score in [0, 1]"
            )
        return PASS if score == 1 else Verdict(float(score), "wrong words", str(reason) or f"{self.function} says no")

    def right(self) -> None:
        return None


@lru_cache(maxsize=64)
def _hook(source: str, function: str) -> Hook:
    """Raises whatever running the file raises; LookupError if it has no such function."""
    module, _, name = function.partition(":")
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(source, f"{module}.py", "exec"), namespace)  # noqa: S102 - the project's own code, as its dodo.py is
    hook: Hook = namespace[name]
    return hook
