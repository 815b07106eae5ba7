"""One training after another of a very small model, in this process: what is learnt, that a killed one ends the same, what is refused.

The model is a random llama of two layers, the rows are random tokens: nothing here depends on what is learnt, all on how.
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
from collections.abc import Callable
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
from punie_build.training.batch_sampler import Order
from punie_build.training.compatibility import Known, refusals
from punie_build.training.launch import Job, identity
from punie_build.training.loop import process, sequence_packing
from punie_build.training.loop.collate import feed
from punie_build.training.loop.lora import adapted, known
from punie_build.training.loop.optimizer import CLASSES, arrays, schedule
from punie_build.training.loop.sparse_logits import Picked
from punie_build.training.loop.trackers import Followers
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
from punie_build.training.tokenization import Tokens

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 2, "vocab_size": 64}
LLAMA = SIZES | {"model_type": "llama", "rms_norm_eps": 1e-6, "num_key_value_heads": 2, "tie_word_embeddings": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A base in `base`, and in `tokens` 21 training and 5 validation rows of 6 to 60 tokens, a third of them learnt."""
    place = tmp_path_factory.mktemp("training")
    (place / "base").mkdir()
    (place / "tokens").mkdir()
    mx.random.seed(1)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    mx.save_safetensors(
        str(place / "base/model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    (place / "base/config.json").write_text(json.dumps(LLAMA))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(__file__).parents[3] / "models/nano" / name, place / "base")
    chance = random.Random(2)
    for side, count in (("train", 21), ("valid", 5)):
        written = token_file.Writer()
        for line in range(1, count + 1):
            ids = [chance.randrange(64) for _ in range(chance.choice((6, 11, 30, 60)))]
            written.add(line, Tokens(ids, [at % 3 == 0 for at in range(len(ids))]))
        written.save(place / f"tokens/{side}.safetensors")
    return place


def spec(**more: Any) -> Adapter:
    given = {"iters": 12, "learning_rate": 1e-2, "steps_per_eval": 4, "steps_per_report": 3, "save_every": 3} | more
    return Adapter(base="b", data="d", **given)


def job(place: Path, folder: Path, wanted: Adapter) -> Job:
    for name in ("out", "kept"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = {"base": place / "base", "tokens": place / "tokens", "out": folder / "out", "kept": folder / "kept"}
    more = {"progress": folder / "progress.json", "board": folder / "board"}
    return Job(spec=wanted, **{name: str(each) for name, each in (places | more).items()})


class Killed(BaseException):
    """What a kill is to a process that can look at itself."""


def dies(after: int) -> Callable[[str, dict], None]:
    """A watch that ends everything at so many events."""
    left = [after]

    def watch(_kind: str, _facts: dict) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed

    return watch


def quiet(_kind: str, _facts: dict) -> None:
    """Nobody looks."""


def made(place: Path, folder: Path, wanted: Adapter, *kills: int) -> dict[str, bytes]:
    """What a training publishes that is killed after so many events, again and again, and then left alone."""
    asked = job(place, folder, wanted)
    for after in kills:
        shutil.rmtree(asked.out)
        Path(asked.out).mkdir()
        with suppress(Killed):  # or it comes to its end before
            process.run(asked, dies(after))
    process.run(asked, quiet)
    return {path.name: path.read_bytes() for path in Path(asked.out).iterdir()}


def events(files: dict[str, bytes], kind: str) -> list[dict]:
    return [event for line in files["metrics.jsonl"].splitlines() if (event := json.loads(line))["event"] == kind]


# going on


KINDS = {
    "as it comes": {},
    "all at once": {
        "lora": Lora(rank=2, dropout=0.2),
        "grad_accumulation_steps": 2,
        "warmup": 2,
        "lr_schedule": CosineDecay(end=1e-4),
        "optimizer": Adamw(weight_decay=0.1),
    },
    "an update that is not whole": {"grad_accumulation_steps": 5, "save_every": 2},
    "dora": {"fine_tune_type": "dora", "optimizer": Muon(), "batching": "tokens", "batch_tokens": 128},
    "full": {
        "fine_tune_type": "full",
        "num_layers": 1,
        "optimizer": Adafactor(),
        "batching": "pack",
        "batch_tokens": 128,
    },
    "the last": {
        "keep": "last",
        "optimizer": Sgd(momentum=0.9),
        "lr_schedule": StepDecay(rate=0.5, every=2),
        "batching": "file",
    },
    "stopped early": {"learning_rate": 0.5, "iters": 40, "early_stop": 2, "steps_per_eval": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS.keys())
def test_a_training_that_was_killed_ends_with_the_bytes_of_one_that_was_not(place, tmp_path, more):
    whole = made(place, tmp_path / "whole", spec(**more))
    chance = random.Random(str(more))
    assert made(place, tmp_path / "killed", spec(**more), 1, *(chance.randint(2, 14) for _ in range(4))) == whole
    asked = job(place, tmp_path / "killed", spec(**more))
    assert list(verify.adapter(Path(asked.out), asked.spec, place / "base")) == []


@pytest.mark.slow
def test_what_is_half_written_rotten_or_gone_costs_only_time(place, tmp_path):
    wanted = spec(learning_rate=0.3, iters=8)
    whole = made(place, tmp_path / "whole", wanted)
    folder = tmp_path / "hurt"
    kept = folder / "kept"

    def cut(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:-100])

    for hurt in (
        (kept / "000099.new").mkdir,
        lambda: [cut(file) for file in kept.glob("*/state.safetensors")],
        lambda: [file.write_text("{") for file in kept.glob("*/state.json")],
        lambda: [file.unlink() for file in kept.glob("best-*")],
        lambda: shutil.rmtree(kept),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        with pytest.raises(Killed):
            process.run(job(place, folder, wanted), dies(11))
        hurt()
        assert made(place, folder, wanted) == whole


@pytest.mark.slow
def test_more_iterations_go_on_from_the_end_and_give_what_they_give_at_once(place, tmp_path):
    made(place, tmp_path / "grown", spec(iters=7))
    seen: list[int] = []
    process.run(
        job(place, tmp_path / "grown", spec(iters=12)),
        lambda kind, facts: seen.append(facts["iteration"]) if kind == "batch" else None,
    )
    assert seen == list(range(8, 13))
    grown = {path.name: path.read_bytes() for path in (tmp_path / "grown/out").iterdir()}
    assert grown == made(place, tmp_path / "once", spec(iters=12))


@pytest.mark.slow
def test_fewer_iterations_or_less_patience_do_not_take_what_lies_behind_their_end(place, tmp_path):
    wanted = {"learning_rate": 0.5, "steps_per_eval": 2}
    made(place, tmp_path / "long", spec(iters=20, **wanted))
    shutil.copytree(tmp_path / "long", tmp_path / "patient")
    assert made(place, tmp_path / "long", spec(iters=6, **wanted)) == made(
        place, tmp_path / "a", spec(iters=6, **wanted)
    )
    stops = spec(iters=20, early_stop=2, **wanted)
    ended = made(place, tmp_path / "b", stops)
    assert events(ended, "end")[0]["iterations"] < 20
    assert made(place, tmp_path / "patient", stops) == ended


def test_trainings_of_one_identity_differ_in_how_long_they_are_alone():
    from punie_build.storage.locks import KeyInputs

    def of(wanted: Adapter, **inputs: str) -> str:
        recipe = msgspec.to_builtins(wanted)
        return identity(KeyInputs(kind="adapter", recipe=recipe, code="", inputs=inputs, tools={}), wanted)

    assert of(spec(iters=5)) == of(spec(iters=9)) == of(spec(iters=None, epochs=2.0)) == of(spec(early_stop=3))
    assert of(spec(iters=5)) != of(spec(iters=5, seed=1))
    assert of(spec(iters=5)) != of(spec(iters=5), tokens="other")
    falling = CosineDecay()
    assert of(spec(iters=5, lr_schedule=falling)) != of(spec(iters=9, lr_schedule=falling))
    assert of(spec(iters=5, lr_schedule=CosineDecay(steps=9))) == of(spec(iters=9, lr_schedule=CosineDecay(steps=9)))


# what comes out


@pytest.mark.slow
def test_the_best_is_published_with_both_losses_and_the_last_where_that_is_asked(place, tmp_path):
    harmful = {"learning_rate": 0.5, "iters": 16}
    best = made(place, tmp_path / "best", spec(**harmful))
    losses = {event["iteration"]: event["loss"] for event in events(best, "valid")}
    [end] = events(best, "end")
    assert losses[end["iteration"]] == end["valid_loss"] == min(loss for at, loss in losses.items() if at)
    assert (end["published"], end["valid_loss_last"]) == ("best", losses[16])
    config = json.loads(best["adapter_config.json"])
    assert (config["published"], config["valid_loss"]) == ("best", end["valid_loss"])
    last = made(place, tmp_path / "last", spec(keep="last", **harmful))
    assert events(last, "end")[0]["valid_loss"] == losses[16]
    assert last["adapters.safetensors"] != best["adapters.safetensors"]


def test_an_update_weighs_all_tokens_of_its_batches_alike(place, tmp_path):
    """Two batches accumulated are the batch of both."""
    alone = spec(iters=4, batch_size=2, grad_accumulation_steps=2, batching="file", keep="last", optimizer=Sgd())
    one, two = (
        made(place, tmp_path / name, wanted)
        for name, wanted in (
            ("two", alone),
            ("one", msgspec.structs.replace(alone, iters=2, batch_size=4, grad_accumulation_steps=1)),
        )
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors").write_bytes((one if name == "one" else two)["adapters.safetensors"])
    a, b = (arrays(str(tmp_path / f"{name}.safetensors")) for name in ("one", "two"))
    assert all(mx.allclose(a[name], b[name], rtol=1e-4, atol=1e-7) for name in a)
    assert any(mx.abs(value).max() > 0 for name, value in a.items() if name.endswith("lora_b"))


def test_less_memory_for_more_time_changes_nothing(place, tmp_path):
    plain, checkpointed = (
        made(place, tmp_path / str(value), spec(iters=2, steps_per_eval=2, grad_checkpoint=value))
        for value in (False, True)
    )
    assert plain["adapters.safetensors"] == checkpointed["adapters.safetensors"]


def test_a_loss_that_is_no_number_ends_it_with_step_rows_and_what_to_try(place, tmp_path):
    with pytest.raises(SystemExit) as ended:
        made(
            place,
            tmp_path,
            spec(learning_rate=1.0, optimizer=Sgd(), lora=Lora(scale=1e20), iters=30, steps_per_eval=30),
        )
    assert "punie: iteration " in str(ended.value)
    assert "of train.jsonl) - lower learning_rate (1), add warmup, or look at these rows" in str(ended.value)
    assert not (tmp_path / "out/adapters.safetensors").exists()


def test_losses_are_those_of_the_model_over_all_rows(place, tmp_path):
    files = made(place, tmp_path, spec(iters=1, batch_size=2))
    model, _ = adapted(spec(), str(place / "base"), 21)
    rows, total, count = token_file.load(place / "tokens/valid.safetensors"), 0.0, 0
    for index in range(len(rows)):
        ids, learnt = rows.row(index)
        losses = nn.losses.cross_entropy(model(mx.array(ids[:-1])[None])[0], mx.array(ids[1:]))
        total, count = total + float((losses * mx.array(learnt[1:])).sum()), count + int(learnt[1:].sum())
    assert events(files, "valid")[0]["loss"] == pytest.approx(total / count, abs=1e-5)


# what is refused


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"num_layers": 99}, "num_layers 99: the base has 2 layers - use -1 for all"),
        ({"lora": Lora(rank=33)}, "lora.rank 33: the widest module is 32 wide, and no rank is above that - lower it"),
        (
            {"lora": Lora(keys=("self_attn.q",))},
            "lora.keys: the base has no module 'self_attn.q' - did you mean 'self_attn.q_proj'?",
        ),
        ({"batch_size": 22}, "batch_size 22: there are 21 training rows - lower it, or add data"),
        ({"ranks": 5}, "batch_size 4: 5 processes share a batch, and some would have nothing to do - raise it"),
    ],
)
def test_what_a_base_or_its_data_cannot_give_is_said_before_training(place, tmp_path, more, told):
    with pytest.raises(SystemExit) as ended:
        process.run(job(place, tmp_path, spec(**more)), quiet)
    assert str(ended.value) == f"punie: {told}"


def test_everything_that_is_wrong_is_said_at_once():
    wanted = spec(num_layers=5, lora=Lora(rank=99), batch_size=50)
    told = refusals(wanted, Known(layers=2, widths={"q": 8}, rows=20))
    assert [line.partition(" ")[0] for line in told] == ["num_layers", "lora.rank", "batch_size"]
    assert refusals(wanted, Known()) == []


def test_a_quantised_base_is_not_trained_whole(place):
    model, _ = adapted(spec(num_layers=1), str(place / "base"), 21)
    whole = spec(fine_tune_type="full")
    assert refusals(whole, known(model, 21)) == []
    nn.quantize(model, group_size=32, bits=4, class_predicate=lambda name, module: isinstance(module, nn.Linear))
    assert "is quantised, its weights cannot be trained" in refusals(whole, known(model, 21))[0]
    assert known(model, 21).widths["self_attn.q_proj"] == 32


# what mlx-lm and mlx have, we have


def test_every_knob_of_mlx_lm_is_a_field_or_has_its_place():
    ours = {field.name for field in msgspec.structs.fields(Adapter)} | {"model", "optimizer_config", "lora_parameters"}
    elsewhere = {
        "train", "test", "test_batches", "config", "adapter_path",  # what to do, and where
        "resume_adapter_file",  # checkpoints do that
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
def test_optimisers_have_the_fields_and_the_defaults_of_mlx(kind):
    import inspect

    theirs = dict(inspect.signature(CLASSES.get(kind, optimizers.Adam).__init__).parameters)
    theirs = {name: each.default for name, each in theirs.items() if name not in ("self", "learning_rate")}
    ours = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert set(ours) == set(theirs)
    own = {"bias_correction": True, "relative_step": False} | ({"momentum": 0.0} if kind is Sgd else {})
    for name, value in ours.items():
        theirs_too = tuple(theirs[name]) if isinstance(theirs[name], list) else theirs[name]
        assert value == own.get(name, theirs_too), name


def test_the_rate_rises_and_falls_as_the_recipe_says():
    def rates(*at: int, **more: Any) -> list[float]:
        rate = schedule(spec(learning_rate=1.0, **more), 10)
        return [round(float(rate(mx.array(each)) if callable(rate) else rate), 4) for each in at]

    assert rates(0, 9) == [1.0, 1.0]
    assert rates(0, 1, 2, 9, warmup=2) == [0.0, 0.5, 1.0, 1.0]
    assert rates(0, 1, 2, 6, 10, warmup=2, warmup_init=0.5, lr_schedule=CosineDecay()) == [0.5, 0.75, 1.0, 0.5, 0.0]
    assert rates(0, 1, 2, 4, lr_schedule=StepDecay(rate=0.5, every=2)) == [1.0, 1.0, 0.5, 0.25]


# packing and picking


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_chosen_places_are_those_of_the_whole(tied):
    mx.random.seed(3)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA | {"tie_word_embeddings": tied}))
    ids, places = mx.random.randint(0, 64, (3, 20)), mx.array([0, 7, 19, 20, 59])
    whole = model(ids).reshape(-1, 64)[places]
    names = [name for name, _ in tree_flatten(model.parameters())]
    picked = Picked(model, ids[0])
    assert picked.early
    assert mx.allclose(picked(ids, places), whole, atol=1e-5)
    assert [name for name, _ in tree_flatten(model.parameters())] == names


