"""The lowest limit of memory counts, on Linux and on a Mac."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from punie_build.runtime import machine_memory
from punie_build.testing import fake_machine

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch):
    monkeypatch.delenv(machine_memory.VARIABLE, raising=False)


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_container_counts(tmp_path, version):
    fake_machine.write_cgroup(tmp_path, str(2**28), version=version, kills=3)
    limit = machine_memory.limit(tmp_path, "linux")
    assert (limit.bytes, limit.source) == (2**28, "the memory limit of its cgroup")
    assert machine_memory.kills(tmp_path) == 3


def test_the_limit_of_a_cgroup_above_counts(tmp_path):
    fake_machine.write_cgroup(tmp_path, "max")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text(str(2**27))
    assert machine_memory.limit(tmp_path, "linux").bytes == 2**27


@pytest.mark.parametrize("text", ["max", "9223372036854771712"])
def test_without_a_limit_the_memory_of_the_machine_counts(tmp_path, text):
    fake_machine.write_cgroup(tmp_path, text)
    assert machine_memory.limit(tmp_path, "linux") == machine_memory.Limit(PHYSICAL, "the memory of this machine")
    assert machine_memory.limit(tmp_path / "none", "linux").bytes == PHYSICAL


def test_the_variable_sets_a_lower_limit(monkeypatch, tmp_path):
    monkeypatch.setenv(machine_memory.VARIABLE, "0.5")
    assert machine_memory.limit(tmp_path, "linux") == machine_memory.Limit(2**29, machine_memory.VARIABLE)
    monkeypatch.setenv(machine_memory.VARIABLE, "much")
    assert machine_memory.limit(tmp_path, "linux").bytes == PHYSICAL


@pytest.mark.parametrize(("wired_mb", "expected"), [(0, 12 * 2**30), (14_000, 14_000 * 2**20)])
def test_a_mac_has_its_wired_limit(monkeypatch, tmp_path, wired_mb, expected):
    fake_machine.write_mac(tmp_path, memory=16 * 2**30, wired_mb=wired_mb, pressure=4, battery="now 17%; discharging")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine_memory.limit(Path("/"), "darwin") == machine_memory.Limit(expected, "Metal's wired limit")
    assert machine_memory.pressure("darwin") == "critical"
    assert machine_memory.battery("darwin") == 17


def test_a_mac_on_mains_has_no_battery_that_discharges(monkeypatch, tmp_path):
    fake_machine.write_mac(tmp_path, memory=2**34, battery="-InternalBattery-0 100%; charged")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine_memory.battery("darwin") is None
    assert machine_memory.pressure("darwin") == "normal"


def test_a_mac_without_its_programs_has_no_known_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_memory.limit(tmp_path, "darwin") == machine_memory.Limit(0, "unknown")
