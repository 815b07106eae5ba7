"""The machine that computes, as pages describe it: system, processor, cores and memory, without its name."""

from __future__ import annotations

import platform
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from punie_build.runtime import machine_memory, parallel
from punie_build.runtime.console import format_bytes, format_count


@cache
def describe() -> str:
    """Return the machine in a few words: `Linux x86_64, Intel Xeon, 2 cores, 8.2 GB of memory`."""
    system = f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else platform.system()
    memory = machine_memory.limit().bytes
    parts = (
        f"{system} {platform.machine()}",
        processor(),
        format_count(parallel.cpu_count(), "core"),
        f"{format_bytes(memory)} of memory" if memory else "",
    )
    return ", ".join(part for part in parts if part)


def processor(root: Path = Path("/")) -> str:
    """Return the name of the processor, "" if the system does not tell it."""
    if sys.platform == "darwin":  # pragma: no cover - macOS
        command = ("sysctl", "-n", "machdep.cpu.brand_string")
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
        return ""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return ""
