"""Losses of rows that begin alike are those of the rows alone, in the order of the rows."""

from __future__ import annotations

import random
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx_lm.models import gemma3_text, llama, mamba2

from punie_build.training import token_loss
from punie_build.training.token_file import TokenRows, TokenWriter
from punie_build.training.tokenization import TokenizedRow
from tests.support.tiny_training import GEMMA, LLAMA, MAMBA


def rows() -> TokenRows:
    """Return rows of two system prompts of 90 tokens, and two rows on their own."""
    chance, writer = random.Random(1), TokenWriter()
    systems = [[chance.randrange(64) for _ in range(90)] for _ in range(2)]
    for line in range(14):
        system = systems[line % 2] if line < 12 else []
        ids = system + [chance.randrange(64) for _ in range(chance.randint(4, 30))]
        writer.add(line + 1, TokenizedRow(ids, [index > len(system) + 1 for index in range(len(ids))]))
    return writer.rows()


def alone(model: nn.Module, some: TokenRows) -> list[float]:
    """Return the loss of each trained token, row by row."""
    losses: list[float] = []
    for index in range(len(some)):
        ids, mask = some.row(index)
        logits = model(mx.array(ids[None, :-1]))[0]
        losses += np.array(nn.losses.cross_entropy(logits, mx.array(ids[1:])))[mask[1:] > 0].tolist()
    return losses


def model_of(module: Any, config: dict[str, Any]) -> nn.Module:
    mx.random.seed(1)
    model: nn.Module = module.Model(module.ModelArgs.from_dict(config))
    return model


@pytest.mark.parametrize("module_config", [(llama, LLAMA), (gemma3_text, GEMMA)], ids=["llama", "gemma3"])
def test_a_shared_prefix_is_computed_once_with_equal_losses(module_config):
    """gemma3 has a sliding window that is shorter than the prefix."""
    some, model = rows(), model_of(*module_config)
    batches = token_loss.batches(some, 100)
    assert sorted((len(batch.numbers), batch.prefix.size) for batch in batches if batch.prefix is not None) == [
        (6, 90),
        (6, 90),
    ]
    assert token_loss.sharing_problem(model, batches) == ""
    losses, predictions = token_loss.evaluate(model, batches, lambda: None)
    assert losses.tolist() == pytest.approx(alone(model, some), abs=1e-5)
    assert len(predictions) == len(losses)


def test_a_model_with_a_state_computes_each_row_and_says_so(capsys):
    some, model = rows(), model_of(mamba2, MAMBA)
    losses, _ = token_loss.evaluate(model, token_loss.batches(some, 100), lambda: None)
    assert losses.tolist() == pytest.approx(alone(model, some), abs=1e-5)
    assert "prefixes are computed with every row: its layers keep a state (ArraysCache)" in capsys.readouterr().out


def test_a_model_whose_losses_change_with_a_prefix_computes_each_row(capsys):
    """A model that ignores its caches sees no prefix."""

    class Forgetful(llama.Model):
        def __call__(self, inputs: mx.array, cache: object = None) -> mx.array:
            logits: mx.array = super().__call__(inputs)
            if isinstance(cache, list):
                for record in cache:
                    record.keys = record.values = logits
            return logits

    mx.random.seed(1)
    some, model = rows(), Forgetful(llama.ModelArgs.from_dict(LLAMA))
    losses, _ = token_loss.evaluate(model, token_loss.batches(some, 100), lambda: None)
    assert losses.tolist() == pytest.approx(alone(model, some), abs=1e-5)
    assert "every row: a loss differs by " in capsys.readouterr().out


def test_rows_that_share_little_are_batched_as_others(inputs):
    from punie_build.training import token_file

    some = token_file.load(inputs / "tokens/valid.safetensors")
    batches = token_loss.batches(some, 100)
    assert all(batch.prefix is None for batch in batches)
    assert sorted(number for batch in batches for number in batch.numbers) == list(range(len(some)))
