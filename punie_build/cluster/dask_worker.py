"""Dask worker: builds requests, each in a process of its own that ends when the build no longer wants the result."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

from punie_build.cluster import job
from punie_build.cluster.request import Reply
from punie_build.errors import PunieError
from punie_build.runtime import worker_pool


def build_request(content: bytes, topic: str) -> Reply:
    """Build a pickled request in a process, and send its lines to a topic meanwhile. Runs in a thread of a worker."""
    from distributed import get_worker

    worker = get_worker()
    try:
        request = pickle.loads(content)  # noqa: S301 - from the build that this worker serves, as this function is
    except Exception as error:
        return Reply(error=f"the worker has another version of punie-build ({error}) - install the same on both")
    jobs = job.folder_of(request.project)
    jobs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="job-", dir=jobs, ignore_cleanup_errors=True) as folder:
        screen = _Screen(Path(folder, job.SCREEN), worker, topic)
        try:
            return worker_pool.run_in_worker(job.run, (request, Path(folder)), screen.watch)
        except PunieError as error:
            return Reply(error=str(error))
        finally:
            screen.forward()


class _Screen:
    """The lines of a job, and whether its result is still wanted."""

    def __init__(self, path: Path, worker: Any, topic: str) -> None:
        self.path, self.worker, self.topic = path, worker, topic
        self.read = 0

    def watch(self) -> bool:
        """Forward new lines; return False when the task was canceled."""
        self.forward()
        task = self.worker.state.tasks.get(self.topic)
        return task is not None and task.state not in ("cancelled", "released", "forgotten")

    def forward(self) -> None:
        """Send the lines that are new to the topic."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.read)
            lines = file.read().rpartition(b"\n")[0]
        if lines:
            self.read += len(lines) + 1
            for line in lines.decode("utf-8", "replace").splitlines():
                self.worker.log_event(self.topic, line)


def serve(address: str, slots: int, resources: dict[str, float], name: str | None) -> None:
    """Work for a scheduler until it closes or this process is stopped. A process that dies is started again."""
    import asyncio

    from punie_build.cluster.dask_nanny import BuildNanny

    async def work() -> None:
        async with BuildNanny(address, nthreads=slots, resources=resources, name=name) as nanny:
            await nanny.finished()

    asyncio.run(work())
