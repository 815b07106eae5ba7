from __future__ import annotations

import subprocess
import sys

import pytest

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
