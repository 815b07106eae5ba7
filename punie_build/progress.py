"""Progress: one bar for one long work, on a terminal; a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

QUIET_SECONDS = 15.0


class Bar:
    """`with Bar("train", 300) as bar: bar(120, "loss 0.41")`: how far, what is known, how long still."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.started, self.said = title, total, time.monotonic(), time.monotonic()

    def __enter__(self) -> Bar:
        self.live = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("   {task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[facts]}"),
            )
            self.live = Progress(*columns, console=Console(stderr=True), transient=True)
            self.live.start()
            self.task = self.live.add_task(self.title, total=self.total, facts="")
        return self

    def __call__(self, done: int, facts: str = "") -> None:
        if self.live:
            self.live.update(self.task, completed=done, facts=facts)
        elif time.monotonic() - self.said > QUIET_SECONDS:
            self.said = time.monotonic()
            left = (self.said - self.started) / max(done, 1) * (self.total - done)
            print(f"   {self.title} {done}/{self.total}  {facts}  about {left:.0f} s left", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()
