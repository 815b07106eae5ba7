"""Garbage collection of a program that reads a project and ends: almost all of its objects live until then."""

from __future__ import annotations

import atexit
import gc

OBJECTS = 100_000  # that are created, and not freed, between two collections; Python's default is 700


def collect_rarely() -> None:
    """Collect garbage after `OBJECTS` new objects, and leave the last of it to the end of the process.

    This saves an eighth of the CPU time of a build that finds all artifacts current.
    """
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)
