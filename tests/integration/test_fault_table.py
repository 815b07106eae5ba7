"""The short form of the fault table: a row of each class. `tests/kills/faults.py` runs all of them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.kills import faults
from tests.kills.fault_table.row import Result, Row
from tests.support.project import ROOT

SCRIPT = ROOT / "tests/kills/faults.py"


QUICK = "^(targets|the state|locks|clocks|recipes|names|texts|foreign|a shared store with)"


@pytest.mark.slow
@pytest.mark.parametrize("only", [QUICK, pytest.param("", marks=pytest.mark.nightly)])
def test_a_fault_of_each_class_ends_with_right_bytes_or_a_sentence(only):
    command = [sys.executable, SCRIPT, "--sample", "1", "--only", only]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    classes = re.findall(r"^ +\d+ +\d+ +1 .*  (\w.+)$", done.stdout, re.MULTILINE)
    assert sorted(classes) == sorted(name for name in faults.TRIED if re.search(only, name))


def test_a_sample_has_rows_of_each_class_and_their_share():
    rows = [Row(f"class {n % 3}", f"{n}", lambda box: Result("right bytes")) for n in range(90)] + [
        Row("rare", "only one", lambda box: Result("right bytes"))
    ]
    chosen = faults.sample(rows, 9)
    assert [row.fault for row in chosen] == ["class 0"] * 3 + ["class 1"] * 3 + ["class 2"] * 3 + ["rare"]
    assert len({row.name for row in chosen}) == 10
    assert faults.sample(rows, None) == faults.sample(rows, 1000) == rows
