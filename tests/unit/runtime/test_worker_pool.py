from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from punie_build.engine import build
from punie_build.engine.task import Task
from punie_build.engine.work import Work
from punie_build.errors import DataError, PunieError, RecipeError
from punie_build.runtime import device_lock, worker_pool
from punie_build.runtime.worker_pool import WorkerError

ROOT = Path(__file__).parents[3]


# --- what workers are asked to do


def pid(_work: object) -> int:
    return os.getpid()


def doubled(work: int) -> int:
    return 2 * work


def told(lines: list[str]) -> None:
    raise DataError(*lines)


def mistaken(lines: list[str]) -> None:
    raise RecipeError(lines)


class OddError(Exception):
    """An error that pickle makes, and cannot make again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def odd(_work: object) -> None:
    raise OddError("one", "two")


def full(path: str) -> None:
    raise OSError(28, "No space left on device", path)


def wrong(_work: object) -> None:
    raise ValueError("not so")


def at_the_end(_work: object) -> None:
    raise EOFError("a file that was cut off")


def cannot_be_sent(_work: object) -> Any:
    return threading.Lock()


def killed(_work: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ended(code: int) -> None:
    sys.exit(code)


def waits(place: str) -> str:
    """Say who computes, then sleep."""
    Path(place).write_text(f"{os.getpid()}")
    time.sleep(60)
    return place


def counts(place: str) -> None:
    """Say who computes, then compute in Python without end."""
    Path(place).write_text(f"{os.getpid()}")
    while True:
        pass


def searches(place: str) -> None:
    """Say who computes, then search for what takes years, without letting another thread run."""
    Path(place).write_text(f"{os.getpid()}")
    re.fullmatch(r"(a+)+b", "a" * 60)


def shouts(work: Work) -> Made:
    work.say("from the worker")
    (work.out / "train.jsonl").write_text(f"{os.getpid()}")
    return Made("made", {"rows": 1})


# --- how they are asked


def in_a_thread(step: Callable[[Any], Any], work: Any = None) -> Any:
    """The step's result, or what it raised, when it is run from a thread."""
    [answer] = at_once([(step, work)])
    if isinstance(answer, BaseException):
        raise answer
    return answer


