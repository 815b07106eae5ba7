"""The start of a `doit` process, as soon as doit imports a module of ours: interruptions, garbage collection,
options."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from punie_build.doit_plugin.command_line import is_doit
from punie_build.runtime import garbage
from punie_build.runtime.console import console

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def begin() -> None:
    """Prepare this process if it is `doit`; a program that imports our tasks is left as it is."""
    if is_doit(sys.argv):
        garbage.collect_rarely()
        end_on_signals()
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


def _interrupted(number: int, _frame: FrameType | None) -> None:
    """End at once: child processes end with this one, and every target is whole at any time."""
    console.hide_bars()
    print("\ninterrupted: finished artifacts are kept - build again to go on", file=sys.stderr, flush=True)
    os._exit(128 + number)
