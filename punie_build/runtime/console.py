"""Screen: where people look while something is made. Lines for what happened, bars for what is happening.

On a terminal the bars live below the lines, one for each work that runs and one for the whole build. Anywhere else (CI, a
file) there are only lines, and of a long work one now and then. Threads may share it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO, TypeVar

QUIET_SECONDS = 15.0
F = TypeVar("F")


def message(function: F) -> F:
    """Mark a function whose result is only shown to people: rewording it changes no fingerprint and rebuilds no artifact."""
    return function


class Screen:
    """`say` writes a line; `show` and `hide` open and close the place where bars live."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.live: Any = None
        self.out: TextIO | None = None  # None: stdout, whatever that is by then
        self.muted = False

    def say(self, text: str) -> None:
        with self.guard:
            if self.muted:
                return
            if self.live:
                self.live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=self.out, flush=True)

    def show(self) -> None:
        """Bars from here on, if this is a terminal."""
        with self.guard:
            if self.live or os.environ.get("CI") or not (self.out or sys.stdout).isatty():
                return
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("   {task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[facts]}"),
            )
            self.live = Progress(*columns, console=Console(), transient=True)
            self.live.start()

    def hide(self) -> None:
        with self.guard:
            if self.live:
                self.live.stop()
                self.live = None


screen = Screen()


class Bar:
    """`with Bar("training v1", 300) as bar: bar(120, "loss 0.41")`: how far, what is known, how long still. `before` were done
    when it began."""

    def __init__(self, title: str, total: int, before: int = 0) -> None:
        self.title, self.total, self.before = title, total, before
        self.started = self.said = time.monotonic()

    def __enter__(self) -> Bar:
        self.live = screen.live
        self.row = self.live.add_task(self.title, total=self.total, facts="") if self.live else None
        return self

    def show(self, done: int, facts: str) -> None:
        """Move the bar, on a terminal."""
        if self.live:
            self.live.update(self.row, completed=done, facts=facts)

    def __call__(self, done: int, facts: str = "") -> None:
        left = (time.monotonic() - self.started) / max(done - self.before, 1) * (self.total - done)
        if self.live:
            self.show(done, f"{facts}  {seconds(left)} left" if done else facts)
        elif time.monotonic() - self.said > QUIET_SECONDS:
            self.said = time.monotonic()
            screen.say(f"   {self.title} {done}/{self.total}  {facts}  {seconds(left)} left")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.remove_task(self.row)


def size(count: float) -> str:
    """Bytes as people say them: `812 bytes`, `3.1 kB`, `14.9 MB`, `2.0 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def seconds(count: float) -> str:
    """A span as people say it: `0.2 s`, `42 s`, `6 min 3 s`, `2 h 5 min`."""
    if count < 10:
        return f"{count:.1f} s"
    whole = round(count)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
