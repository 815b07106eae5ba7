"""Reporter: what a person sees of a build, and what a program reads of it (`engine.events`).

    .  label     is being built; below it the result, or `restored from the store`
    -  label     temporary and no longer needed: its files are removed
    =  label     cut off: its inputs were built anew and came out the same
    !  label     failed, with the reason
    !! label     left out (`doit ignore`)

Current artifacts are counted, not listed. On a terminal a bar shows how far the build is and how long it will still
take."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, TextIO

from punie_build.doit_plugin import startup
from punie_build.engine import events
from punie_build.engine.task import closure
from punie_build.errors import join_first
from punie_build.runtime.console import ProgressBar, console, format_count, format_seconds
from punie_build.storage import settings

MAX_NAMED = 8  # artifacts that were not tried, in one line
PROGRESS_SECONDS = 1.0  # between two events of progress
RESULTS = ("ran", "restored", "cut-off", "current", "failed", "skipped", "ignored")  # in the order of the summary


class Reporter:
    """The interface of doit's `ConsoleReporter`. doit calls it from one thread."""

    desc = "what was built, restored or cut off, and why"
    running = False  # a build runs in this process

    def __init__(self, outstream: TextIO, _options: object) -> None:
        self.stream = outstream
        self.counts: Counter[str] = Counter()
        self.active: dict[str, float] = {}  # label -> when it started
        self.reported = 0.0  # when the last event of progress was recorded
        self.last_label = ""  # the task whose line was written last
        self.problems: list[str] = []
        self.bar: ProgressBar | None = None

    def initialize(self, tasks: dict[str, Any], selected: list[str]) -> None:
        Reporter.running, console.stream = True, self.stream
        self.started = time.monotonic()
        targets = [target for task in tasks.values() if (target := _target(task))]
        self.run = targets[0].run if targets else None
        self.root = self.run.root if self.run else None
        labels = closure(selected, lambda label: tasks[label].task_dep)
        self.pending = {label for label in labels if _target(tasks[label])}
        self.targets = {target.task.label: target for target in targets}
        if self.run:
            self.run.selected = set(self.pending)
        startup.end_on_signals()
        if self.root and (remark := settings.not_allowed(self.root)):
            console.print_line(remark)
        console.listener = self._progress
        self._record("start", tasks=len(self.pending))

    def get_status(self, task: Any) -> None:
        """Do nothing: doit announces that it looks at a task."""

    def execute_task(self, task: Any) -> None:
        if target := _target(task):
            self._show_bar()
            self.active[task.name] = time.monotonic()
            self._print(task.name, f".  {task.name}")
            self._record("running", task=task.name, forecast=target.planned.forecast)

    def add_success(self, task: Any) -> None:
        target = _target(task)
        if target is None or target.outcome is None:
            return
        outcome = target.outcome
        if outcome.action == "current":
            self._finish(task.name, "current", f"   {self._prefix(task.name)}built by another process")
            self._remove_unneeded(target)
            return
        saved = f", {format_seconds(outcome.saved)} saved" if outcome.action == "restored" else ""
        text = f"   {self._prefix(task.name)}{outcome.message}{saved}  ({format_seconds(outcome.seconds)})"
        facts = {"seconds": round(outcome.seconds, 3), "key": outcome.key, "reasons": outcome.reasons}
        self._finish(task.name, outcome.action, text, **facts)
        self._remove_unneeded(target)

    def skip_uptodate(self, task: Any) -> None:
        if target := _target(task):
            if target.planned.action == "current":
                self._finish(task.name, "current", None)
            else:
                self._finish(task.name, "cut-off", f"=  {task.name}  its inputs came out the same")
            self._remove_unneeded(target)

    def skip_ignore(self, task: Any) -> None:
        if _target(task):
            self._finish(task.name, "ignored", f"!! {task.name}  ignored - `doit forget {task.name}` ends that")

    def add_failure(self, task: Any, fail: Any) -> None:
        if task.name in self.active:
            text = "\n".join(f"   {line}" for line in fail.get_msg().strip().splitlines())
            self._finish(task.name, "failed", f"!  {task.name}\n{text}", error=fail.get_msg().strip())
        elif _target(task):  # doit names the task whose failure prevents this one
            self._finish(task.name, "skipped", f"!  {task.name}  skipped: {fail.message} failed")

    def cleanup_error(self, exception: Any) -> None:
        console.print_line(exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        self.problems.append(msg)

    def teardown_task(self, task: Any) -> None:
        """Do nothing: no task of a project has a teardown."""

    def complete_run(self) -> None:
        if self.bar:
            self.bar.__exit__(None, None, None)
        console.hide_bars()
        for problem in self.problems:
            console.print_line(problem)
        parts = [f"{self.counts[result]} {result.replace('-', ' ')}" for result in RESULTS if self.counts[result]]
        duration = time.monotonic() - self.started
        if parts:
            total = self.counts.total()
            console.print_line(f"{format_count(total, 'artifact')}: {', '.join(parts)}  ({format_seconds(duration)})")
        if self.counts["failed"] and self.pending:
            labels = join_first(sorted(self.pending), MAX_NAMED)
            console.print_line(f"not tried: {labels} - `--continue` builds what does not need the failed ones")
        for line in (*self.run.failed_gates(), *self.run.draw()) if self.run and not self.problems else ():
            console.print_line(line)
        self._record("end", seconds=round(duration, 3), **self.counts)
        Reporter.running = False
        console.listener = None
        console.stream = None  # later lines of this process have its output of that moment

    def _finish(self, label: str, result: str, text: str | None, **facts: Any) -> None:
        self.counts[result] += 1
        self.active.pop(label, None)
        if label in self.pending:
            self.pending.discard(label)
            if self.bar:
                self._count_remaining(label, -1)
        if text:
            self._print(label, text)
            self._record(result, task=label, **facts)
        self._update_bar()

    def _remove_unneeded(self, target: Any) -> None:
        for label in target.remove_unneeded(self.pending):
            self._print(label, f"-  {label}  temporary: its files are removed, every task that reads them is built")
            self._record("removed", task=label)

    def _print(self, label: str, text: str) -> None:
        self.last_label = label
        console.print_line(text)

    def _prefix(self, label: str) -> str:
        """Return the label, where other tasks have printed lines since its own."""
        return "" if self.last_label == label and len(self.active) == 1 else f"{label}: "

    def _show_bar(self) -> None:
        if self.bar is None:
            console.show_bars()
            self.remaining, self.seconds = 0, 0.0
            for label in self.pending:
                self._count_remaining(label, 1)
            self.total = self.remaining
            self.bar = ProgressBar("build", self.total).__enter__()
            self._update_bar()

    def _count_remaining(self, label: str, sign: int) -> None:
        """Add a pending task to the work that is left, or subtract a finished one: no task is looked at twice."""
        planned = self.targets[label].planned
        if planned.action != "current":
            self.remaining += sign
            self.seconds += sign * (planned.estimate or 0) if planned.action != "restore" else 0

    def _update_bar(self) -> None:
        if self.bar and self.bar.progress:
            is_known = self.seconds > 1e-6  # a sum of floats that were subtracted again is not quite 0
            left = f"about {format_seconds(self.seconds)} left" if is_known else ""
            self.bar.update(self.total - self.remaining, left)

    def _progress(self, title: str, done: int, total: int, facts: str) -> None:
        """Record how far a task is, at most once in `PROGRESS_SECONDS`."""
        present = time.monotonic()
        if present - self.reported > PROGRESS_SECONDS:
            self.reported = present
            self._record("progress", title=title, done=done, total=total, facts=facts)

    def _record(self, event: str, **facts: Any) -> None:
        if self.root:
            events.record(self.root, event, **facts)


def _target(task: Any) -> Any:
    return (task.meta or {}).get("target")
