"""A row of the fault table: one fault, how it is tried, and how that ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from tests.kills.fault_table.sandbox import Done, Sandbox

Outcome = Literal["right bytes", "one sentence", "traceback", "wrong", "hangs", "skipped"]
HELD = ("right bytes", "one sentence", "skipped")
MANY_LINES = 12  # of output for one mistake
LINES_OF_BUILD = 60  # of a build that ends with one


class Result(Struct, frozen=True):
    """The outcome of a fault, and why it is one that must not be."""

    outcome: Outcome
    reason: str = ""

    @property
    def is_held(self) -> bool:
        return self.outcome in HELD


class Row(Struct, frozen=True):
    """One fault of a class. `run` makes it happen in a project of its own, and judges the end."""

    fault: str
    name: str
    run: Callable[[Sandbox], Result]


class SkippedError(Exception):
    """A fault that cannot be tried here, with the reason."""


def output_problem(done: Done) -> Result | None:
    """Return the result of a process that hangs, or that ends with a traceback; None for any other."""
    if done.code is None:
        return Result("hangs", done.output[-300:])
    if "Traceback (most recent call last)" in done.output or "bug of punie-build" in done.output:
        return Result("traceback", done.output[-500:])
    if done.code < 0:
        return Result("wrong", f"ended by signal {-done.code}: {done.output[-300:]}")
    return None


def sentence(done: Done, most: int = MANY_LINES) -> Result:
    """Judge a process that must refuse something: an exit code, and few lines that say what is wrong."""
    if problem := output_problem(done):
        return problem
    lines = [line for line in done.output.splitlines() if line.strip()]
    if not done.code:
        return Result("wrong", f"exit code 0: {done.output[-300:]}")
    if not lines or len(lines) > most or not any(" - " in line or ": " in line for line in lines):
        return Result("wrong", f"no sentence: {done.output[-300:]}")
    return Result("one sentence")


def healed(box: Sandbox, *, mend: Callable[[], object] | None = None, **variables: str) -> Result:
    """Judge builds after a fault: the first has the right bytes, or ends with a sentence. Then the next one, after
    `mend` if a person must do something, has the right bytes. A build after that runs no task."""
    done = box.build(**variables)
    if problem := output_problem(done):
        return problem
    if not done.code:
        return right(box, done)
    if not (refused := sentence(done, LINES_OF_BUILD)).is_held:
        return refused
    if mend:
        mend()
    done = box.build()
    return output_problem(done) or right(box, done, was_refused=True)


def right(box: Sandbox, done: Done, was_refused: bool = False) -> Result:
    """Judge a build that must have made the right bytes, and the one after it, which has nothing to do."""
    if done.code:
        return Result("wrong", f"exit code {done.code}: {done.output[-300:]}")
    found = box.files()
    if found != box.expected:
        names = sorted(name for name in found.keys() | box.expected if found.get(name) != box.expected.get(name))
        return Result("wrong", f"other bytes: {', '.join(names)[:200]}")
    after = box.build()
    if problem := output_problem(after):
        return problem
    if after.code or " ran" in after.output or " restored" in after.output:
        return Result("wrong", f"the next build is no no-op: {after.output[-300:]}")
    staged = (
        path for path in (box.root / ".punie/staging").rglob("*") if path.is_file() and not path.name.startswith("mine")
    )
    if leftovers := [*staged]:
        return Result("wrong", f"left in the staging folder: {leftovers[0].name}")
    if running := box.processes():
        return Result("wrong", f"still running: {running[0]}")
    return Result("one sentence" if was_refused else "right bytes")