def at_once(asked: list[tuple[Callable[[Any], Any], Any]]) -> list[Any]:
    """The results or errors of several steps, each run from a thread of its own."""
    answers: list[Any] = [None] * len(asked)

    def one(index: int) -> None:
        try:
            answers[index] = worker_pool.run(*asked[index])
        except BaseException as error:
            answers[index] = error

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], Any], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def written(path: Path) -> int | None:
    """The number in a file, once it is there."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text else None


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


Script = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def script() -> Iterator[Script]:
    """Start other processes that know the functions above; none is left when the test ends."""
    started = []
    head = "import sys, threading, time\nfrom tests.unit.runtime import test_worker_pool as test_workers\nfrom punie_build.runtime import device_lock as turns; from punie_build.runtime import worker_pool as workers\n"
    path = os.pathsep.join([str(ROOT), *sys.path])

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", head + code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def place(tmp_path) -> Iterator[Path]:
    """Where a worker says who it is; it does not outlive the test."""
    path = tmp_path / "pid"
    yield path
    if (worker := written(path)) and alive(worker):
        os.kill(worker, signal.SIGKILL)


# --- where a step runs


def test_the_main_thread_computes_itself():
    assert worker_pool.run(pid, None) == os.getpid()
    value = object()
    assert worker_pool.run(lambda work: work, value) is value, "nothing is sent"


def test_a_thread_has_a_worker_compute_which_is_used_again():
    first = in_a_thread(pid)
    assert first != os.getpid()
    assert in_a_thread(pid) == first
    assert in_a_thread(doubled, 21) == 42
    assert in_a_thread(partial(max, 3), 5) == 5


def test_steps_that_run_at_once_run_in_processes_of_their_own():
    answers = at_once([(time.sleep, 0.3)] * 4 + [(pid, None)])
    assert answers[:4] == [None] * 4
    assert len(worker_pool._idle) >= 2
    assert len({worker.process.pid for worker in worker_pool._idle}) == len(worker_pool._idle)


def test_a_build_from_a_thread_runs_its_step_in_a_worker_and_logs_what_it_says(tmp_path, capsys):
    (tmp_path / "data/in").mkdir(parents=True)
    task = Task(kind="stage", name="s", doc="", target="data/s", spec=None, config={}, inputs=("data/in",))
    said: list[build.Outcome] = []
    step = partial(worker_pool.run, shouts)
    thread = threading.Thread(target=lambda: said.append(build.build(tmp_path, task, step)))
    thread.start()
    thread.join()
    assert said[0].how == "ran"
    assert int((tmp_path / "data/s/train.jsonl").read_text()) != os.getpid()
    assert (tmp_path / ".punie/logs/data/s/build.log").read_text() == "from the worker\n"
    assert "from the worker" not in capsys.readouterr().out


# --- what comes back when it goes wrong


def test_what_a_person_can_mend_comes_back_as_it_reads():
    with pytest.raises(DataError) as caught:
        in_a_thread(told, ["data/x: line 3: no answer - add one"])
    assert str(caught.value) == "data/x: line 3: no answer - add one"
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(PunieError) as caught:
        in_a_thread(mistaken, ["one: bad - mend it", "two: worse - mend that"])
    assert str(caught.value) == "one: bad - mend it\ntwo: worse - mend that"


def test_what_is_a_bug_comes_back_with_the_workers_trace():
    with pytest.raises(ValueError, match="not so") as caught:
        in_a_thread(wrong)
    assert 'raise ValueError("not so")' in caught.value.__notes__[0]


def test_what_a_full_disk_says_comes_back_whole():
    with pytest.raises(OSError, match="No space left on device: '/x'") as caught:
        in_a_thread(full, "/x")
    assert (caught.value.errno, caught.value.filename) == (28, "/x")


@pytest.mark.parametrize(("step", "words"), [(odd, "OddError: one two"), (cannot_be_sent, "cannot pickle")])
def test_what_cannot_be_sent_comes_back_in_words_and_the_worker_lives(step, words):
    worker = in_a_thread(pid)
    with pytest.raises((RuntimeError, TypeError), match=words):
        in_a_thread(step)
    assert in_a_thread(pid) == worker


def test_the_end_of_a_file_is_not_the_end_of_a_worker():
    worker = in_a_thread(pid)
    with pytest.raises(EOFError, match="cut off"):
        in_a_thread(at_the_end)
    assert in_a_thread(pid) == worker


def test_a_step_that_cannot_be_sent_says_so_and_costs_no_worker():
    worker = in_a_thread(pid)
    with pytest.raises(Exception, match=r"[Pp]ickle|local"):
        in_a_thread(lambda work: work)
    assert in_a_thread(pid) == worker


# --- workers that die


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_own_step_and_no_other():
    answers = at_once([(killed, None), (time.sleep, 0.5), (killed, None), (doubled, 4)])
    assert [type(answer) for answer in answers] == [WorkerError, type(None), WorkerError, int]
    assert str(answers[0]) == (
        "a worker process was killed, most likely for lack of memory - build again with a smaller -n"
    )
    assert isinstance(answers[0], PunieError)
    assert in_a_thread(doubled, 5) == 10


def test_a_worker_that_ends_says_how():
    with pytest.raises(WorkerError, match="exit code 3 - build without -n"):
        in_a_thread(ended, 3)


@pytest.mark.slow
def test_a_worker_that_was_killed_while_it_waited_is_replaced():
    worker = in_a_thread(pid)
    for idle in worker_pool._idle:
        os.kill(idle.process.pid, signal.SIGKILL)
        idle.process.join()
    assert in_a_thread(pid) not in (worker, os.getpid())


@linux
@pytest.mark.parametrize("step", ["waits", "counts", "searches"])
def test_a_worker_dies_with_a_build_that_is_killed_whatever_it_does(script, place, step):
    parent = script(
        f"threading.Thread(target=workers.run, args=(test_workers.{step}, sys.argv[1])).start()\ntime.sleep(60)", place
    )
    assert until(lambda: written(place))
    worker = written(place)
    assert worker != parent.pid
    assert alive(worker)
    parent.kill()
    parent.wait()
    assert until(lambda: not alive(worker), 5)


@linux
def test_a_worker_that_waits_for_work_dies_with_a_build_that_is_killed(script):
    parent = script(
        "def one(): print(workers.run(test_workers.pid, None), flush=True)\n"
        "threading.Thread(target=one).start()\ntime.sleep(60)"
    )
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.kill()
    parent.wait()
    assert until(lambda: not alive(worker), 5)


@pytest.mark.slow
@linux
@pytest.mark.parametrize("step", ["waits", "counts", "searches"])
def test_a_build_that_is_interrupted_does_not_wait_for_its_workers(script, place, step):
    """Ctrl-C under `doit -n`, whose threads are daemons."""
    parent = script(
        f"threading.Thread(target=workers.run, args=(test_workers.{step}, sys.argv[1]), daemon=True).start()\n"
        "time.sleep(60)",
        place,
    )
    assert until(lambda: written(place))
    worker = written(place)
    parent.send_signal(signal.SIGINT)
    parent.wait(timeout=5)
    assert until(lambda: not alive(worker), 5)


@linux
def test_an_interrupt_that_reaches_a_worker_too_is_the_builds_to_answer(place):
    """A terminal sends Ctrl-C to all of its processes."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(at_once([(sleeps_a_little, str(place))])))
    thread.start()
    assert until(lambda: written(place))
    os.kill(written(place), signal.SIGINT)
    thread.join()
    assert answers == ["done"]


