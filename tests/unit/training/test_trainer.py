"""Trainings of a very small model, in this process: results, resumed trainings, incompatible settings.

The model is a random llama of two layers, the rows are random tokens: the tests are independent of the trained content.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx import nn, optimizers
from mlx.utils import tree_flatten
from mlx_lm.lora import CONFIG_DEFAULTS
from mlx_lm.models import gemma3_text, llama, mamba2

from punie_build.errors import ModelError
from punie_build.training import checkpoints, launch, token_file, verify
from punie_build.training.batch_sampler import BatchSampler
from punie_build.training.compatibility import BaseFacts, incompatibilities
from punie_build.training.history import TrainReport
from punie_build.training.launch import TrainingRun, TrainJob, checkpoint_key
from punie_build.training.loop import process, sequence_packing
from punie_build.training.loop.collate import collate
from punie_build.training.loop.lora import base_facts, load_trainable
from punie_build.training.loop.optimizer import CLASSES, learning_rate_schedule, load_arrays
from punie_build.training.loop.sparse_logits import SparseLogits
from punie_build.training.loop.trackers import TrackerCallbacks
from punie_build.training.loop.trainer import BatchReport, Callback
from punie_build.training.optimizer_spec import (
    Adafactor,
    Adam,
    Adamw,
    CosineDecay,
    Muon,
    Sgd,
    StepDecay,
)
from punie_build.training.spec import Adapter, Lora
from punie_build.training.tokenization import TokenizedRow

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 2, "vocab_size": 64}
LLAMA = SIZES | {"model_type": "llama", "rms_norm_eps": 1e-6, "num_key_value_heads": 2, "tie_word_embeddings": True}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A base in `base`, and in `tokens` 21 training and 5 validation rows of 6 to 60 tokens, a third of them
    trained."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "base").mkdir()
    (folder / "tokens").mkdir()
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    mx.save_safetensors(
        str(folder / "base/model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    (folder / "base/config.json").write_text(json.dumps(LLAMA))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(__file__).parents[3] / "models/nano" / name, folder / "base")
    randomness = random.Random(2)
    for split, count in (("train", 21), ("valid", 5)):
        writer = token_file.TokenWriter()
        for line in range(1, count + 1):
            ids = [randomness.randrange(64) for _ in range(randomness.choice((6, 11, 30, 60)))]
            writer.add(line, TokenizedRow(ids, [position % 3 == 0 for position in range(len(ids))]))
        writer.save(folder / f"tokens/{split}.safetensors")
    return folder


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


def train(inputs: Path, folder: Path, adapter: Adapter, *kills: int) -> dict[str, bytes]:
    """Return the files of an adapter whose training is killed after each number of events, then runs to its end."""
    job = train_job(inputs, folder, adapter)
    for events in kills:
        shutil.rmtree(job.out)
        Path(job.out).mkdir()
        with suppress(Killed):  # or it ends before
            process.run(job, kill_after(events))
    process.run(job, ignore)
    return {path.name: path.read_bytes() for path in Path(job.out).iterdir()}


def events(files: dict[str, bytes], tag: str) -> list[dict]:
    return [event for line in files["metrics.jsonl"].splitlines() if (event := json.loads(line))["event"] == tag]


# resumed trainings


VARIANTS = {
    "defaults": {},
    "many settings": {
        "lora": Lora(rank=2, dropout=0.2),
        "grad_accumulation_steps": 2,
        "warmup": 2,
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
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_killed_and_resumed_training_writes_the_bytes_of_an_uninterrupted_one(inputs, tmp_path, changes):
    uninterrupted = train(inputs, tmp_path / "uninterrupted", spec(**changes))
    randomness = random.Random(str(changes))
    kills = [1, *(randomness.randint(2, 14) for _ in range(4))]
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
        (saved / "000099.new").mkdir,
        lambda: [truncate(file) for file in saved.glob("*/state.safetensors")],
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


def test_trainings_with_one_checkpoint_key_differ_in_their_length_alone():
    from punie_build.storage.locks import KeyInputs

    def key(adapter: Adapter, **digests: str) -> str:
        recipe = msgspec.to_builtins(adapter)
        return checkpoint_key(KeyInputs(kind="adapter", recipe=recipe, code="", inputs=digests, tools={}), adapter)

    assert key(spec(iters=5)) == key(spec(iters=9)) == key(spec(iters=None, epochs=2.0)) == key(spec(early_stop=3))
    assert key(spec(iters=5)) != key(spec(iters=5, seed=1))
    assert key(spec(iters=5)) != key(spec(iters=5), tokens="other")
    decay = CosineDecay()
    assert key(spec(iters=5, lr_schedule=decay)) != key(spec(iters=9, lr_schedule=decay))
    assert key(spec(iters=5, lr_schedule=CosineDecay(steps=9))) == key(spec(iters=9, lr_schedule=CosineDecay(steps=9)))


# results


@pytest.mark.slow
def test_the_best_weights_are_published_or_the_last_with_both_losses(inputs, tmp_path):
    harmful = {"learning_rate": 0.5, "iters": 16}
    best = train(inputs, tmp_path / "best", spec(**harmful))
    losses = {event["iteration"]: event["loss"] for event in events(best, "valid")}
    [end] = events(best, "end")
    assert losses[end["iteration"]] == end["valid_loss"] == min(loss for iteration, loss in losses.items() if iteration)
    assert (end["published"], end["valid_loss_last"]) == ("best", losses[16])
    config = json.loads(best["adapter_config.json"])
    assert (config["published"], config["valid_loss"]) == ("best", end["valid_loss"])
    last = train(inputs, tmp_path / "last", spec(keep="last", **harmful))
    assert events(last, "end")[0]["valid_loss"] == losses[16]
    assert last["adapters.safetensors"] != best["adapters.safetensors"]


def test_an_accumulated_update_weighs_all_tokens_of_its_batches_equally(inputs, tmp_path):
    """Two accumulated batches give the update of one batch with the rows of both."""
    adapter = spec(iters=4, batch_size=2, grad_accumulation_steps=2, batching="file", keep="last", optimizer=Sgd())
    train(inputs, tmp_path / "accumulated", adapter)
    train(
        inputs, tmp_path / "single", msgspec.structs.replace(adapter, iters=2, batch_size=4, grad_accumulation_steps=1)
    )
    accumulated, single = (
        load_arrays(str(tmp_path / name / "out/adapters.safetensors")) for name in ("accumulated", "single")
    )
    assert all(mx.allclose(accumulated[name], single[name], rtol=1e-4, atol=1e-7) for name in accumulated)
    assert any(mx.abs(value).max() > 0 for name, value in accumulated.items() if name.endswith("lora_b"))


def test_gradient_checkpointing_does_not_change_the_adapter(inputs, tmp_path):
    plain, checkpointed = (
        train(inputs, tmp_path / str(value), spec(iters=2, steps_per_eval=2, grad_checkpoint=value))
        for value in (False, True)
    )
    assert plain["adapters.safetensors"] == checkpointed["adapters.safetensors"]


def test_a_loss_that_is_not_finite_exits_with_iteration_rows_and_advice(inputs, tmp_path):
    with pytest.raises(SystemExit) as exit_:
        train(
            inputs,
            tmp_path,
            spec(learning_rate=1.0, optimizer=Sgd(), lora=Lora(scale=1e20), iters=30, steps_per_eval=30),
        )
    assert "punie: iteration " in str(exit_.value)
    assert "of train.jsonl) - lower learning_rate (1), add warmup, or inspect these rows" in str(exit_.value)
    assert not (tmp_path / "out/adapters.safetensors").exists()


def test_the_validation_loss_is_that_of_the_model_over_all_rows(inputs, tmp_path):
    files = train(inputs, tmp_path, spec(iters=1, batch_size=2))
    model, _ = load_trainable(spec(), str(inputs / "base"), 21)
    rows, total, count = token_file.load(inputs / "tokens/valid.safetensors"), 0.0, 0
    for index in range(len(rows)):
        ids, mask = rows.row(index)
        losses = nn.losses.cross_entropy(model(mx.array(ids[:-1])[None])[0], mx.array(ids[1:]))
        total, count = total + float((losses * mx.array(mask[1:])).sum()), count + int(mask[1:].sum())
    assert events(files, "valid")[0]["loss"] == pytest.approx(total / count, abs=1e-5)


# incompatible settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 99}, "num_layers 99: the base has 2 layers - use -1 for all"),
        ({"lora": Lora(rank=33)}, "lora.rank 33: the widest module has width 32, which no rank can exceed - lower it"),
        (
            {"lora": Lora(keys=("self_attn.q",))},
            "lora.keys: the base has no module 'self_attn.q' - did you mean 'self_attn.q_proj'?",
        ),
        ({"batch_size": 22}, "batch_size 22: there are 21 training rows - lower it, or add data"),
        ({"ranks": 5}, "batch_size 4: 5 processes share a batch, and some would get no row - raise it"),
    ],
)
def test_settings_that_the_base_or_the_data_do_not_allow_end_the_training(inputs, tmp_path, changes, message):
    with pytest.raises(SystemExit) as exit_:
        process.run(train_job(inputs, tmp_path, spec(**changes)), ignore)
    assert str(exit_.value) == f"punie: {message}"


def test_all_incompatible_settings_are_reported_at_once():
    adapter = spec(num_layers=5, lora=Lora(rank=99), batch_size=50)
    problems = incompatibilities(adapter, BaseFacts(layers=2, widths={"q": 8}, rows=20))
    assert [problem.partition(" ")[0] for problem in problems] == ["num_layers", "lora.rank", "batch_size"]
    assert incompatibilities(adapter, BaseFacts()) == []


def test_full_training_of_a_quantized_base_is_incompatible(inputs):
    model, _ = load_trainable(spec(num_layers=1), str(inputs / "base"), 21)
    full = spec(fine_tune_type="full")
    assert incompatibilities(full, base_facts(model, 21)) == []
    nn.quantize(model, group_size=32, bits=4, class_predicate=lambda name, module: isinstance(module, nn.Linear))
    assert "the weights of a quantized base cannot be trained" in incompatibilities(full, base_facts(model, 21))[0]
    assert base_facts(model, 21).widths["self_attn.q_proj"] == 32


# parity with mlx-lm and mlx


def test_every_option_of_mlx_lm_is_a_field_or_listed_as_left_out():
    ours = {field.name for field in msgspec.structs.fields(Adapter)} | {"model", "optimizer_config", "lora_parameters"}
    elsewhere = {
        "train", "test", "test_batches", "config", "adapter_path",  # options of the command
        "resume_adapter_file",  # resumed from checkpoints
        "clear_cache_threshold",  # mlx-lm never reads it
        "mask_prompt",  # mask
        "trust_remote_code",  # never
    }  # fmt: skip
    assert set(CONFIG_DEFAULTS) == (set(CONFIG_DEFAULTS) & ours) | elsewhere
    defaults, own = (
        Adapter(base="b", data="d"),
        {"num_layers": -1, "learning_rate": 1e-4, "steps_per_eval": 100, "val_batches": -1},
    )
    for name in (
        "seed",
        "batch_size",
        "steps_per_report",
        "save_every",
        "max_seq_length",
        "grad_checkpoint",
        "grad_accumulation_steps",
    ):
        assert getattr(defaults, name) == CONFIG_DEFAULTS[name], name
    assert all(getattr(defaults, name) == value != CONFIG_DEFAULTS[name] for name, value in own.items())
    lora = CONFIG_DEFAULTS["lora_parameters"]
    assert {name: getattr(defaults.lora, name) for name in lora} == lora
    assert set(CONFIG_DEFAULTS["optimizer_config"]) == {"adam", "adamw", "muon", "sgd", "adafactor"}


@pytest.mark.parametrize("kind", [Adam, Adamw, Muon, Sgd, Adafactor])
def test_optimizers_have_the_fields_and_defaults_of_mlx(kind):
    import inspect

    theirs = dict(inspect.signature(CLASSES.get(kind, optimizers.Adam).__init__).parameters)
    theirs = {name: parameter.default for name, parameter in theirs.items() if name not in ("self", "learning_rate")}
    ours = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert set(ours) == set(theirs)
    own = {"bias_correction": True, "relative_step": False} | ({"momentum": 0.0} if kind is Sgd else {})
    for name, value in ours.items():
        default = tuple(theirs[name]) if isinstance(theirs[name], list) else theirs[name]
        assert value == own.get(name, default), name


def test_the_learning_rate_follows_warmup_and_schedule():
    def rates(*updates: int, **changes: Any) -> list[float]:
        rate = learning_rate_schedule(spec(learning_rate=1.0, **changes), 10)
        return [round(float(rate(mx.array(update)) if callable(rate) else rate), 4) for update in updates]

    assert rates(0, 9) == [1.0, 1.0]
    assert rates(0, 1, 2, 9, warmup=2) == [0.0, 0.5, 1.0, 1.0]
    assert rates(0, 1, 2, 6, 10, warmup=2, warmup_init=0.5, lr_schedule=CosineDecay()) == [0.5, 0.75, 1.0, 0.5, 0.0]
    assert rates(0, 1, 2, 4, lr_schedule=StepDecay(rate=0.5, every=2)) == [1.0, 1.0, 0.5, 0.25]


# sparse logits, packing, collating


@pytest.mark.parametrize("tied", [True, False])
def test_sparse_logits_are_the_full_logits_at_their_positions(tied):
    mx.random.seed(3)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA | {"tie_word_embeddings": tied}))
    ids, positions = mx.random.randint(0, 64, (3, 20)), mx.array([0, 7, 19, 20, 59])
    full = model(ids).reshape(-1, 64)[positions]
    names = [name for name, _ in tree_flatten(model.parameters())]
    sparse = SparseLogits(model, ids[0])
    assert sparse.sparse
    assert mx.allclose(sparse(ids, positions), full, atol=1e-5)
    assert [name for name, _ in tree_flatten(model.parameters())] == names


class GlobalHead(nn.Module):
    """A model whose head depends on all positions at once, which rules out sparse logits."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(64, 8)
            self.layers = [nn.Linear(8, 8)]

        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            return self.layers[0](self.embed(inputs))

    def __init__(self) -> None:
        super().__init__()
        self.model = GlobalHead.Inner()

    @property
    def layers(self) -> list[nn.Module]:
        return self.model.layers

    def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
        hidden = self.model(inputs)
        return self.model.embed.as_linear(hidden - hidden.mean(axis=1, keepdims=True))


