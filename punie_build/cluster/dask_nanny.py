"""Nanny of a Dask worker that builds: it starts the process of the worker again when that dies. Needs `distributed`.

It is a class of its own, so that a process on another machine, which Dask starts by SSH, finds it by its name.
"""

from __future__ import annotations

import tempfile
from typing import Any

import dask
from distributed import Nanny
from distributed.comm import get_address_host
from distributed.utils import get_ip


class BuildNanny(Nanny):  # type: ignore[misc]
    """The nanny of a worker of a scheduler at an address such as `tcp://10.0.0.5:8786`.

    The worker listens on the address that leads to its scheduler. Its memory is not limited: each build has its own
    process, whose training finds what fits. `options` are those of `distributed.Nanny`.
    """

    def __init__(self, scheduler: str, **options: Any) -> None:
        dask.config.set({"distributed.worker.daemon": False})  # its processes start others
        super().__init__(
            scheduler,
            host=get_ip(get_address_host(scheduler)),
            memory_limit=0,
            dashboard=False,
            local_directory=tempfile.mkdtemp(prefix="punie-worker-"),
            **options,
        )
