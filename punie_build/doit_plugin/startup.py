"""The start of a `doit` process, as soon as doit imports a module of ours: interruptions, garbage collection,
options."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from punie_build.doit_plugin.command_line import WITHOUT_BUILD, is_doit
from punie_build.runtime import garbage
from punie_build.runtime.console import console

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begin() -> None:
    """Prepare this process if it is `doit`; a program that imports our tasks is left as it is."""
    if is_doit(sys.argv):
        garbage.collect_rarely()
        end_on_signals()
        outlive_screen(sys.argv[1:])
        if any(word.startswith("-") for word in sys.argv[1:]):
            from punie_build.doit_plugin import option_check

            option_check.check(sys.argv[1:])


def end_on_signals() -> None:
    """End this process on Ctrl-C and its like, with one sentence: also while it reads the project.

    Signals that are ignored stay so: `nohup doit` goes on without its terminal.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _interrupted)


def outlive_screen(words: Sequence[str]) -> None:
    """Start again with open streams if the caller closed them: doit has taken them by now. A list whose reader leaves
    ends quietly, as of other programs; the lines of a build go through the console, which outlives its reader."""
    if sys.stdout is None or sys.stderr is None:
        for _ in range(3):
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is closed
        for number in (0, 1, 2):
            os.set_inheritable(number, True)
        os.execv(sys.executable, [sys.executable, "-m", "doit", *words])  # noqa: S606 - this interpreter
    if words and words[0] in WITHOUT_BUILD:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _interrupted(number: int, _frame: FrameType | None) -> None:
    """End at once: child processes end with this one, and every target is whole at any time."""
    console.hide_bars()
    print("\ninterrupted: finished artifacts are kept - build again to go on", file=sys.stderr, flush=True)
    os._exit(128 + number)
