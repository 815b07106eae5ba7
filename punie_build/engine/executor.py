"""Executor: where steps run, if not on this machine: on the workers of a cluster, chosen by the settings."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Protocol

from punie_build.engine.kind import resolve
from punie_build.engine.task import AnyTask
from punie_build.engine.work import Work
from punie_build.storage import settings
from punie_build.storage.locks import KeyInputs, Lock

DASK = "punie_build.cluster.dask_executor:DaskExecutor"


class Executor(Protocol):
    """Runs the steps of tasks elsewhere. The shared store is the only way of data between the machines."""

    def compute(self, work: Work[Any], current: KeyInputs, old: Lock | None) -> str:
        """Have a target made and put into the shared store, and return the message of its step. Raises PunieError."""


def of_task(root: Path, task: AnyTask) -> Executor | None:
    """Return what runs the step of a task, or None for this process. Temporary targets are never in a store, so what
    makes and what reads them runs here."""
    url = settings.executor(root)
    if url == settings.LOCAL or task.temporary or task.temporary_inputs:
        return None
    return _connected(root, url)


@cache
def _connected(root: Path, url: str) -> Executor:
    executor: Executor = resolve(DASK)(root, url)
    return executor
