"""The machine that computes, as pages describe it."""

from __future__ import annotations

import platform
import sys

import pytest

from punie_build.runtime import machine


def test_a_machine_is_described_without_its_name():
    text = machine.describe()
    assert platform.machine() in text
    assert "core" in text
    assert not platform.node() or platform.node() not in text


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has no /proc")
def test_the_processor_is_that_of_the_system_or_unknown(tmp_path):
    assert machine.processor(tmp_path) == ""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A  Chip @ 2 GHz\n")
    assert machine.processor(tmp_path) == "A Chip @ 2 GHz"
