from __future__ import annotations

import threading
import time

import pytest

from punie_build.storage import deadline


def test_a_request_that_ends_in_time_gives_its_result_or_its_error():
    assert deadline.limited(lambda: 7, 10) == 7
    with pytest.raises(ZeroDivisionError):
        deadline.limited(lambda: 1 / 0, 10)


def test_a_request_that_takes_too_long_is_given_up():
    done = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        deadline.limited(lambda: done.wait(60), 0.1)
    done.set()


def test_bytes_that_come_prolong_the_time():
    done, counted = threading.Event(), 0

    def progress() -> int:
        nonlocal counted
        counted += deadline.MIN_BYTES
        if counted > 3 * deadline.MIN_BYTES:
            done.set()
        return counted

    started = time.monotonic()
    assert deadline.limited(lambda: done.wait(60), 0.5, progress) is True
    assert time.monotonic() - started > 2 * deadline.STEP_SECONDS


def test_the_bytes_of_a_download_are_those_counted_or_those_in_its_file(tmp_path):
    transfer, path = deadline.Transfer(10), tmp_path / "part"
    transfer.callback().relative_update(4)
    assert transfer.size_of(path) == 4
    path.write_bytes(bytes(9))
    assert transfer.size_of(path) == 9
    with pytest.raises(ValueError, match="more than 10 bytes"):
        transfer.callback().relative_update(7)
    transfer.is_stopped, transfer.count = True, 0
    with pytest.raises(ValueError, match="more than"):
        transfer.check()
