from __future__ import annotations

import threading
from pathlib import Path

from msgspec import Struct, structs

from punie_build.engine.work import Work
from tests.support.text_tasks import text_task


class Folder(Struct, frozen=True):
    """An external input in the project."""

    path: str

    def locate(self, root: Path) -> Path:
        return root / self.path


def work(root: Path, **fields: object) -> Work:
    task = structs.replace(text_task("s", inputs=("data/in", "data/s.splits.lock")), **fields)
    return Work(root=root, task=task, out=root / "out", logs=root / "logs")


def test_the_inputs_of_a_step_leave_out_the_one_that_it_extends(tmp_path):
    assert work(tmp_path).inputs() == [tmp_path / "data/in", tmp_path / "data/s.splits.lock"]
    assert work(tmp_path).memory() is None
    extending = work(tmp_path, remembers="data/s.splits.lock")
    assert extending.inputs() == [tmp_path / "data/in"]
    assert extending.memory() == tmp_path / "data/s.splits.lock"


def test_an_external_input_is_located_by_its_name(tmp_path):
    assert work(tmp_path, external={"base": Folder("models/own")}).external("base") == tmp_path / "models/own"


def test_the_spec_of_a_step_is_that_of_its_task(tmp_path):
    assert work(tmp_path, spec="values").spec == "values"


def test_lines_go_to_the_log_and_the_screen_with_the_task_if_threads_build(tmp_path, capfd):
    work(tmp_path).say("first\nsecond")
    thread = threading.Thread(target=work(tmp_path).say, args=("third",))
    thread.start()
    thread.join()
    assert (tmp_path / "logs" / "build.log").read_text() == "first\nsecond\nthird\n"
    screen = "".join(capfd.readouterr())
    assert "   first\n   second\n" in screen
    assert "   stage:s: third\n" in screen
