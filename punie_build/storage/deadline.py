"""Deadlines for requests: what a server does not answer, or answers drop by drop or without end, is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
MIN_BYTES = 256 << 10  # that a transfer must bring while the patience lasts
STEP_SECONDS = 0.25  # between two looks at a transfer


def limited(request: Callable[[], T], seconds: float, progress: Callable[[], int] | None = None) -> T:
    """Return the result of a request, or raise its error. Raise TimeoutError if it takes longer than `seconds`, or, if
    the bytes that came are known, longer than that for the next `MIN_BYTES`.

    It runs in a thread, which ends with the process at the latest: no protocol lets a request be stopped.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(request())
        except BaseException as error:
            errors.append(error)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    base, deadline = 0, time.monotonic() + seconds
    while not done.wait(STEP_SECONDS):
        if progress and (count := progress()) >= base + MIN_BYTES:
            base, deadline = count, time.monotonic() + seconds
        elif time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {seconds:.0f} s")
    if errors:
        raise errors[0]
    return results[0]


class Transfer:
    """The bytes of one download. It ends the download when it is stopped, or longer than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.count, self.is_stopped = limit, 0, False

    def callback(self) -> Any:
        """Return the callback of fsspec that counts the bytes."""
        import fsspec

        transfer = self

        class Counter(fsspec.Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                transfer.count += inc
                transfer.check()

        return Counter()

    def check(self) -> None:
        """Raise ValueError if the download must end."""
        if self.is_stopped or self.count > self.limit:
            raise ValueError(f"more than {self.limit:,} bytes")

    def size_of(self, path: Path) -> int:
        """Return how many bytes came: some protocols count none, and then the file tells."""
        with suppress(OSError):
            return max(self.count, path.stat().st_size)
        return self.count
