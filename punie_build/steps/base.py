"""What steps share."""

from __future__ import annotations

from pathlib import Path

from punie_build import bases
from punie_build.build import Work
from punie_build.suites import Suite

Suites = dict[str, Suite]


def base(work: Work) -> Path:
    """The folder of the base that a task starts from."""
    assert work.task.base is not None, "graph gives every adapter and eval its base"
    return bases.locate(work.root, work.task.base)
