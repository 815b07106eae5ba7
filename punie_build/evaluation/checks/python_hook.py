"""A check that runs a Python function of the project.

    checks = [{ type = "python", function = "suites.judges:polite" }]        suites/judges.py, inside the project

    # answer: {"content": ..., "calls": [{"name": ..., "arguments": {...}}], "raw": ..., "finish": ...}
    def polite(answer):
        return "please" in answer["content"], "no please"

The function returns a bool or a score in [0, 1], of which only 1 passes, or a tuple of either and a reason. The text of
the file is part of the suite: if it changes, answers are scored again. The function runs when answers are scored, never
when recipes are read, in a process with limits of time and memory (`runtime/limited_function.py`), one for all cases.
It can import the standard library and installed packages, but no other file of the project, because the suite does not
contain the text of that file. An answer for which it returns no result, because it raises, exits or never ends, cannot
be scored.
"""

from __future__ import annotations

import json
from functools import lru_cache

import msgspec

from punie_build.evaluation.checks.check import Check
from punie_build.evaluation.checks.response import PASS, Answer, CheckResult
from punie_build.runtime.limited_function import FunctionError, LimitedFunction

SECONDS = 10.0  # for an answer


class PythonHook(Check, frozen=True, kw_only=True, tag="python"):
    """Pass answers that a function of the project passes.

    `source` is the text of its file, set when the suite is read.
    """

    function: str
    source: str = ""

    def __post_init__(self) -> None:
        module, _, name = self.function.partition(":")
        if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(f"function {self.function!r} - write module:function, such as suites.judges:polite")

    @property
    def path(self) -> str:
        """The path of the file relative to the project."""
        return self.function.partition(":")[0].replace(".", "/") + ".py"

    def score(self, answer: Answer) -> CheckResult:
        try:
            result = _hook(self.source, self.path, self.function)(json.dumps(msgspec.to_builtins(answer)).encode())
        except FunctionError as error:
            return CheckResult(0.0, "cannot judge", f"{self.function}: {error}")
        score, reason = result if isinstance(result, list) and len(result) == 2 else (result, "")
        if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
            message = f"{self.function} returned {score!r} - return true, false or a score in [0, 1]"
            return CheckResult(0.0, "cannot judge", message)
        if score == 1:
            return PASS
        return CheckResult(float(score), "wrong words", str(reason) or f"{self.function} does not pass")

    def reference(self) -> None:
        return None


@lru_cache(maxsize=64)
def _hook(source: str, path: str, function: str) -> LimitedFunction:
    """Return the function, in the process that all cases share."""
    return LimitedFunction(source, path, function.partition(":")[2], SECONDS)
