"""SSH cluster: a scheduler and workers on the machines of a team, for the time of one build, started by Dask.

The URL is `ssh://HOST,HOST`; the scheduler runs on the first host. A host is `[USER@]HOST[:PORT]`.
"""

from __future__ import annotations

import shlex
import sys
from typing import Any
from urllib.parse import urlsplit

from punie_build.cluster.request import ClusterError
from punie_build.storage.settings import ExecutorOptions

IDLE = "10 minutes"  # after which a scheduler ends whose build was killed
ORPHANED_S = 60  # after which a worker without a scheduler ends
NANNY = "punie_build.cluster.dask_nanny.BuildNanny"


def start(url: str, options: ExecutorOptions) -> Any:
    """Start a scheduler on the first host of a URL, and a worker on each. Return the cluster, which ends with this
    process. Raises ClusterError."""
    try:
        import asyncssh  # noqa: F401 - Dask imports it late
        from distributed import SSHCluster
    except ImportError:
        raise ClusterError(f"{url}: Dask or asyncssh is not installed - pip install 'punie-build[cluster]'") from None
    hosts = [urlsplit(f"ssh://{host}") for host in url.removeprefix("ssh://").split(",")]
    names = [host.hostname or "" for host in hosts]
    worker = {"nthreads": options.slots, "resources": options.resources, "death_timeout": ORPHANED_S}
    try:
        return SSHCluster(
            [names[0], *names],
            connect_options=[_connection(host, options) for host in (hosts[0], *hosts)],
            worker_options=worker,
            scheduler_options={"host": names[0], "port": 0, "dashboard": False, "idle_timeout": IDLE},
            worker_class=NANNY,
            remote_python=f"{shlex.quote(options.python or sys.executable)} -P",
        )
    except Exception as error:  # of the network, of SSH, or of Dask, which raises no class of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ClusterError(
            f"{url}: no cluster starts there ({reason}) - try `ssh {names[0]} {options.python or sys.executable} -m"
            " punie_build --version`, and name the Python of punie-build on the hosts as `python` of executor_options"
        ) from None


def _connection(host: Any, options: ExecutorOptions) -> dict[str, Any]:
    """Return the options of asyncssh for a host: those of the URL come before those of the settings."""
    own = {"username": host.username, "port": host.port}
    return options.connect | {name: value for name, value in own.items() if value is not None}
