"""Functions of the user's own Python files, called for each row in a limited process.

    filters = [{ type = "python", function = "filters.mine:keep" }]        filters/mine.py, inside the project

    def keep(row):                   # the row as JSON has it: {"messages": [...], ...}
        return row["score"] > 3

The process has limits: see `runtime/limited_function.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from punie_build.data.example import decode_example
from punie_build.data.filters.secret import replace_secrets
from punie_build.errors import DataError

if TYPE_CHECKING:
    from punie_build.runtime.limited_function import LimitedFunction


class UserFunction:
    """A function in its own process, which starts with the first row and ends with this object."""

    def __init__(self, root: Path, function: str, seconds: float) -> None:
        self.function, self.seconds = function, seconds
        self.path = root / function_path(function)
        self.limited: LimitedFunction | None = None

    def __call__(self, row: Any) -> Any:
        """Return the result of the function for a row. Raises DataError with its error and the row's question."""
        from punie_build.runtime.limited_function import FunctionError, LimitedFunction

        line = msgspec.json.encode(row)
        if self.limited is None:
            self.limited = LimitedFunction(
                self._source(), str(self.path.resolve()), self.function.partition(":")[2], self.seconds
            )
        try:
            return self.limited(line)
        except FunctionError as error:
            problem, _, advice = str(error).rpartition(" - ")
            keys = f" (the row has {', '.join(_keys(line)[:12])})" if problem.startswith("raised KeyError") else ""
            question = f" for the row that asks {_question(line)!r}"
            raise DataError(f"function {self.function}{question}: {problem}{keys} - {advice}") from None

    def _source(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            path = function_path(self.function)
            problem = f"{self.path.name} not found - write the function into {path}"
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{self.path.name} cannot be read: {error} - save it as UTF-8"
        raise DataError(f"function {self.function}: {problem}")


def function_path(function: str) -> str:
    """Return the path of a function's file relative to the project."""
    return function.partition(":")[0].replace(".", "/") + ".py"


def require_function(function: str) -> None:
    """Raise ValueError unless the text names a function as `module:function`."""
    module, _, name = function.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"function {function!r} - write module:function, such as filters.mine:keep")


def _keys(line: bytes) -> list[str]:
    try:
        return list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except msgspec.MsgspecError:
        return []


def _question(line: bytes) -> str:
    """Return the beginning of the first user's text of a row, without secrets."""
    try:
        question = decode_example(line).group_key()
    except (msgspec.MsgspecError, RecursionError):
        return ""
    text = replace_secrets(" ".join(question.split()), ("private-key", "token", "password"))
    return text if len(text) <= 60 else f"{text[:57]}..."