def test_a_model_without_sparse_logits_computes_all_positions():
    model = GlobalHead()
    ids, positions = mx.array([[1, 2, 3, 4, 5, 6]]), mx.array([1, 4])
    full = model(ids)[0][positions]
    sparse = SparseLogits(model, ids[0])
    assert not sparse.sparse
    assert mx.allclose(sparse(ids, positions), full)


@pytest.fixture
def rows(inputs) -> token_file.TokenRows:
    return token_file.load(inputs / "tokens/train.safetensors")


def test_packed_rows_have_the_logits_of_single_rows(rows):
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    model.eval()
    assert sequence_packing.is_exact(model, rows)
    sampler = BatchSampler(batching="pack", batch_tokens=128)
    batch = next(batch for batch in sampler.epoch(rows.lengths, 0) if len(batch[0]) > 2)
    arrays = collate(rows, batch)
    packed = model(arrays.inputs, cache=sequence_packing.packing_caches(model, arrays.segments))[0]
    start = 0
    for row in batch[0]:
        ids = rows.row(row)[0]
        assert mx.allclose(packed[start : start + len(ids) - 1], model(mx.array(ids[:-1])[None])[0], atol=1e-4)
        start += len(ids) - 1


def test_the_shares_of_all_ranks_make_up_the_batch(rows):
    batch = BatchSampler(batch_size=5).epoch(rows.lengths, 0)[0]
    full, shares = collate(rows, batch), [collate(rows, batch, rank, 3) for rank in range(3)]
    assert sum(share.inputs.shape[0] for share in shares) == full.inputs.shape[0] == 5
    assert sum(float(share.weights.sum()) for share in shares) == float(full.weights.sum())
    idle = collate(rows, batch[:1], 1, 2)
    assert float(idle.weights.sum()) == 0
    targets = np.array(full.targets)[np.array(full.weights) > 0]
    trained = (ids[1:][mask[1:] > 0] for ids, mask in (rows.row(row) for [row] in batch))
    assert sorted(targets) == sorted(int(target) for targets in trained for target in targets)


