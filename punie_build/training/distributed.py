"""Ranks: one training in several processes, here or on several machines, which mlx's own launcher starts.

    python -m punie_build.training.distributed OPTIONS-OF-mlx.launch -- PYTHON -m punie_build.training.loop.process JOB.json

Each has a port of its own, so two trainings may run at a time. On other machines the project lies at the same path, on a disk
they share. What the launcher says of its end is not believed (killed ranks are a success to it): the outputs are looked at.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from punie_build.training.spec import Adapter


def command(spec: Adapter, job: Path, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """(module, arguments) of the process that trains, or that starts all that do, with these variables of the environment."""
    if spec.ranks == 1 and not spec.hosts:
        return "punie_build.training.loop.process", [str(job)]
    count = len(spec.hosts) or spec.ranks
    where = ["--hosts", ",".join(spec.hosts)] if spec.hosts else ["-n", str(count)]
    told = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    options = [*where, "--backend", "ring", "--starting-port", str(ports(count)), *told]
    return "punie_build.training.distributed", [
        *options,
        "--",
        sys.executable,
        "-m",
        "punie_build.training.loop.process",
        str(job),
    ]


def ports(count: int) -> int:
    """The first of so many ports in a row that nobody uses."""
    for _ in range(100):
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for number in range(port + 1, port + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except (OSError, OverflowError):
                continue
            return port
    raise OSError(f"no {count} free ports in a row")


def main() -> None:
    silent, _held = os.pipe()  # the launcher reads its standard input without end, and in a loop where that has ended
    os.dup2(silent, 0)
    from mlx._distributed_utils.launch import main as launch

    launch()


if __name__ == "__main__":
    main()