class Odd(nn.Module):
    """A model whose head looks at all places at once: it cannot be asked for some."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(64, 8)
            self.layers = [nn.Linear(8, 8)]

        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            return self.layers[0](self.embed(inputs))

    def __init__(self) -> None:
        super().__init__()
        self.model = Odd.Inner()

    @property
    def layers(self) -> list[nn.Module]:
        return self.model.layers

    def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
        hidden = self.model(inputs)
        return self.model.embed.as_linear(hidden - hidden.mean(axis=1, keepdims=True))


def test_a_model_that_cannot_be_asked_for_some_places_is_asked_for_all():
    model = Odd()
    ids, places = mx.array([[1, 2, 3, 4, 5, 6]]), mx.array([1, 4])
    whole = model(ids)[0][places]
    picked = Picked(model, ids[0])
    assert not picked.early
    assert mx.allclose(picked(ids, places), whole)


@pytest.fixture
def rows(place) -> token_file.Rows:
    return token_file.load(place / "tokens/train.safetensors")


def test_rows_in_one_sequence_have_the_losses_that_they_have_alone(rows):
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    model.eval()
    assert sequence_packing.exact(model, rows)
    batch = next(batch for batch in Order(how="pack", tokens=128).epoch(rows.lengths, 0) if len(batch[0]) > 2)
    fed = feed(rows, batch)
    together = model(fed.inputs, cache=sequence_packing.blind(model, fed.segments))[0]
    at = 0
    for row in batch[0]:
        ids = rows.row(row)[0]
        assert mx.allclose(together[at : at + len(ids) - 1], model(mx.array(ids[:-1])[None])[0], atol=1e-4)
        at += len(ids) - 1


def test_what_each_rank_is_fed_is_a_batch_together(rows):
    batch = Order(rows=5).epoch(rows.lengths, 0)[0]
    whole, shares = feed(rows, batch), [feed(rows, batch, rank, 3) for rank in range(3)]
    assert sum(share.inputs.shape[0] for share in shares) == whole.inputs.shape[0] == 5
    assert sum(float(share.weights.sum()) for share in shares) == float(whole.weights.sum())
    idle = feed(rows, batch[:1], 1, 2)
    assert float(idle.weights.sum()) == 0
    targets = np.array(whole.targets)[np.array(whole.weights) > 0]
    assert sorted(targets) == sorted(
        int(t) for row in batch for t in rows.row(row[0])[0][1:][rows.row(row[0])[1][1:] > 0]
    )


def test_a_model_with_a_memory_of_its_own_is_not_packed(rows):
    """Of a state-space model each token is part of all that follow."""
    ssm = mamba2.ModelArgs(
        model_type="mamba2", num_heads=4, head_dim=16, vocab_size=64, hidden_size=32, intermediate_size=64, state_size=8,
        num_hidden_layers=2, layer_norm_epsilon=1e-5, conv_kernel=4, n_groups=1, use_bias=False, use_conv_bias=True,
        tie_word_embeddings=True, time_step_limit=(0.0, 100.0), time_step_rank=4,
    )  # fmt: skip
    model = mamba2.Model(ssm)
    model.eval()
    rows = token_file.Rows(ids=rows.ids[:24], learnt=rows.learnt[:24], ends=np.array([6, 12, 24]), lines=rows.lines[:3])
    assert not sequence_packing.exact(model, rows)


@pytest.mark.slow
def test_of_a_model_with_windows_the_mask_keeps_them(rows):
    window = {"model_type": "gemma3_text", "head_dim": 16, "num_key_value_heads": 1, "sliding_window": 8}
    model = gemma3_text.Model(gemma3_text.ModelArgs.from_dict(SIZES | window | {"sliding_window_pattern": 2}))
    model.eval()
    assert sequence_packing.exact(model, rows)


def test_only_the_latest_checkpoint_and_the_best_weights_are_kept(place, tmp_path):
    made(place, tmp_path, spec(learning_rate=0.5))
    state = next(state for _, state in checkpoints.held(tmp_path / "kept", lambda _: True))
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == ["000012", f"best-{state.best:06}.safetensors"]


def test_checkpoints_that_nobody_went_on_with_are_swept(place, tmp_path):
    for name in ("old", "new"):
        made(place, tmp_path / name, spec(iters=3))
        (tmp_path / name / "kept").rename(tmp_path / f"kept-{name}")
        (tmp_path / "all").mkdir(exist_ok=True)
        (tmp_path / f"kept-{name}").rename(tmp_path / "all" / name)
    os.utime(tmp_path / "all/old", (0, 0))
    assert checkpoints.sweep(tmp_path / "all", 30, dry=True)[0] == 1
    count, freed = checkpoints.sweep(tmp_path / "all", 30)
    assert count == 1
    assert freed > 1000
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["new"]


# who follows


@pytest.mark.slow
def test_a_tracker_is_told_what_metrics_say_and_changes_nothing(place, tmp_path):
    pytest.importorskip("tensorboardX")
    wanted = spec(report_to=("tensorboard",))
    asked = job(place, tmp_path / "told", wanted)
    process.main(asked)
    [file] = (tmp_path / "told/board").iterdir()
    assert all(name in file.read_bytes() for name in (b"train/loss", b"valid/loss", b"train/learning_rate"))
    made(place, tmp_path / "untold", spec())
    for name in ("adapters.safetensors", "metrics.jsonl", "adapter_config.json"):
        assert (tmp_path / "told/out" / name).read_bytes() == (tmp_path / "untold/out" / name).read_bytes()
    told = json.loads((tmp_path / "told/progress.json").read_text())
    assert told["iteration"] == 12
    assert told["tokens_per_second"] > 0


def test_a_tracker_that_fails_is_said_once_and_training_goes_on(tmp_path, capsys):
    with Followers(spec(), tmp_path) as followers:
        followers.tells.append(("swanlab", lambda _numbers, _at: 1 / 0))
        followers.tell("train", {"iteration": 1, "loss": 2.0})
        followers.tell("train", {"iteration": 2, "loss": 2.0})
    assert capsys.readouterr().out == "punie-build: swanlab is told nothing: division by zero\n"


def test_a_tracker_that_is_not_installed_is_said_before_training(place, tmp_path):
    if find_spec("swanlab"):
        pytest.skip("it is installed")
    places = {name: place / name for name in ("base", "tokens")} | {
        name: tmp_path / name for name in ("out", "kept", "log")
    }
    with pytest.raises(ModelError, match="report_to: swanlab not installed - pip install swanlab, or take it out"):
        launch.train(launch.Training(root=tmp_path, spec=spec(report_to=("swanlab",)), **places))


# several processes


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns(place, tmp_path):
    """Under mlx's own launcher, on loopback: the same rows in the same order, weighed alike."""
    wanted = spec(ranks=2, iters=6, grad_accumulation_steps=2)
    places = {"base": place / "base", "tokens": place / "tokens", "out": tmp_path / "out", "kept": tmp_path / "kept"}
    for name in ("out", "kept"):
        places[name].mkdir()
    launch.train(launch.Training(root=tmp_path, spec=wanted, log=tmp_path / "training.log", **places))
    both = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    alone = made(place, tmp_path / "alone", spec(iters=6, grad_accumulation_steps=2))
    losses = [[event["loss"] for event in events(each, "valid")] for each in (both, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pgrep"), reason="needs pgrep")
def test_a_rank_that_is_killed_ends_the_training_in_a_sentence(place, tmp_path):
    folders = {each: tmp_path / each for each in ("out", "kept")}
    for folder in folders.values():
        folder.mkdir()
    endless = launch.Training(
        root=tmp_path,
        base=place / "base",
        tokens=place / "tokens",
        spec=spec(ranks=2, iters=20_000),
        log=tmp_path / "t.log",
        **folders,
    )

    def kill() -> None:
        while not (tmp_path / "progress.json").exists():
            time.sleep(0.05)
        found = subprocess.run(
            ["pgrep", "-f", f"punie_build.training.loop.process {tmp_path}"], capture_output=True, text=True
        )
        os.kill(int(found.stdout.split()[-1]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ModelError, match="training"):
        launch.train(endless)
    killer.join()
    assert not (tmp_path / "out/adapter_config.json").exists()
    left = subprocess.run(
        ["pgrep", "-f", f"punie_build.training.loop.process {tmp_path}"], capture_output=True, text=True
    )
    assert left.stdout == ""
