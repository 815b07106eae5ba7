from __future__ import annotations

import math
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from punie_build.training import checkpoints, verify
from punie_build.training.loop import process
from punie_build.training.loop.trainer import BatchReport
from punie_build.training.optimizer_spec import (
    Adafactor,
    Adamw,
    CosineDecay,
    Muon,
    Sgd,
    StepDecay,
)
from punie_build.training.spec import Lora
from tests.support.tiny_training import (
    Killed,
    events,
    kill_after,
    spec,
    train,
    train_job,
)

VARIANTS = {
    "defaults": {},
    "many settings": {
        "lora": Lora(rank=2, dropout=0.2),
        "grad_accumulation_steps": 2,
        "warmup": 2,
        "max_grad_norm": 0.5,
        "lr_schedule": CosineDecay(end=1e-4),
        "optimizer": Adamw(weight_decay=0.1),
    },
    "incomplete accumulation": {"grad_accumulation_steps": 5, "save_every": 2},
    "dora": {"fine_tune_type": "dora", "optimizer": Muon(), "batching": "tokens", "batch_tokens": 128},
    "full": {
        "fine_tune_type": "full",
        "num_layers": 1,
        "optimizer": Adafactor(),
        "batching": "pack",
        "batch_tokens": 128,
    },
    "keep last": {
        "keep": "last",
        "optimizer": Sgd(momentum=0.9),
        "lr_schedule": StepDecay(rate=0.5, every=2),
        "batching": "file",
    },
    "early stop": {"learning_rate": 0.5, "iters": 40, "early_stop": 2, "steps_per_eval": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name, marks=() if name in ("defaults", "many settings") else pytest.mark.nightly)
        for name, changes in VARIANTS.items()
    ],
)
def test_a_killed_and_resumed_training_writes_the_bytes_of_an_uninterrupted_one(inputs, tmp_path, changes):
    uninterrupted = train(inputs, tmp_path / "uninterrupted", spec(**changes))
    randomness = random.Random(str(changes))
    kills = [1, *(randomness.randint(2, 14) for _ in range(2))]
    assert train(inputs, tmp_path / "killed", spec(**changes), *kills) == uninterrupted
    job = train_job(inputs, tmp_path / "killed", spec(**changes))
    assert list(verify.adapter(Path(job.out), job.spec, inputs / "base")) == []


@pytest.mark.slow
def test_truncated_corrupt_and_missing_checkpoints_do_not_change_the_result(inputs, tmp_path):
    adapter = spec(learning_rate=0.3, iters=8)
    uninterrupted = train(inputs, tmp_path / "uninterrupted", adapter)
    folder = tmp_path / "damaged"
    saved = folder / "checkpoints"

    def truncate(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:-100])

    for damage in (
        lambda: [(saved / "000099.new").mkdir(), *map(truncate, saved.glob("*/state.safetensors"))],
        lambda: [file.write_text("{") for file in saved.glob("*/state.json")],
        lambda: [file.unlink() for file in saved.glob("best-*")],
        lambda: shutil.rmtree(saved),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        with pytest.raises(Killed):
            process.run(train_job(inputs, folder, adapter), kill_after(11))
        damage()
        assert train(inputs, folder, adapter) == uninterrupted


@pytest.mark.slow
def test_a_longer_training_resumes_from_a_shorter_one_with_the_same_bytes(inputs, tmp_path):
    train(inputs, tmp_path / "extended", spec(iters=7))
    iterations: list[int] = []
    process.run(
        train_job(inputs, tmp_path / "extended", spec(iters=12)),
        lambda event: iterations.append(event.iteration) if isinstance(event, BatchReport) else None,
    )
    assert iterations == list(range(8, 13))
    extended = {path.name: path.read_bytes() for path in (tmp_path / "extended/out").iterdir()}
    assert extended == train(inputs, tmp_path / "once", spec(iters=12))


@pytest.mark.slow
def test_a_shorter_training_ignores_checkpoints_beyond_its_end(inputs, tmp_path):
    changes = {"learning_rate": 0.5, "steps_per_eval": 2}
    train(inputs, tmp_path / "long", spec(iters=20, **changes))
    shutil.copytree(tmp_path / "long", tmp_path / "patient")
    short = spec(iters=6, **changes)
    assert train(inputs, tmp_path / "long", short) == train(inputs, tmp_path / "a", short)
    early_stop = spec(iters=20, early_stop=2, **changes)
    files = train(inputs, tmp_path / "b", early_stop)
    assert events(files, "end")[0]["iterations"] < 20
    assert train(inputs, tmp_path / "patient", early_stop) == files


def test_only_the_latest_checkpoint_and_the_best_weights_remain(inputs, tmp_path):
    train(inputs, tmp_path, spec(learning_rate=0.5))
    state = next(state for _, state in checkpoints.resumable(tmp_path / "checkpoints", lambda _: True))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["000012", f"best-{state.best_iteration:06}.safetensors"]


def test_checkpoints_that_were_not_resumed_for_days_are_removed(inputs, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("old", "new"):
        train(inputs, tmp_path / name, spec(iters=3))
        (tmp_path / name / "checkpoints").rename(tmp_path / "all" / name)
    os.utime(tmp_path / "all/old", (0, 0))
    assert checkpoints.remove_unused(tmp_path / "all", 30, dry=True)[0] == 1
    count, size = checkpoints.remove_unused(tmp_path / "all", 30)
    assert count == 1
    assert size > 1000
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["new"]


def test_a_training_that_is_forgotten_keeps_only_later_checkpoints(inputs, tmp_path):
    train(inputs, tmp_path, spec(iters=6))
    folder = tmp_path / "checkpoints"
    checkpoints.remove_older(folder, time.time() - 3600)
    assert any(checkpoints.resumable(folder, lambda _: True)), "an interrupted one goes on"
    checkpoints.remove_older(folder, math.inf)
    assert not list(folder.iterdir())
    checkpoints.remove_older(tmp_path / "never", math.inf)


def test_the_seconds_of_a_resumed_training_are_those_of_all_its_processes(tmp_path):
    def write(path: str, _arrays: checkpoints.Arrays) -> None:
        Path(path).write_bytes(b"")

    checkpoints.save(tmp_path, checkpoints.TrainerState(iteration=3, seconds=1000.0), {}, write)
    [(_, state)] = checkpoints.resumable(tmp_path, lambda _: True)
    assert 1000 < state.seconds < 1000 + time.monotonic()


@pytest.mark.parametrize("name", ["000003/state.safetensors", "000003/state.json", "000003/sha256", "best-000002"])
def test_a_checkpoint_with_a_flipped_bit_is_not_used(tmp_path, name):
    def write(path: str, _arrays: checkpoints.Arrays) -> None:
        Path(path).write_bytes(b"0123456789" * 20)

    checkpoints.save_best(tmp_path, 2, {}, write)
    state = checkpoints.TrainerState(iteration=3, valid=[(2, 1.0)], metrics="text" * 20)
    checkpoints.save(tmp_path, state, {}, write)
    assert checkpoints.intact_and_damaged(tmp_path) == (["000003"], [])
    assert [path.name for path, _ in checkpoints.resumable(tmp_path, lambda _: True)] == ["000003"]
    path = tmp_path / (f"{name}.safetensors" if name.startswith("best") else name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert checkpoints.intact_and_damaged(tmp_path) == ([], ["000003"])
    assert not list(checkpoints.resumable(tmp_path, lambda _: True, []))
    assert not list(checkpoints.resumable(tmp_path, lambda _: True))
    assert checkpoints.load(tmp_path, lambda _: True, lambda _: {}) is None
