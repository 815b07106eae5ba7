"""Checks that run: generated Python against tests, and the end state of tools.

Generated code runs in a process of its own for each answer, with limits of time and memory
(`runtime/limited_function.py`): it starts no process, opens no connection and writes no file.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Annotated, Any

from msgspec import UNSET, Meta

from punie_build.evaluation.checks.check import Check
from punie_build.evaluation.checks.python_code import parse
from punie_build.evaluation.checks.response import PASS, Answer, CheckResult
from punie_build.evaluation.checks.text import compare_json, require_matchers
from punie_build.runtime.limited_function import FunctionError, LimitedFunction

CODE_FENCE = re.compile(r"```(?:python|py)?[^\S\n]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
PROGRAM = """
def run(argument):
    namespace = {"__name__": "__main__"}
    for part in ("code", "tests"):
        try:
            exec(compile(argument[part], part, "exec"), namespace)
        except BaseException as error:
            return f"{part}: {type(error).__name__}: {error}"[:300]
    return ""
"""


class Execute(Check, frozen=True, kw_only=True, tag="execute"):
    """Pass answers whose Python code passes `tests`, which run after it in the same namespace.

    The code is the first fence of the text, or the text; with `tool`, it is the `argument` of the calls of that tool.
    `prefix` is code before it, such as imports or the head of the function. `seconds` is the time of an answer.
    """

    tests: Annotated[str, Meta(min_length=1)]
    prefix: str = ""
    tool: str | None = None
    argument: str = "code"
    seconds: Annotated[int, Meta(ge=1, le=600)] = 10

    def __post_init__(self) -> None:
        try:
            parse(self.tests)
        except ValueError as error:
            raise ValueError(f"tests: {error} - correct the code") from None

    def score(self, answer: Answer) -> CheckResult:
        if self.tool is None:
            fence = CODE_FENCE.search(answer.content)
            code = fence[1] if fence else answer.content
        else:
            blocks = [call.arguments.get(self.argument) for call in answer.calls if call.name == self.tool]
            if not blocks:
                return CheckResult(0.0, "no call", f"no {self.tool}")
            code = "\n".join(block for block in blocks if isinstance(block, str))
        code = code.removeprefix("\ufeff")
        if not code.strip():
            return CheckResult(0.0, "empty", "no code")
        program = json.dumps({"code": f"{self.prefix}\n{code}" if self.prefix else code, "tests": self.tests})
        try:
            problem = _program(self.seconds)(program.encode())
        except FunctionError as error:
            _program.cache_clear()
            problem = str(error).partition(" - ")[0]
        return CheckResult(0.0, "wrong code", str(problem)) if problem else PASS

    def reference(self) -> None:
        return None


@lru_cache(maxsize=8)
def _program(seconds: int) -> LimitedFunction:
    """Return the function that runs code, in a process that makes one of its own for each answer."""
    return LimitedFunction(PROGRAM, "execute", "run", seconds, isolated=True)


class EndState(Check, frozen=True, kw_only=True, tag="state"):
    """Pass answers after which the state of the tools contains all of `value`, matched like the arguments of calls.

    The score is the fraction of leaves that match.
    """

    value: dict[str, Any]

    def __post_init__(self) -> None:
        require_matchers(self.value)

    def score(self, answer: Answer) -> CheckResult:
        if answer.state is UNSET:
            return CheckResult(0.0, "cannot judge", "the suite has no `state`")
        return compare_json(self.value, answer.state, "wrong state")

    def reference(self) -> None:
        return None
