"""Worker processes: where steps run, their results and errors, and how workers end."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from punie_build.engine import build
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work
from punie_build.errors import DataError, PunieError, RecipeError
from punie_build.runtime import worker_pool
from punie_build.runtime.worker_pool import WorkerError
from tests.support.processes import alive, until

# --- steps that workers run


def process_id(_work: object) -> int:
    return os.getpid()


def double(work: int) -> int:
    return 2 * work


def raise_data_error(lines: list[str]) -> None:
    raise DataError(*lines)


def raise_recipe_error(lines: list[str]) -> None:
    raise RecipeError(lines)


class UnpicklableError(Exception):
    """An error that pickle can write and cannot read."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def raise_unpicklable(_work: object) -> None:
    raise UnpicklableError("one", "two")


def raise_disk_full(path: str) -> None:
    raise OSError(28, "No space left on device", path)


def raise_value_error(_work: object) -> None:
    raise ValueError("not so")


def raise_end_of_file(_work: object) -> None:
    raise EOFError("a file that was cut off")


def return_unpicklable(_work: object) -> Any:
    return threading.Lock()


def kill_itself(_work: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_process(code: int) -> None:
    sys.exit(code)


def sleep(path: str) -> str:
    """Write the id of the process, then sleep."""
    Path(path).write_text(f"{os.getpid()}")
    time.sleep(60)
    return path


def loop(path: str) -> None:
    """Write the id of the process, then compute in Python without end."""
    Path(path).write_text(f"{os.getpid()}")
    while True:
        pass


def search(path: str) -> None:
    """Write the id of the process, then search for years, without releasing the GIL."""
    Path(path).write_text(f"{os.getpid()}")
    re.fullmatch(r"(a+)+b", "a" * 60)


def report(work: Work[Any]) -> StepResult:
    work.say("from the worker")
    (work.out / "train.jsonl").write_text(f"{os.getpid()}")
    return StepResult("made", {"rows": 1})


# --- how they are run


def in_a_thread(step: Callable[[Any], Any], work: Any = None) -> Any:
    """Return the step's result, or raise its error, when it is run from a thread."""
    [answer] = at_once([(step, work)])
    if isinstance(answer, BaseException):
        raise answer
    return answer


def at_once(calls: list[tuple[Callable[[Any], Any], Any]]) -> list[Any]:
    """Return the results or errors of several steps, each run from a thread of its own."""
    answers: list[Any] = [None] * len(calls)

    def one(index: int) -> None:
        try:
            answers[index] = worker_pool.run(*calls[index])
        except BaseException as error:
            answers[index] = error

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def written_id(path: Path) -> int | None:
    """Return the number in a file, None before it is written."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text else None


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.fixture
def id_file(tmp_path) -> Iterator[Path]:
    """Return the path that a worker writes its process id to; the worker ends with the test."""
    path = tmp_path / "pid"
    yield path
    if (worker := written_id(path)) and alive(worker):
        os.kill(worker, signal.SIGKILL)


# --- where a step runs


def test_the_main_thread_runs_its_steps_itself():
    assert worker_pool.run(process_id, None) == os.getpid()
    value = object()
    assert worker_pool.run(lambda work: work, value) is value, "nothing is sent"


def test_a_thread_runs_its_steps_in_one_worker():
    first = in_a_thread(process_id)
    assert first != os.getpid()
    assert in_a_thread(process_id) == first
    assert in_a_thread(double, 21) == 42
    assert in_a_thread(partial(max, 3), 5) == 5


def test_simultaneous_steps_run_in_separate_processes():
    answers = at_once([(time.sleep, 0.3)] * 4 + [(process_id, None)])
    assert answers[:4] == [None] * 4
    assert len(worker_pool._idle) >= 2
    assert len({worker.process.pid for worker in worker_pool._idle}) == len(worker_pool._idle)


def test_a_build_from_a_thread_runs_its_step_in_a_worker_and_logs_its_lines(tmp_path, capsys):
    kind = ArtifactKind(name="stage", folder="data", step="tests.unit.runtime.test_worker_pool:report", in_worker=True)
    task = Task(kind=kind, name="s", spec=None)
    outcomes: list[build.Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(build.build(tmp_path, task)))
    thread.start()
    thread.join()
    assert outcomes[0].action == "ran"
    assert int((tmp_path / "data/s/train.jsonl").read_text()) != os.getpid()
    assert (tmp_path / ".punie/logs/data/s/build.log").read_text() == "from the worker\n"
    assert "from the worker" not in capsys.readouterr().out


# --- errors


def test_an_error_for_users_comes_back_with_its_text_only():
    with pytest.raises(DataError) as caught:
        in_a_thread(raise_data_error, ["data/x: line 3: no answer - add one"])
    assert str(caught.value) == "data/x: line 3: no answer - add one"
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(PunieError) as caught:
        in_a_thread(raise_recipe_error, ["one: bad - mend it", "two: worse - mend that"])
    assert str(caught.value) == "one: bad - mend it\ntwo: worse - mend that"


def test_an_error_that_is_a_bug_comes_back_with_its_traceback():
    with pytest.raises(ValueError, match="not so") as caught:
        in_a_thread(raise_value_error)
    assert 'raise ValueError("not so")' in caught.value.__notes__[0]


def test_an_os_error_comes_back_with_its_number_and_file():
    with pytest.raises(OSError, match="No space left on device: '/x'") as caught:
        in_a_thread(raise_disk_full, "/x")
    assert (caught.value.errno, caught.value.filename) == (28, "/x")


@pytest.mark.parametrize(
    ("step", "words"), [(raise_unpicklable, "UnpicklableError: one two"), (return_unpicklable, "cannot pickle")]
)
def test_what_pickle_cannot_send_comes_back_as_text_and_the_worker_lives(step, words):
    worker = in_a_thread(process_id)
    with pytest.raises((RuntimeError, TypeError), match=words):
        in_a_thread(step)
    assert in_a_thread(process_id) == worker


def test_an_end_of_file_error_does_not_end_a_worker():
    worker = in_a_thread(process_id)
    with pytest.raises(EOFError, match="cut off"):
        in_a_thread(raise_end_of_file)
    assert in_a_thread(process_id) == worker


def test_a_step_that_cannot_be_pickled_raises_and_ends_no_worker():
    worker = in_a_thread(process_id)
    with pytest.raises(Exception, match=r"[Pp]ickle|local"):
        in_a_thread(lambda work: work)
    assert in_a_thread(process_id) == worker


# --- workers that die


@pytest.mark.slow
def test_a_killed_worker_fails_its_own_step_only():
    answers = at_once([(kill_itself, None), (time.sleep, 0.5), (kill_itself, None), (double, 4)])
    assert [type(answer) for answer in answers] == [WorkerError, type(None), WorkerError, int]
    assert str(answers[0]) == (
        "a worker process was killed, most likely for lack of memory - build again with a smaller -n"
    )
    assert isinstance(answers[0], PunieError)
    assert in_a_thread(double, 5) == 10


def test_a_worker_that_exits_reports_its_exit_code():
    with pytest.raises(WorkerError, match="exit code 3 - build without -n"):
        in_a_thread(end_process, 3)


@pytest.mark.slow
def test_an_idle_worker_that_was_killed_is_replaced():
    worker = in_a_thread(process_id)
    for idle in worker_pool._idle:
        os.kill(idle.process.pid, signal.SIGKILL)
        idle.process.join()
    assert in_a_thread(process_id) not in (worker, os.getpid())


@linux
@pytest.mark.parametrize("step", ["sleep", "loop", "search"])
def test_a_worker_ends_with_a_killed_build_during_any_computation(script, id_file, step):
    parent = script(
        f"threading.Thread(target=worker_pool.run, args=(steps.{step}, sys.argv[1])).start()\ntime.sleep(60)", id_file
    )
    assert until(lambda: written_id(id_file))
    worker = written_id(id_file)
    assert worker != parent.pid
    assert alive(worker)
    parent.kill()
    parent.wait()
    assert until(lambda: not alive(worker), 5)


@linux
def test_an_idle_worker_ends_with_a_killed_build(script):
    parent = script(
        "def one(): print(worker_pool.run(steps.process_id, None), flush=True)\n"
        "threading.Thread(target=one).start()\ntime.sleep(60)"
    )
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.wait()
    assert until(lambda: not alive(worker), 5)


@pytest.mark.slow
@linux
@pytest.mark.parametrize("step", ["sleep", "loop", "search"])
def test_an_interrupted_build_does_not_wait_for_its_workers(script, id_file, step):
    """Ctrl-C under `doit -n`, whose threads are daemons."""
    parent = script(
        f"threading.Thread(target=worker_pool.run, args=(steps.{step}, sys.argv[1]), daemon=True).start()\n"
        "time.sleep(60)",
        id_file,
    )
    assert until(lambda: written_id(id_file))
    worker = written_id(id_file)
    parent.send_signal(signal.SIGINT)
    parent.wait(timeout=5)
    assert until(lambda: not alive(worker), 5)


@linux
def test_a_worker_ignores_an_interrupt(id_file):
    """A terminal sends Ctrl-C to all of its processes."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(at_once([(sleep_briefly, str(id_file))])))
    thread.start()
    assert until(lambda: written_id(id_file))
    os.kill(written_id(id_file), signal.SIGINT)
    thread.join()
    assert answers == ["done"]


def sleep_briefly(path: str) -> str:
    Path(path).write_text(f"{os.getpid()}")
    time.sleep(0.5)
    return "done"


def test_a_worker_imports_no_file_of_the_project_in_place_of_the_library(tmp_path, monkeypatch):
    for name in ("socket.py", "queue.py", "tempfile.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    worker = worker_pool.Worker()
    assert worker.compute(int, "7") == 7
    assert "PYTHONSAFEPATH" not in os.environ
    worker.process.terminate()
