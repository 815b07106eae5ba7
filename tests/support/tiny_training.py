"""Trainings of a very small model, in the process of a test.

The model is a random llama of two layers, the rows are random tokens: the tests are independent of the trained content.
"""

from __future__ import annotations

import json
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from msgspec import structs

from punie_build.training import token_file
from punie_build.training.launch import TrainingRun, TrainJob
from punie_build.training.loop import process
from punie_build.training.loop.trainer import Callback
from punie_build.training.spec import Adapter
from punie_build.training.tokenization import TokenizedRow

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 2, "vocab_size": 64}
LLAMA = SIZES | {"model_type": "llama", "rms_norm_eps": 1e-6, "num_key_value_heads": 2, "tie_word_embeddings": True}
GEMMA = {
    "model_type": "gemma3_text",
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 64,
    "sliding_window": 24,
    "sliding_window_pattern": 3,
}
MAMBA = {
    "model_type": "mamba2",
    "num_heads": 4,
    "head_dim": 16,
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "state_size": 8,
    "num_hidden_layers": 2,
    "layer_norm_epsilon": 1e-5,
    "conv_kernel": 4,
    "n_groups": 1,
    "use_bias": False,
    "use_conv_bias": True,
    "tie_word_embeddings": True,
    "time_step_limit": [0.0, 100.0],
    "time_step_rank": 4,
}


def write_inputs(folder: Path) -> None:
    """Write a base in `base`, and in `tokens` 21 training and 5 validation rows of 6 to 60 tokens, a third of them
    trained."""
    (folder / "base").mkdir()
    (folder / "tokens").mkdir()
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    mx.save_safetensors(
        str(folder / "base/model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    (folder / "base/config.json").write_text(json.dumps(LLAMA))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(__file__).parents[2] / "models/nano" / name, folder / "base")
    randomness = random.Random(2)
    for split, count in (("train", 21), ("valid", 5)):
        writer = token_file.TokenWriter()
        for line in range(1, count + 1):
            ids = [randomness.randrange(64) for _ in range(randomness.choice((6, 11, 30, 60)))]
            writer.add(line, TokenizedRow(ids, [position % 3 == 0 for position in range(len(ids))]))
        writer.save(folder / f"tokens/{split}.safetensors")


def spec(**changes: Any) -> Adapter:
    fields = {"iters": 12, "learning_rate": 1e-2, "steps_per_eval": 4, "steps_per_report": 3, "save_every": 3}
    return Adapter(base="b", data="d", **fields | changes)


def train_job(inputs: Path, folder: Path, adapter: Adapter) -> TrainJob:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return TrainJob(
        spec=adapter,
        base=str(inputs / "base"),
        tokens=str(inputs / "tokens"),
        out=str(folder / "out"),
        checkpoint_dir=str(folder / "checkpoints"),
        progress=str(folder / "progress.json"),
        tracker_dir=str(folder / "run"),
    )


def training_run(inputs: Path, folder: Path, adapter: Adapter) -> TrainingRun:
    for name in ("out", "checkpoints"):
        (folder / name).mkdir(exist_ok=True)
    return TrainingRun(
        root=folder,
        spec=adapter,
        base=inputs / "base",
        tokens=inputs / "tokens",
        out=folder / "out",
        checkpoint_dir=folder / "checkpoints",
        log=folder / "training.log",
    )


class Killed(BaseException):
    """A stand-in for SIGKILL that a test can catch."""


def kill_after(events: int) -> Callback:
    """Return a callback that raises Killed at the given number of events."""
    remaining = [events]

    def callback(_event: object) -> None:
        remaining[0] -= 1
        if remaining[0] <= 0:
            raise Killed

    return callback


def ignore(_event: object) -> None:
    """Ignore an event."""


def train(inputs: Path, folder: Path, adapter: Adapter, *kills: int, rung: int = 0) -> dict[str, bytes]:
    """Return the files of an adapter whose training is killed after each number of events, then runs to its end."""
    job = structs.replace(train_job(inputs, folder, adapter), rung=rung)
    for events in kills:
        shutil.rmtree(job.out)
        Path(job.out).mkdir()
        with suppress(Killed):  # or it ends before
            process.run(job, kill_after(events))
    process.run(job, ignore)
    return {path.name: path.read_bytes() for path in Path(job.out).iterdir()}


def events(files: dict[str, bytes], tag: str) -> list[dict]:
    return [event for line in files["metrics.jsonl"].splitlines() if (event := json.loads(line))["event"] == tag]
