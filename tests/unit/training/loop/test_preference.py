"""DPO and ORPO: their formulas by the numbers of TRL, and trainings on pairs."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import mlx.core as mx
import msgspec
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tuner.utils import load_adapters

from punie_build.training import reference, token_file
from punie_build.training.loop import process, reference_process
from punie_build.training.loop.chunked_loss import NEVER, WHOLE, ChunkedLoss
from punie_build.training.loop.collate import collate
from punie_build.training.loop.gradient_trial import random_adapters
from punie_build.training.loop.lora import load_trainable
from punie_build.training.loop.preference import pair_losses
from punie_build.training.loop.sparse_logits import SparseLogits
from punie_build.training.reference import ReferenceJob
from punie_build.training.spec import Lora
from punie_build.training.tokenization import TokenizedRow
from tests.support.tiny_training import Killed, events, ignore, kill_after, spec, train_job

WORDS = (range(8), range(8, 16))  # of wanted and of rejected answers
VECTORS = json.loads((Path(__file__).parents[3] / "support/trl_vectors.json").read_text())


def pair(wanted: TokenizedRow, rejected: TokenizedRow) -> TokenizedRow:
    return TokenizedRow(wanted.ids + rejected.ids, wanted.loss_mask + rejected.loss_mask, len(wanted.ids))


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['loss']}, {case['beta']}")
def test_losses_and_margins_are_those_of_trl(case):
    count = len(case["ids"]) // 2
    ends = [1 + sum(mask) for mask in case["mask"]]
    texts = [
        TokenizedRow(ids[:end], [bool(mark) for mark in mask[:end]])
        for ids, mask, end in zip(case["ids"], case["mask"], ends, strict=True)
    ]
    writer = token_file.TokenWriter()
    for index in range(count):
        writer.add(index + 1, pair(texts[index], texts[count + index]))
    rows = writer.rows()
    if case["loss"] == "dpo":
        rows = msgspec.structs.replace(rows, reference=np.array(case["reference"], np.float32))
    batch = collate(rows, [[index] for index in range(count)])
    logits = np.zeros((*batch.inputs.shape, 11), np.float32)
    for sequence, values in enumerate(case["logits"]):
        number = 2 * (sequence % count) + sequence // count
        logits[number, : len(values)] = values
    nats = nn.losses.cross_entropy(mx.array(logits.reshape(-1, 11))[batch.positions], batch.targets)
    loss, correct, margin = pair_losses(spec(loss=case["loss"], beta=case["beta"]), batch, nats)
    assert batch.units.item() == count
    assert loss.item() / count == pytest.approx(case["value"], abs=2e-5)
    assert correct.item() / count == pytest.approx(case["accuracy"], abs=1e-5)
    assert margin.item() / count == pytest.approx(case["margin"], abs=2e-5)


@pytest.fixture(scope="module")
def pairs(inputs, tmp_path_factory) -> Path:
    """Return a folder with a base, tokens of 13 and 5 pairs, and the log-probabilities of the base."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "base").symlink_to(inputs / "base")
    (folder / "tokens").mkdir()
    randomness = random.Random(3)
    for split, count in (("train", 13), ("valid", 5)):
        writer = token_file.TokenWriter()
        for line in range(1, count + 1):
            prompt = [randomness.randrange(64) for _ in range(randomness.choice((4, 9)))]
            answers = [[randomness.choice(words) for _ in range(randomness.choice((4, 30)))] for words in WORDS]
            texts = [TokenizedRow(prompt + end, [False] * len(prompt) + [True] * len(end)) for end in answers]
            writer.add(line, pair(*texts))
        writer.save(folder / f"tokens/{split}.safetensors")
    compute(folder)
    return folder


def compute(folder: Path, init: Path | None = None) -> Path:
    out = folder / ("reference" if init is None else "reference-of-init")
    out.mkdir(exist_ok=True)
    job = ReferenceJob(base=f"{folder}/base", tokens=f"{folder}/tokens", out=str(out), init=str(init) if init else None)
    reference_process.main(job)
    return out


def run(pairs: Path, folder: Path, *kills: int, init: Path | None = None, **changes: object) -> dict[str, bytes]:
    adapter = spec(**{"batch_size": 2, "lora": Lora(rank=4), "iters": 9, **changes})
    job = msgspec.structs.replace(
        train_job(pairs, folder, adapter),
        reference=str(compute(pairs, init) if init else pairs / "reference") if adapter.loss == "dpo" else "",
        init=str(init or ""),
    )
    for number in kills:
        with pytest.raises(Killed):
            process.run(job, kill_after(number))
    process.run(job, ignore)
    return {path.name: path.read_bytes() for path in Path(job.out).iterdir()}


@pytest.mark.parametrize("loss", ["dpo", "orpo"])
def test_losses_of_pairs_in_chunks_have_equal_gradients(pairs, loss):
    rows = reference.rows_with_reference(pairs / "tokens", pairs / "reference", "train")
    adapter = spec(loss=loss, lora=Lora(rank=4))
    model, _ = load_trainable(adapter, str(pairs / "base"), len(rows))
    model.train()
    batch, sparse = collate(rows, [[0], [1], [2]]), SparseLogits(model, mx.array(rows.row(0)[0].tolist()))
    results = []
    for whole in (2**30, 0):
        chunked = ChunkedLoss(sparse, whole, chunk=sparse.vocabulary * 7)

        def compute(_model, chunked=chunked):
            return pair_losses(adapter, batch, chunked.nats(batch.inputs, batch.positions, batch.targets))[0]

        with random_adapters(model):
            value, gradients = nn.value_and_grad(model, compute)(model)
            results.append({"loss": value, **dict(tree_flatten(gradients))})
            mx.eval(results[-1])
    plain, in_chunks = results
    for name, array in plain.items():
        assert mx.abs(array - in_chunks[name]).max().item() <= 1e-5 * mx.abs(array).max().item(), name


