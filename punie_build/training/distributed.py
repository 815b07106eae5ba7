"""The launcher of a training in several processes, on this machine or on several hosts, by mlx's own launcher.

    python -m punie_build.training.distributed OPTIONS-OF-mlx.launch -- \\
        PYTHON -m punie_build.training.loop.process JOB.json

Every process listens on a port of its own, so that two trainings can run at a time. On all hosts the project lies at
the same path, on a disk they share. The launcher's exit code is not used, because it reports success for killed
ranks: the caller checks the output files instead.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from punie_build.training.spec import Adapter

TRAINER = "punie_build.training.loop.process"


def command(spec: Adapter, job: Path, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return module and arguments of the process to start: the trainer itself, or the launcher of several trainers.

    `variables` are environment variables for the trainers.
    """
    if spec.ranks == 1 and not spec.hosts:
        return TRAINER, [str(job)]
    count = len(spec.hosts) or spec.ranks
    hosts = ["--hosts", ",".join(spec.hosts)] if spec.hosts else ["-n", str(count)]
    environment = [argument for name, value in variables.items() for argument in ("--env", f"{name}={value}")]
    options = [*hosts, "--backend", "ring", "--starting-port", str(free_ports(count)), *environment]
    return "punie_build.training.distributed", [*options, "--", sys.executable, "-m", TRAINER, str(job)]


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive ports that are free."""
    for _ in range(100):
        with ExitStack() as sockets:
            first = sockets.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for number in range(port + 1, port + count):
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except (OSError, OverflowError):
                continue
            return port
    raise OSError(f"no {count} free ports in a row")


def main() -> None:
    silent, _writer = os.pipe()  # the launcher reads its standard input without end, and in a busy loop at end of file
    os.dup2(silent, 0)
    from mlx._distributed_utils import launch

    launch.select = readable
    launch.main()


def readable(
    read: list[int], _write: list[int], _errors: list[int], timeout: float
) -> tuple[list[int], list[int], list[int]]:
    """Return what `select` finds to read. The launcher also waits until it could write to its ranks, which it always
    could and never does: it would take a whole core from them."""
    return select.select(read, [], [], min(timeout, 0.1))[0], [], []


if __name__ == "__main__":
    main()
