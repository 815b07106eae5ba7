"""The command `worker`: tasks of builds, on this machine, for a Dask scheduler."""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from pathlib import Path

from punie_build.cli.options import Command, Options
from punie_build.cluster.dask_executor import address
from punie_build.errors import UseError
from punie_build.storage.settings import EXECUTOR

RESOURCE = re.compile(r"([A-Za-z_]\w*)=([0-9]+(?:\.[0-9]+)?)")


def worker(_root: Path, options: Options) -> int:
    """Run tasks that builds send to the scheduler at a URL, until it closes or Ctrl-C. It runs the code they send."""
    if not re.fullmatch(EXECUTOR, options.url) or not options.url.startswith("dask"):
        raise UseError(f"{options.url}: is no scheduler - write it as dask://HOST:PORT")
    try:
        from punie_build.cluster.dask_worker import serve

        with suppress(KeyboardInterrupt):
            serve(address(options.url), options.slots, _resources(options.resource), options.name)
    except ImportError:
        raise UseError("Dask is not installed - pip install 'punie-build[cluster]'") from None
    except (OSError, TimeoutError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UseError(f"{options.url}: no scheduler answers ({reason}) - start it with `dask scheduler`") from None
    return 0


def _resources(words: list[str]) -> dict[str, float]:
    """Return resources by name from words such as `METAL=1`. Raises UseError."""
    matches = {word: RESOURCE.fullmatch(word) for word in words}
    if wrong := [word for word, match in matches.items() if not match]:
        raise UseError(f"--resource: {', '.join(wrong)} - write each as NAME=NUMBER, such as METAL=1")
    return {match[1]: float(match[2]) for match in matches.values() if match}


def _worker_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="dask://HOST:PORT", help="the scheduler; dask+tls:// with Dask's TLS settings")
    command.add_argument("--slots", type=int, default=1, help="tasks at a time (default 1)")
    command.add_argument("--resource", action="append", default=[], help="what it offers, such as METAL=1 or CUDA=1")
    command.add_argument("--name", help="its name at the scheduler")


COMMANDS: dict[str, Command] = {"worker": (worker, _worker_options)}
