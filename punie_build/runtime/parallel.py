"""Parallel map over CPU cores.

The calling process takes items from the front of the list, workers take them from the back: so the results of the
calling process are already in order, and only the end has to be appended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_items(items: Sequence[P], local: Callable[[P], object], remote: Callable[[P], R], workers: int) -> list[R]:
    """Process every item: some by `local` in this thread, from the front; the rest by `remote`, called in `workers`
    threads.

    Return the results of `remote` in the order of the items. The first error ends the map and is raised.
    """
    pending, results = list(enumerate(items)), dict[int, R]()

    def process_from_back() -> None:
        while pending:
            try:
                index, item = pending.pop()
            except IndexError:  # another thread took the last item
                return
            try:
                results[index] = remote(item)
            except BaseException:
                pending.clear()  # no thread starts another item
                raise

    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures = [pool.submit(process_from_back) for _ in range(workers)]
        try:
            while pending:
                try:
                    _, item = pending.pop(0)
                except IndexError:
                    break
                local(item)
        finally:
            pending.clear()
        for future in futures:
            future.result()
    return [results[index] for index in sorted(results)]
