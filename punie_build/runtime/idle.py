"""Idle resources: processes that wait for more work and hold memory meanwhile, such as a warm model server."""

from __future__ import annotations

from collections.abc import Callable

_releases: list[Callable[[], None]] = []


def on_release(release: Callable[[], None]) -> None:
    """Register a function that ends an idle process and frees its memory."""
    _releases.append(release)


def release() -> None:
    """Free the memory of all idle processes, before a training needs it."""
    for function in _releases:
        function()
