"""Console output: lines and progress bars; plain lines where stdout is not a terminal.

On a terminal the bars stay below the lines: one for each running task, and one for the build. Anywhere else (CI, a
file) a long task prints a line every `QUIET_SECONDS`. Threads may share the console.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, TypeVar

from punie_build.errors import printable_lines

QUIET_SECONDS = 15.0
F = TypeVar("F")


def message(function: F) -> F:
    """Mark a function that only makes text for users: rewording it changes no fingerprint and rebuilds no artifact."""
    return function


class Console:
    """Standard output, shared by lines and progress bars. `progress` is rich's display of the bars, None if there is
    none."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.progress: Any = None
        self.stream: TextIO | None = None  # None: sys.stdout at the time of printing
        self.muted = False
        self.listener: Callable[[str, int, int, str], None] | None = None  # called with title, done, total, facts

    def print_line(self, text: str) -> None:
        """Print a line, or several, above the bars: characters that control a terminal or CI as escapes."""
        text = printable_lines(text)
        with self.lock:
            if self.muted:
                return
            try:
                if self.progress:
                    self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
                else:
                    print(text, file=self.stream, flush=True)
            except (OSError, ValueError):  # the reader left, the disk is full, or the stream is closed
                self._mute()

    def _mute(self) -> None:
        """Print no more: a build outlives its screen. What is buffered goes nowhere, or the exit would fail at it."""
        self.muted, self.progress = True, None
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), (self.stream or sys.stdout).fileno())

    def show_bars(self) -> None:
        """Start to display progress bars if this is a terminal."""
        with self.lock:
            stream = self.stream or sys.stdout
            if self.progress or os.environ.get("CI") or stream is None or stream.closed or not stream.isatty():
                return
            from rich import console, progress

            columns = (
                progress.TextColumn("   {task.description}"),
                progress.BarColumn(bar_width=24),
                progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                progress.TextColumn("{task.fields[facts]}"),
            )
            self.progress = progress.Progress(*columns, console=console.Console(), transient=True)
            self.progress.start()

    def hide_bars(self) -> None:
        """Stop to display progress bars."""
        with self.lock:
            if self.progress:
                self.progress.stop()
                self.progress = None


console = Console()


class ProgressBar:
    """A progress bar with an estimate of the remaining time.

    `with ProgressBar("training v1", 300) as bar: bar(120, "loss 0.41")` shows 120 of 300 units. `initial` of the
    `total` units were done before it started."""

    def __init__(self, title: str, total: int, initial: int = 0) -> None:
        self.title, self.total, self.initial = title, total, initial
        self.started = self.printed = time.monotonic()
        self.first: tuple[float, int] | None = None  # when the first units were done, and how many
        self.done, self.end = initial, 0.0

    def __enter__(self) -> ProgressBar:
        self.progress = console.progress
        self.task = self.progress.add_task(self.title, total=self.total, facts="") if self.progress else None
        return self

    def update(self, done: int, facts: str) -> None:
        """Move the bar if it is displayed."""
        if self.progress:
            self.progress.update(self.task, completed=done, total=self.total, facts=facts)

    def __call__(self, done: int, facts: str = "", total: int | None = None) -> None:
        """Show that `done` units are done: move the bar, or print a line if the last one is old enough.

        The remaining time is that of the rate since the first units were done, and counts down between two calls.
        """
        present, self.total = time.monotonic(), total or self.total
        if done > self.done:
            self.end = self.estimate(present, done)
            self.done = done
        left = f"{format_seconds(max(self.end - present, 0.0))} left" if self.end else ""
        facts = f"{facts}  {left}".strip() if left else facts
        if console.listener:
            console.listener(self.title, self.done, self.total, facts)
        if self.progress:
            self.update(done, facts)
        elif present - self.printed > QUIET_SECONDS:
            self.printed = present
            console.print_line(f"   {self.title} {done}/{self.total}  {facts}".rstrip())

    def estimate(self, present: float, done: int) -> float:
        """Return the time at which all units will be done. The time before the first units counts once."""
        started, before = self.first or (self.started, self.initial)
        self.first = self.first or (present, done)
        return present + (present - started) / (done - before) * (self.total - done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress:
            self.progress.remove_task(self.task)


def format_count(count: int, noun: str) -> str:
    """Return a number of things: `1 case`, `2 cases`."""
    return f"{count} {noun}{'s' if count != 1 else ''}"


def format_bytes(count: float) -> str:
    """Return a number of bytes in decimal units: `812 bytes`, `3.1 kB`, `14.9 MB`, `2.0 GB`."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def format_seconds(count: float) -> str:
    """Return a duration as text: `0.2 s`, `42 s`, `6 min 3 s`, `2 h 5 min`."""
    if count < 10:
        return f"{count:.1f} s"
    seconds = round(count)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def format_points(*differences: float) -> str:
    """Return differences of shares in percentage points: `+29 pp`, or an interval `+7 to +27 pp`."""
    numbers = [round(difference * 100) for difference in differences]
    return " to ".join(f"{number:+d}" if number else "0" for number in numbers) + " pp"
