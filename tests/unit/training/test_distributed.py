from __future__ import annotations

import os
import time

from punie_build.training import distributed


def test_the_launcher_waits_for_output_though_its_ranks_could_be_written_to():
    """mlx's launcher would otherwise turn in a busy loop, and take a core from the ranks."""
    (output, output_end), (input_, input_end) = os.pipe(), os.pipe()
    try:
        started = time.monotonic()
        assert distributed.readable([output], [input_end], [], 1.0) == ([], [], [])
        assert 0.09 < time.monotonic() - started < 0.9, "it waits, and not long for the end of a rank"
        os.write(output_end, b"line")
        assert distributed.readable([output], [input_end], [], 1.0) == ([output], [], [])
    finally:
        for number in (output, output_end, input_, input_end):
            os.close(number)
