from __future__ import annotations

import json

import pytest

from punie_build.training.history import TrainReport
from punie_build.training.loop import process
from punie_build.training.loop.trackers import TrackerCallbacks
from tests.support.tiny_training import (
    spec,
    train,
    train_job,
)


@pytest.mark.slow
def test_a_tracker_receives_the_metrics_and_does_not_change_the_adapter(inputs, tmp_path):
    pytest.importorskip("tensorboardX")
    process.main(train_job(inputs, tmp_path / "tracked", spec(report_to=("tensorboard",))))
    [file] = (tmp_path / "tracked/run").iterdir()
    assert all(name in file.read_bytes() for name in (b"train/loss", b"valid/loss", b"train/learning_rate"))
    train(inputs, tmp_path / "untracked", spec())
    for name in ("adapters.safetensors", "metrics.jsonl", "adapter_config.json"):
        assert (tmp_path / "tracked/out" / name).read_bytes() == (tmp_path / "untracked/out" / name).read_bytes()
    progress = json.loads((tmp_path / "tracked/progress.json").read_text())
    assert progress["iteration"] == 12
    assert progress["tokens_per_second"] > 0


def test_a_failing_tracker_is_reported_once_and_training_continues(tmp_path, capsys):
    with TrackerCallbacks(spec(), tmp_path) as trackers:
        trackers.loggers.append(("swanlab", lambda _numbers, _iteration: 1 / 0))
        for iteration in (1, 2):
            trackers.log(TrainReport(iteration=iteration, loss=2.0, learning_rate=0.1, trained_tokens=9))
    assert capsys.readouterr().out == "punie-build: swanlab does not receive metrics: division by zero\n"
