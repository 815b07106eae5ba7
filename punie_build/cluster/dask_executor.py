"""Dask executor: sends the steps of a build to the workers of a Dask cluster, and waits for their results."""

from __future__ import annotations

import atexit
import hashlib
import logging
import pickle
import secrets
import socket
from pathlib import Path
from typing import Any

from msgspec import structs

from punie_build.cluster.request import ClusterError, Reply, Request, request_of
from punie_build.engine.kind import Shards, resolve
from punie_build.engine.work import Work
from punie_build.runtime.console import console
from punie_build.storage import remote, settings
from punie_build.storage.locks import KeyInputs, Lock

SSH = "ssh://"
LOGGERS = ("distributed", "distributed.client", "distributed.comm", "tornado", "tornado.application", "asyncio")
CONNECT_S = 15
WORKERS_S = 30  # how long a build waits for a worker
LOOK_S = 5  # how often a build that waits looks for workers
RETRIES = 2  # after the loss of a worker
DEVICES = ("METAL", "CUDA")  # resources of workers with a device that one task at a time may use


class DaskExecutor:
    """The connection of a build to the scheduler at a URL such as `dask://10.0.0.5:8786`, or to a cluster that it
    starts on hosts, `ssh://mac1,mac2`, and that ends with this process. Several threads may use it.

    Raises ClusterError if there is no scheduler, or no worker.
    """

    def __init__(self, root: Path, url: str) -> None:
        if remote.of_project(root) is None:
            raise ClusterError(f"{url}: needs a shared store that the workers use too - set `store`, and allow it")
        try:
            from distributed import Client
        except ImportError:
            raise ClusterError(f"{url}: Dask is not installed - pip install 'punie-build[cluster]'") from None
        self.url = url
        self.project = hashlib.sha256(f"{socket.gethostname()}:{root}".encode()).hexdigest()[:16]
        for name in LOGGERS:  # they write tracebacks of what this class says in a sentence
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        cluster = None
        if url.startswith(SSH):
            from punie_build.cluster import ssh_cluster

            cluster = ssh_cluster.start(url, settings.executor_options(root))
            atexit.register(cluster.close, timeout=CONNECT_S)
        try:
            self.client: Any = Client(cluster or address(url), timeout=CONNECT_S, set_as_default=False)
            self.client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise ClusterError(f"{url}: has no worker - start one with `punie-build worker {url}`") from None
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ClusterError(f"{url}: no scheduler answers ({reason}) - start it, or build locally") from None
        atexit.register(self.client.close, timeout=2)

    def compute(self, work: Work[Any], current: KeyInputs, old: Lock | None) -> str:
        """Have a worker make a target into the shared store, and return the message of its step. Raises PunieError."""
        request = request_of(work, current, old, self.project)
        lines = self._in_parts(work, request)
        [reply] = self._replies(work, [structs.replace(request, lines=lines)])
        return reply.message

    def _in_parts(self, work: Work[Any], request: Request) -> dict[str, bytes]:
        """Have several workers compute parts of a target, if its kind has parts, and return the lines of all."""
        if not work.task.kind.shards or work.afresh:
            return {}
        shards: Shards = resolve(work.task.kind.shards)
        tasks = shards.split(work.task, self._count(self._resources(work)))
        parts = [structs.replace(request, task=task, part=number) for number, task in enumerate(tasks, 1)]
        if not parts:
            return {}
        work.say(f"in {len(parts)} parts, each by a worker")
        return shards.join([reply.lines for reply in self._replies(work, parts)])

    def _replies(self, work: Work[Any], requests: list[Request]) -> list[Reply]:
        """Return the replies to requests, which workers compute at the same time. Raises ClusterError."""
        from punie_build.cluster.dask_worker import build_request

        names = [f"{work.task.label}-{secrets.token_hex(8)}" for _ in requests]
        futures = list[Any]()
        try:
            for name, request in zip(names, requests, strict=True):
                self.client.subscribe_topic(name, lambda event: _show(work, event))
                resources = self._resources(work)
                content = pickle.dumps(request)
                futures.append(
                    self.client.submit(build_request, content, name, key=name, retries=RETRIES, resources=resources)
                )
            replies = []
            for future in futures:
                replies.append(self._result(future, work.task.label))
                _keep_logs(work, replies[-1])
                if replies[-1].error:
                    raise ClusterError(replies[-1].error)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        finally:
            for name in names[: len(futures)]:
                self.client.unsubscribe_topic(name)
        return replies

    def _workers(self) -> dict[str, Any]:
        """Return what the scheduler knows of its workers, by address."""
        workers: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _resources(self, work: Work[Any]) -> dict[str, int]:
        """Return the resource that a task needs: the device, if it computes on one and workers offer devices."""
        if not (work.task.kind.exclusive or work.task.kind.environment):
            return {}
        offered = {name for worker in self._workers().values() for name in worker["resources"]}
        return next(({device: 1} for device in DEVICES if device in offered), {})

    def _count(self, resources: dict[str, int]) -> int:
        """Return how many workers offer these resources."""
        offers = [worker["resources"] for worker in self._workers().values()]
        return sum(all(offer.get(name, 0) >= count for name, count in resources.items()) for offer in offers)

    def _result(self, future: Any, label: str) -> Reply:
        """Return the reply when it is there; raise ClusterError if none will come. An interrupt cancels the task."""
        alone = 0  # seconds without a worker
        try:
            while alone < WORKERS_S:
                try:
                    reply: Reply = future.result(timeout=LOOK_S)
                    return reply
                except TimeoutError:
                    if future.status == "error":  # it is that of the task
                        raise
                    alone = 0 if self._workers() else alone + LOOK_S
        except Exception as error:
            raise ClusterError(self._reason(error, label)) from None
        except BaseException:
            future.cancel()
            raise
        future.cancel()
        raise ClusterError(f"{self.url}: its last worker is gone - start another, and build again")

    def _reason(self, error: Exception, label: str) -> str:
        kind = type(error).__name__
        if kind == "KilledWorker":
            return f"{RETRIES + 1} workers ended while they made it, most likely for lack of memory - read their logs"
        if kind in ("FutureCancelledError", "CancelledError", "CommClosedError", "TimeoutError") or isinstance(
            error, OSError
        ):
            return f"{self.url}: the scheduler is gone - start it, and build again"
        return f"{label}: a worker failed: {kind}: {(str(error).splitlines() or [''])[0]}"


def _keep_logs(work: Work[Any], reply: Reply) -> None:
    for log, text in reply.logs.items():
        work.logs.mkdir(parents=True, exist_ok=True)
        (work.logs / log).write_text(text, encoding="utf-8")


def address(url: str) -> str:
    """Return the address of a scheduler as Dask writes it: `tcp://` or `tls://`."""
    scheme, _, rest = url.partition("://")
    return f"{'tls' if scheme.endswith('+tls') else 'tcp'}://{rest}"


def _show(work: Work[Any], event: tuple[float, Any]) -> None:
    """Print a line of a worker."""
    text = str(event[1])
    console.print_line(f"   {work.task.label}: {text.strip()}")