def test_a_reference_is_computed_at_once_where_chunks_give_other_values(pairs):
    model, *_ = load(str(pairs / "base"))
    ids = mx.array([3, 17, 5, 60, 2, 9, 9, 41, 33, 7, 12, 58, 4, 21, 30, 8])
    loss = ChunkedLoss(SparseLogits(model, ids))
    loss.try_values(ids)
    assert loss.whole == WHOLE

    class Centered(type(model)):
        def __call__(self, inputs, cache=None):
            return super().__call__(inputs, cache=cache) * (1.0 if inputs.shape[1] != 10 else 1.1)

    model.__class__ = Centered
    loss.try_values(ids)
    assert loss.whole == NEVER


@pytest.mark.parametrize("loss", ["dpo", "orpo"])
def test_a_killed_training_on_pairs_resumes_to_equal_bytes(pairs, tmp_path, loss):
    options = {"loss": loss, "grad_accumulation_steps": 2}
    assert run(pairs, tmp_path / "killed", 9, 5, **options) == run(pairs, tmp_path / "whole", **options)


@pytest.mark.parametrize(("loss", "start"), [("dpo", math.log(2)), ("orpo", None)])
def test_a_training_moves_the_preference_of_held_out_pairs(pairs, tmp_path, loss, start):
    files = run(pairs, tmp_path, loss=loss, steps_per_eval=9, learning_rate=2e-2)
    before, after = events(files, "valid")
    assert after["loss"] < before["loss"]
    assert after["margin"] > before["margin"] + 0.001
    assert after["accuracy"] == 1 >= before["accuracy"]
    if start:
        assert (before["loss"], before["accuracy"]) == (pytest.approx(start, abs=1e-5), 0)
        assert before["margin"] == pytest.approx(0, abs=1e-5)


def test_log_probabilities_of_a_reference_are_those_of_single_texts(pairs):
    rows = token_file.load(pairs / "tokens/valid.safetensors")
    model, *_ = load(str(pairs / "base"))
    computed = reference.read(pairs / "reference", "valid")
    for index in range(len(rows)):
        for column, (ids, mask) in enumerate(rows.texts(index)):
            nats = nn.losses.cross_entropy(model(mx.array(ids[:-1])[None])[0], mx.array(ids[1:]))
            assert computed[index, column] == pytest.approx(-float((nats * mx.array(mask[1:])).sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("system", "question", "shared"),
    [(90, 3, [(6, 90)]), (0, 100, [(1, 99)] * 6), (0, 20, [])],
    ids=["one system prompt", "long prompts", "short prompts"],
)
def test_a_prompt_of_several_answers_is_computed_once(inputs, system, question, shared, capsys):
    """A system prompt once for all pairs, a long prompt once for its two answers."""
    chance, writer = random.Random(5), token_file.TokenWriter()
    first = [chance.randrange(64) for _ in range(system)]
    for line in range(6):
        prompt = first + [(line * 7 + index) % 64 for index in range(question)]
        ends = [[chance.randrange(64) for _ in range(chance.randint(3, 20))] for _ in range(2)]
        texts = [TokenizedRow(prompt + end, [False] * len(prompt) + [True] * len(end)) for end in ends]
        writer.add(line + 1, pair(*texts))
    rows = writer.rows()
    batches = reference_process.shared_batches(rows)
    assert [(len(some), tokens) for some, tokens in batches if tokens] == shared
    assert sorted(row for some, _ in batches for row in some) == list(range(6))
    model, *_ = load(str(inputs / "base"))
    loss = ChunkedLoss(SparseLogits(model, mx.arange(9)))
    found = reference_process.log_probabilities(loss, rows)
    plain = reference_process._of_pairs(loss, rows, list(range(6)), 0)
    assert np.allclose(found, plain, rtol=1e-5, atol=1e-5)
    assert not capsys.readouterr().out


def test_a_training_that_starts_from_an_adapter_has_that_adapter_as_its_reference(pairs, tmp_path):
    run(pairs, tmp_path / "first", loss="orpo", learning_rate=3e-2)
    first = tmp_path / "first/out"
    files = run(pairs, tmp_path / "second", loss="dpo", init=first, iters=1)
    assert events(files, "valid")[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    model, *_ = load(str(pairs / "base"))
    load_adapters(model, str(first))
    ids, mask = token_file.load(pairs / "tokens/valid.safetensors").texts(0)[0]
    nats = nn.losses.cross_entropy(model(mx.array(ids[:-1])[None])[0], mx.array(ids[1:]))
    found = reference.read(pairs / "reference-of-init", "valid")[0, 0]
    assert found == pytest.approx(-float((nats * mx.array(mask[1:])).sum()), rel=1e-4)
