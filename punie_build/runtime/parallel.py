"""Spreading: pieces of one job over the cores. This process takes them from the front, each worker from the back.

So what this process makes is in order already, and only the end has to be put together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(pieces: Sequence[P], here: Callable[[P], object], elsewhere: Callable[[P], R], helpers: int) -> list[R]:
    """Do every piece: some `here`, one after another from the front; the rest by `elsewhere`, which `helpers` threads call.
    What those gave, in the order of the pieces. The first error ends it."""
    waiting, given = list(enumerate(pieces)), dict[int, R]()

    def help_out() -> None:
        while waiting:
            try:
                number, piece = waiting.pop()
            except IndexError:  # the last one went to somebody else
                return
            try:
                given[number] = elsewhere(piece)
            except BaseException:
                waiting.clear()  # what nobody has begun is not begun any more
                raise

    with ThreadPoolExecutor(max(1, helpers)) as pool:
        busy = [pool.submit(help_out) for _ in range(helpers)]
        try:
            while waiting:
                try:
                    _, piece = waiting.pop(0)
                except IndexError:
                    break
                here(piece)
        finally:
            waiting.clear()
        for helper in busy:
            helper.result()
    return [given[number] for number in sorted(given)]
