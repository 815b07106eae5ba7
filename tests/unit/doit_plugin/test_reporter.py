"""The reporter: the work that is left, as its bar shows it, without a look at all pending tasks after each one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from punie_build.doit_plugin.reporter import Reporter
from punie_build.engine.plan import Planned


class CountedTarget:
    """A target that counts how often its plan is read."""

    reads = 0

    def __init__(self, planned: Any) -> None:
        self.plan = planned

    @property
    def planned(self) -> Any:
        CountedTarget.reads += 1
        return self.plan


class PlannedWork(NamedTuple):
    """The fields of `Planned` that the bar needs."""

    action: str
    estimate: float | None = None


def reporter(capsys: pytest.CaptureFixture[str], work: dict[str, PlannedWork]) -> Reporter:
    import sys

    result = Reporter(sys.stdout, None)
    result.root = result.run = None
    result.pending = set(work)
    result.targets = {label: CountedTarget(planned) for label, planned in work.items()}
    result._show_bar()
    return result


def test_the_bar_subtracts_what_is_finished(capsys):
    work = {
        "a": PlannedWork("run", 60.0),
        "b": PlannedWork("restore", 9.0),
        "c": PlannedWork("run"),
        "d": PlannedWork("current"),
    }
    made = reporter(capsys, work)
    assert (made.total, made.remaining, made.seconds) == (3, 3, 60.0)
    made._finish("a", "ran", None)
    made._finish("a", "ran", None)
    made._finish("d", "current", None)
    assert (made.remaining, made.seconds) == (2, 0.0)
    made._finish("b", "restored", None)
    made._finish("c", "failed", None)
    assert (made.remaining, made.seconds) == (0, 0.0)


def test_a_finished_task_reads_no_plan_but_its_own(capsys):
    made = reporter(capsys, {str(number): PlannedWork("run", 1.0) for number in range(500)})
    CountedTarget.reads = 0
    for number in range(500):
        made._finish(str(number), "ran", None)
    assert CountedTarget.reads == 500
    assert all(hasattr(Planned, name) for name in PlannedWork._fields)
