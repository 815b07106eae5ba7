"""Reporter: what a person sees of a build, and what a program reads of it (`events`).

    .  label     is being made; below it what came out, or `restored from the store`
    -  label     temporary, and needed no more: its files are removed
    =  label     cut off: what it is made from was made anew, and came out the same
    !  label     failed, and why
    !! label     left out (`doit ignore`)

What is current is counted, not listed. On a terminal a bar shows how far the build is and how long it will still take.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any, TextIO

from punie_build.engine import events
from punie_build.engine.plan import reached
from punie_build.runtime.console import ProgressBar, console, format_seconds

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Reporter:
    """The interface of doit's `ConsoleReporter`. doit calls it from one thread."""

    desc = "what was made, restored or cut off, and why"
    running = False  # a build runs in this process

    def __init__(self, outstream: TextIO, _options: object) -> None:
        console.stream = outstream
        self.counts: Counter[str] = Counter()
        self.active: dict[str, float] = {}  # label -> when it started
        self.last = ""  # the task whose line was written last
        self.problems: list[str] = []
        self.bar: ProgressBar | None = None

    def initialize(self, tasks: dict[str, Any], selected: list[str]) -> None:
        Reporter.running = True
        self.started = time.monotonic()
        targets = [target for task in tasks.values() if (target := _target(task))]
        self.project = targets[0].project if targets else None
        self.root = self.project.root if self.project else None
        self.waiting = {
            label for label in reached(selected, lambda label: tasks[label].task_dep) if _target(tasks[label])
        }
        self.targets = {target.task.label: target for target in targets}
        if targets:
            targets[0].project.chosen = set(self.waiting)
        if threading.current_thread() is threading.main_thread():
            for sign in SIGNALS:
                signal.signal(sign, _interrupted)
        self._tell("start", tasks=len(self.waiting))

    def get_status(self, task: Any) -> None:
        """doit looks whether a task is current."""

    def execute_task(self, task: Any) -> None:
        if target := _target(task):
            self._show()
            self.active[task.name] = time.monotonic()
            self._line(task.name, f".  {task.name}")
            self._tell("running", task=task.name, forecast=target.planned.forecast)

    def add_success(self, task: Any) -> None:
        target = _target(task)
        if target is None or target.outcome is None:
            return
        outcome = target.outcome
        if outcome.how == "current":
            self._ended(task.name, "current", f"   {self._name(task.name)}made by another build")
            self._let_go(target)
            return
        saved = f", {format_seconds(outcome.saved)} saved" if outcome.how == "restored" else ""
        text = f"   {self._name(task.name)}{outcome.said}{saved}  ({format_seconds(outcome.seconds)})"
        facts = {"seconds": round(outcome.seconds, 3), "key": outcome.key, "reasons": outcome.reasons}
        self._ended(task.name, outcome.how, text, **facts)
        self._let_go(target)

    def skip_uptodate(self, task: Any) -> None:
        if target := _target(task):
            if target.planned.how == "current":
                self._ended(task.name, "current", None)
            else:
                self._ended(task.name, "cut-off", f"=  {task.name}  what it is made from came out the same")
            self._let_go(target)

    def skip_ignore(self, task: Any) -> None:
        if _target(task):
            self._ended(task.name, "ignored", f"!! {task.name}  ignored - `doit forget {task.name}` ends that")

    def add_failure(self, task: Any, fail: Any) -> None:
        if task.name in self.active:
            text = "\n".join(f"   {line}" for line in fail.get_msg().strip().splitlines())
            self._ended(task.name, "failed", f"!  {task.name}\n{text}", error=fail.get_msg().strip())
        elif _target(task):  # doit says whose failure keeps it from being made
            self._ended(task.name, "not tried", f"!  {task.name}  not tried: {fail.message} failed")

    def cleanup_error(self, exception: Any) -> None:
        console.print_line(exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        self.problems.append(msg)

    def teardown_task(self, task: Any) -> None:
        """No task of ours has one."""

    def complete_run(self) -> None:
        if self.bar:
            self.bar.__exit__(None, None, None)
        console.hide_bars()
        for problem in self.problems:
            console.print_line(problem)
        words = ("ran", "restored", "cut-off", "current", "failed", "not tried", "ignored")
        said = [f"{self.counts[word]} {word.replace('-', ' ')}" for word in words if self.counts[word]]
        took = time.monotonic() - self.started
        if said:
            console.print_line(f"{self.counts.total()} artifacts: {', '.join(said)}  ({format_seconds(took)})")
        for line in self.project.draw() if self.project else ():
            console.print_line(line)
        self._tell("end", seconds=round(took, 3), **self.counts)
        Reporter.running = False

    def _ended(self, label: str, how: str, text: str | None, **facts: Any) -> None:
        self.counts[how] += 1
        self.waiting.discard(label)
        self.active.pop(label, None)
        if text:
            self._line(label, text)
            self._tell(how, task=label, **facts)
        self._move()

    def _let_go(self, target: Any) -> None:
        for label in target.let_go(self.waiting):
            self._line(label, f"-  {label}  temporary: its files are removed, all that needs them is built")
            self._tell("removed", task=label)

    def _line(self, label: str, text: str) -> None:
        self.last = label
        console.print_line(text)

    def _name(self, label: str) -> str:
        """The label, where other tasks have spoken since its own line."""
        return "" if self.last == label and len(self.active) == 1 else f"{label}: "

    def _show(self) -> None:
        if self.bar is None:
            console.show_bars()
            todo = sum(self.targets[label].planned.how != "current" for label in self.waiting)
            self.bar = ProgressBar("build", todo).__enter__()
            self.todo = todo
            self._move()

    def _move(self) -> None:
        if self.bar and self.bar.progress:
            left = [self.targets[label].planned for label in self.waiting]
            todo = [planned for planned in left if planned.how != "current"]
            known = sum(planned.last or 0 for planned in todo if planned.how != "restore")
            self.bar.update(self.todo - len(todo), f"about {format_seconds(known)} left" if known else "")

    def _tell(self, event: str, **facts: Any) -> None:
        if self.root:
            events.tell(self.root, event, **facts)


def _target(task: Any) -> Any:
    return (task.meta or {}).get("target")


def _interrupted(sign: int, _frame: FrameType | None) -> None:
    """End at once: the children end with this process, and every target is whole whenever that is."""
    console.hide_bars()
    print("\ninterrupted: what was finished is kept - build again to go on", file=sys.stderr, flush=True)
    os._exit(128 + sign)