def sleeps_a_little(place: str) -> str:
    Path(place).write_text(f"{os.getpid()}")
    time.sleep(0.5)
    return "done"


# --- turns


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    """A folder for what the builds of this machine share."""
    place = tmp_path / "machine"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    return place


TAKE_TURNS = """
import os
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for _ in range(15):
    with turns.hold("adapter", "gpu", print):
        os.write(log, b"in\\n")
        time.sleep(0.005)
        os.write(log, b"out\\n")
"""
HOLD = """
with turns.hold(sys.argv[1], sys.argv[2], lambda text: print(text, flush=True)):
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_two_processes_never_train_on_one_device_at_once(machine, script):
    log = machine / "log"
    processes = [script(TAKE_TURNS, log) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert log.read_text() == "in\nout\n" * 45


def test_two_threads_never_train_on_one_device_at_once(machine):
    inside, most = [0], [0]

    def train() -> None:
        for _ in range(5):
            with device_lock.hold("adapter", "gpu", lambda _text: None):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.005)
                inside[0] -= 1

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_who_waits_says_so_once_and_goes_on_when_the_holder_is_killed(machine, script):
    holder = script(HOLD, "adapter", "gpu")
    assert holder.stdout.readline() == "holds\n"
    waiter = script(HOLD, "adapter", "gpu")
    assert waiter.stdout.readline() == "waiting: another training uses the gpu\n"
    holder.kill()
    assert waiter.stdout.readline() == "holds\n"


def test_an_error_under_a_turn_ends_it(machine):
    with pytest.raises(DataError), device_lock.hold("adapter", "gpu", print):
        raise DataError("x")
    said: list[str] = []
    with device_lock.hold("adapter", "gpu", said.append):
        pass
    assert said == []


def test_other_devices_and_what_needs_none_for_itself_do_not_wait(machine, script):
    assert script(HOLD, "adapter", "gpu").stdout.readline() == "holds\n"
    said: list[str] = []
    for kind, device in (("adapter", "cpu"), ("stage", "gpu"), ("eval", "gpu"), ("mix", "gpu")):
        with device_lock.hold(kind, device, said.append):
            pass
    assert said == []
