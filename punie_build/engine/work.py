"""Work: what a step receives, and the result that it returns."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct

from punie_build.engine.task import Task
from punie_build.runtime.console import console
from punie_build.storage import project_file
from punie_build.storage.locks import KeyInputs

SpecT = TypeVar("SpecT")


class Work(Struct, Generic[SpecT], frozen=True, kw_only=True):
    """One run of a step: the task, the project's root, the folder to write into, the folder for logs, and all that
    decides the result.

    With `afresh` the target was built before and is to be made anew, whatever caches held before `since`, in seconds
    since 1970.
    """

    root: Path
    task: Task[SpecT]
    out: Path
    logs: Path
    key_inputs: KeyInputs | None = None
    afresh: bool = False
    since: float = math.inf

    @property
    def spec(self) -> SpecT:
        return self.task.spec

    def inputs(self) -> list[Path]:
        """Return the inputs in the order of the task, without the one that the step extends."""
        return [self.root / path for path in self.task.inputs if path != self.task.remembers]

    def external(self, name: str) -> Path:
        """Return the folder of an external input, after a download if need be. Raises PunieError."""
        return self.task.external[name].locate(self.root)

    def memory(self) -> Path | None:
        """Return the input that the step extends for the next build, if it has one."""
        return self.root / self.task.remembers if self.task.remembers else None

    def say(self, text: str) -> None:
        """Print lines for people, on the screen and in the log of the task."""
        self.logs.mkdir(parents=True, exist_ok=True)
        project_file.append(self.logs / "build.log", f"{text}\n".encode())
        alone = threading.current_thread() is threading.main_thread()
        for line in text.splitlines():
            console.print_line(f"   {line}" if alone else f"   {self.task.label}: {line}")


class StepResult(Struct, frozen=True):
    """A line for people on a result, its metrics, for gates, and the seconds of earlier runs that the step resumed."""

    message: str
    metrics: Mapping[str, float] = {}
    earlier_seconds: float = 0.0


Step = Callable[[Work[Any]], StepResult]