def test_a_state_space_model_is_not_packed(rows):
    """Its state carries every token to all later tokens, across the border of two rows."""
    ssm = mamba2.ModelArgs(
        model_type="mamba2", num_heads=4, head_dim=16, vocab_size=64, hidden_size=32, intermediate_size=64, state_size=8,
        num_hidden_layers=2, layer_norm_epsilon=1e-5, conv_kernel=4, n_groups=1, use_bias=False, use_conv_bias=True,
        tie_word_embeddings=True, time_step_limit=(0.0, 100.0), time_step_rank=4,
    )  # fmt: skip
    model = mamba2.Model(ssm)
    model.eval()
    rows = token_file.TokenRows(
        ids=rows.ids[:24], loss_mask=rows.loss_mask[:24], ends=np.array([6, 12, 24]), lines=rows.lines[:3]
    )
    assert not sequence_packing.is_exact(model, rows)


@pytest.mark.slow
def test_packing_keeps_the_sliding_windows_of_a_model(rows):
    window = {"model_type": "gemma3_text", "head_dim": 16, "num_key_value_heads": 1, "sliding_window": 8}
    model = gemma3_text.Model(gemma3_text.ModelArgs.from_dict(SIZES | window | {"sliding_window_pattern": 2}))
    model.eval()
    assert sequence_packing.is_exact(model, rows)


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


# trackers


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


def test_a_tracker_that_is_not_installed_is_reported_before_training(inputs, tmp_path):
    if find_spec("swanlab"):
        pytest.skip("it is installed")
    with pytest.raises(ModelError, match="report_to: swanlab not installed - pip install swanlab, or remove it"):
        launch.train(training_run(inputs, tmp_path, spec(report_to=("swanlab",))))


# several processes


@pytest.mark.slow
def test_two_ranks_have_the_losses_of_one(inputs, tmp_path):
    """With mlx's own launcher on loopback: the same rows in the same order, with equal weights."""
    launch.train(training_run(inputs, tmp_path, spec(ranks=2, iters=6, grad_accumulation_steps=2)))
    both = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    single = train(inputs, tmp_path / "single", spec(iters=6, grad_accumulation_steps=2))
    losses = [[event["loss"] for event in events(files, "valid")] for files in (both, single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
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
