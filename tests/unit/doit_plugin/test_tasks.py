"""The tasks of doit: what it is told of a project that cannot be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from doit.exceptions import InvalidTask
from msgspec import structs

from punie_build.doit_plugin.tasks import Run
from punie_build.engine.recipe import Recipe
from punie_build.project import Project
from tests.support.text_tasks import text_task


class Unreadable:
    """An external input in a folder without permission."""

    path = None

    def identity(self, root: Path, pointers: bool = False) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(root / "raw"))


def test_an_input_without_permission_is_one_sentence(tmp_path):
    task = structs.replace(text_task("a"), external={"base": Unreadable()})
    run = Run(Project(tmp_path, Recipe({}, {}), [task]))
    with pytest.raises(InvalidTask, match=r"/raw: Permission denied - give"):
        run.planned(task)
