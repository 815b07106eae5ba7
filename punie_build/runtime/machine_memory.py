"""The memory that a process may use, and the state of the machine that a long training should know.

On Linux a container's limit counts (cgroups of both versions), on a Mac the memory that Metal may wire. Files and
programs of the system are read below a root and by their names on PATH, so that `punie_build.testing.fake_machine` can
stand in for them. `PUNIE_BUILD_MEMORY` sets a lower limit in GiB.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

VARIABLE = "PUNIE_BUILD_MEMORY"
WIRED_SHARE = 0.75  # of a Mac's memory that Metal wires, unless iogpu.wired_limit_mb is set
PRESSURE = {1: "normal", 2: "warning", 4: "critical"}
BATTERY = re.compile(r"(\d+)%;\s*discharging")


class Limit(Struct, frozen=True):
    """The largest memory of a process in bytes, 0 if it is unknown, and its source."""

    bytes: int
    source: str


def limit(root: Path = Path("/"), platform: str = sys.platform) -> Limit:
    """Return the lowest of all limits of this process."""
    known = [candidate for candidate in _limits(root, platform) if candidate.bytes > 0]
    return min(known, key=lambda candidate: candidate.bytes, default=Limit(0, "unknown"))


def _limits(root: Path, platform: str) -> Iterator[Limit]:
    with suppress(ValueError):
        yield Limit(int(float(os.environ.get(VARIABLE, "0")) * 2**30), VARIABLE)
    if platform == "darwin":
        wired = _sysctl("iogpu.wired_limit_mb") * 2**20
        yield Limit(wired or int(_sysctl("hw.memsize") * WIRED_SHARE), "Metal's wired limit")
        return
    with suppress(ValueError, OSError):
        yield Limit(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the memory of this machine")
    for folder, name in _groups(root):
        with suppress(OSError, ValueError):  # version 2 writes "max" where there is no limit
            yield Limit(int((folder / name).read_text()), "the memory limit of its cgroup")


def _groups(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folders of this process's memory cgroup and of those above it, with the name of their limit."""
    mounted = root / "sys/fs/cgroup"
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, name = (mounted / "memory", "memory.limit_in_bytes") if controllers else (mounted, "memory.max")
        folder = base / path.lstrip("/")
        for parent in (folder, *folder.parents):
            if parent.is_relative_to(base):
                yield parent, name


def kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed for lack of memory, as far as it counts them."""
    total = 0
    files = [root / "proc/vmstat"]
    files += [folder / name for folder, _ in _groups(root) for name in ("memory.events", "memory.oom_control")]
    for file in files:
        with suppress(OSError):
            total += sum(int(count) for count in re.findall(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE))
    return total


def pressure(platform: str = sys.platform) -> str:
    """Return the memory pressure of a Mac: "normal", "warning" or "critical"; elsewhere "normal"."""
    level = _sysctl("kern.memorystatus_vm_pressure_level") if platform == "darwin" else 1
    return PRESSURE.get(level, "normal")


def battery(platform: str = sys.platform) -> int | None:
    """Return the charge of a Mac's battery in percent while it discharges, else None."""
    charge = BATTERY.search(_output("pmset", "-g", "batt")) if platform == "darwin" else None
    return int(charge[1]) if charge else None


def _sysctl(name: str) -> int:
    text = _output("sysctl", "-n", name).strip()
    return int(text) if text.isdigit() else 0


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
