from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from punie_build.errors import ModelError
from punie_build.runtime import machine_memory
from punie_build.storage import paths
from punie_build.storage.locks import KeyInputs, Lock
from punie_build.testing.fake_machine import killer
from punie_build.training import checkpoints, launch
from punie_build.training.launch import checkpoint_key
from punie_build.training.memory_ladder import read_report
from punie_build.training.optimizer_spec import (
    CosineDecay,
)
from punie_build.training.spec import Adapter
from tests.support.tiny_training import (
    events,
    spec,
    train,
    training_run,
)


def test_trainings_with_one_checkpoint_key_differ_in_their_length_alone():
    def key(adapter: Adapter, **digests: str) -> str:
        recipe = msgspec.to_builtins(adapter)
        return checkpoint_key(KeyInputs(kind="adapter", recipe=recipe, code="", inputs=digests, tools={}), adapter)

    assert key(spec(iters=5)) == key(spec(iters=9)) == key(spec(iters=None, epochs=2.0)) == key(spec(early_stop=3))
    assert key(spec(iters=5)) != key(spec(iters=5, seed=1))
    assert key(spec(iters=5)) != key(spec(iters=5), tokens="other")
    decay = CosineDecay()
    assert key(spec(iters=5, lr_schedule=decay)) != key(spec(iters=9, lr_schedule=decay))
    assert key(spec(iters=5, lr_schedule=CosineDecay(steps=9))) == key(spec(iters=9, lr_schedule=CosineDecay(steps=9)))


@pytest.mark.parametrize(
    ("duration", "share"),
    [({"iters": 80}, 0.5), ({"iters": 40}, 1.0), ({"iters": 30}, 0.0), ({"epochs": 4.0}, 0.5), ({"tokens": 999}, 0.0)],
)
def test_the_share_that_a_checkpoint_has_of_a_training(tmp_path, duration, share):
    adapter = spec(**{"iters": None} | duration)
    inputs = KeyInputs(kind="adapter", recipe=msgspec.to_builtins(adapter), code="", inputs={}, tools={})
    lock = Lock(key="", key_inputs=inputs, outputs={}, metrics={"iterations": 20.0, "epochs": 1.0}, seconds=9.0)
    assert launch.done_share(tmp_path, adapter, inputs, lock) == 0
    state = checkpoints.TrainerState(iteration=40)
    folder = tmp_path / paths.checkpoints(checkpoint_key(inputs, adapter))
    checkpoints.save(folder, state, {}, lambda path, _: Path(path).write_bytes(b"arrays"))
    assert launch.done_share(tmp_path, adapter, inputs, lock) == share


def test_a_tracker_that_is_not_installed_is_reported_before_training(inputs, tmp_path):
    if find_spec("swanlab"):
        pytest.skip("it is installed")
    with pytest.raises(ModelError, match="report_to: swanlab not installed - pip install swanlab, or remove it"):
        launch.train(training_run(inputs, tmp_path, spec(report_to=("swanlab",))))


@pytest.mark.slow
def test_two_ranks_have_the_losses_of_one(inputs, tmp_path):
    """With mlx's own launcher on loopback: the same rows in the same order, with equal weights."""
    launch.train(training_run(inputs, tmp_path, spec(ranks=2, iters=6, grad_accumulation_steps=2)))
    both = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    single = train(inputs, tmp_path / "single", spec(iters=6, grad_accumulation_steps=2))
    losses = [[event["loss"] for event in events(files, "valid")] for files in (both, single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep")
def test_a_killed_rank_ends_the_training_with_a_message(inputs, tmp_path):
    pattern = f"punie_build.training.loop.process {tmp_path}"

    def processes() -> list[str]:
        return subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()

    def kill_last() -> None:
        while not (tmp_path / "progress.json").exists():
            time.sleep(0.05)
        os.kill(int(processes()[-1]), signal.SIGKILL)

    killer = threading.Thread(target=kill_last)
    killer.start()
    with pytest.raises(ModelError, match="training"):
        launch.train(training_run(inputs, tmp_path, spec(ranks=2, iters=20_000)))
    killer.join()
    assert not (tmp_path / "out/adapter_config.json").exists()
    assert processes() == []


@pytest.mark.slow
def test_a_training_that_is_killed_for_memory_goes_on_one_rung_higher(inputs, tmp_path, monkeypatch):
    """A kill near the limit counts as one for memory; the exact rung gives the bytes of a training without a kill."""
    monkeypatch.setenv(machine_memory.VARIABLE, "0.15")
    adapter, said = spec(iters=60, steps_per_eval=30), []
    with killer("punie_build.training.loop.process", 1, after=tmp_path / "checkpoints/000003") as sizes:
        launch.train(training_run(inputs, tmp_path, adapter), said.append)
    assert len(sizes) == 1
    assert "the training lacked memory, and goes on from its checkpoint: gradient checkpointing" in said
    assert read_report(tmp_path / "memory.json").rung == 1
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    monkeypatch.delenv(machine_memory.VARIABLE)
    (tmp_path / "plain").mkdir()
    launch.train(training_run(inputs, tmp_path / "plain", adapter), said.append)
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "plain/out").iterdir()}
