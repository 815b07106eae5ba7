from __future__ import annotations

import subprocess
import sys

import pytest

from punie_build.runtime.console import ProgressBar

PROGRAM = (
    "from punie_build.runtime.console import console; console.show_bars();"
    "[console.print_line('x' * 99) for _ in range(3000)]; open('end', 'w')"
)


@pytest.mark.parametrize("screen", [">&-", "> /dev/full", "| true"])
def test_a_program_outlives_its_screen_without_a_traceback(tmp_path, screen):
    script = f'set -o pipefail; "{sys.executable}" -c "{PROGRAM}" {screen}'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "end").exists()


def test_the_remaining_time_of_a_bar_counts_down_and_is_not_told_before_a_unit_is_done():
    with ProgressBar("asking", 12) as bar:
        bar(0)
    assert bar.end == 0.0
    started = bar.started
    first, second = bar.estimate(started + 60, 2), bar.estimate(started + 64, 4)
    assert first == pytest.approx(started + 60 + 300), "a load of the model takes most of the first units"
    assert second == pytest.approx(started + 64 + 16)
    assert bar.estimate(started + 66, 5) == pytest.approx(second)
