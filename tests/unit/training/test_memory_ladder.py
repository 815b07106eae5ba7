"""The rungs of the memory ladder, and which ends of a process are for lack of memory."""

from __future__ import annotations

import pytest

from punie_build.training.memory_ladder import MemoryReport, Rung, lacked_memory, read_report, rungs


def test_rungs_are_in_one_order_and_the_exact_ones_come_first():
    assert [str(rung) for rung in rungs(5)] == [
        "as the recipe says",
        "gradient checkpointing",
        "gradient checkpointing, loss in chunks",
        "gradient checkpointing, loss in chunks, 3 rows at a time",
        "gradient checkpointing, loss in chunks, 2 rows at a time",
        "gradient checkpointing, loss in chunks, a row at a time",
    ]
    assert [rung.is_exact for rung in rungs(5)] == [True, True, False, False, False, False]
    assert rungs(1)[-1] == Rung(grad_checkpoint=True, chunked_loss=True)


@pytest.mark.parametrize(
    ("code", "log", "kills", "used", "expected"),
    [
        (-9, "", 1, 0, True),
        (-9, "", 0, 10, True),
        (137, "", 0, 10, True),
        (-9, "", 0, 7, False),  # by the user, far below the limit
        (1, "RuntimeError: [malloc] Unable to allocate 12 bytes.", 0, 0, True),
        (1, "MemoryError", 0, 0, True),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", 0, 0, True),
        (1, "RuntimeError: [METAL] Command buffer execution failed: Insufficient Memory", 0, 0, True),
        (1, "punie: iteration 3: the loss is nan", 0, 10, False),
        (0, "MemoryError", 1, 10, False),
    ],
)
def test_ends_for_lack_of_memory_are_told_from_others(code, log, kills, used, expected):
    assert lacked_memory(code, log, kernel_kills=kills, used=used, limit=16) == expected


def test_a_report_that_was_not_written_is_empty(tmp_path):
    (tmp_path / "memory.json").write_text("{")
    assert read_report(tmp_path / "memory.json") == read_report(tmp_path / "none") == MemoryReport()
    assert str(MemoryReport(predicted=2**30, limit=2**31)) == "predicted peak 1.00 of 2.00 GiB"
