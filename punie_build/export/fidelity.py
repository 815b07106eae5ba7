"""Measuring: how much of what an adapter learnt a model still knows. One pass over held-back rows for each, nothing is generated.

    gain retained = (loss of the base - loss of the model) / (loss of the base - loss of the adapter)
    agreement     = the share of learnt tokens for which model and adapter think the same token most likely

Quantisation can erase a LoRA: its update is small beside the weight that it is added to, and may round away.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

from punie_build.models.precision import set_compute_precision
from punie_build.training import token_file
from punie_build.training.batch_sampler import BatchSampler, padded_length
from punie_build.training.token_file import TokenRows

MOST = 512  # rows: enough to tell 97 % from 98 %
TOGETHER = 1024  # tokens computed at once: a vocabulary of 150,000 makes 600 MB of logits of them


def held_back(tokens: Path) -> TokenRows:
    """The test rows; without any, the validation rows."""
    test = token_file.load(tokens / "test.safetensors")
    return test if len(test) else token_file.load(tokens / "valid.safetensors")


def batches(rows: TokenRows) -> Iterator[tuple[mx.array, Any, Any]]:
    """Inputs (rows, length), targets and marks of what is learnt, as arrays of the same shape, always the same."""
    chosen = sorted(range(len(rows)), key=lambda row: (row * 0.6180339887) % 1)[:MOST]  # from all over the file
    lengths = rows.lengths
    order = BatchSampler(batching="tokens", batch_size=len(chosen), batch_tokens=TOGETHER)
    for batch in order.epoch([lengths[row] - 1 for row in chosen], 0):
        found = [rows.row(chosen[row]) for sequence in batch for row in sequence]
        shape = len(found), padded_length(max(len(ids) - 1 for ids, _ in found))
        inputs, targets, learnt = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, bool)
        for place, (ids, marks) in enumerate(found):
            span = slice(0, len(ids) - 1)
            inputs[place, span], targets[place, span], learnt[place, span] = ids[:-1], ids[1:], marks[1:]
        yield mx.array(inputs), targets, learnt


def says(model: nn.Module, rows: TokenRows) -> tuple[float, Any]:
    """(mean loss in nats of the learnt tokens, the token thought most likely for each of them)."""
    losses, likely = [], []
    for inputs, targets, learnt in batches(rows):
        logits = model(inputs).astype(mx.float32)
        some = nn.losses.cross_entropy(logits, mx.array(targets)), logits.argmax(-1)
        mx.eval(some)
        losses.append(np.array(some[0])[learnt])
        likely.append(np.array(some[1])[learnt])
    return float(np.concatenate(losses).mean(dtype=np.float64)), np.concatenate(likely)


def loaded(folder: Path) -> nn.Module:
    model, _ = load_model(folder, lazy=True)
    set_compute_precision(model)
    return model


def measure(base: Path, adapter: Path, model: Path, tokens: Path) -> dict[str, float]:
    """Losses of base, adapter and model in nats, what is retained and how far they agree, over so many learnt tokens.

    Nothing is retained of an adapter that is no better than its base: then `gain_retained` is left out."""
    rows = held_back(tokens)
    live = loaded(base)
    before, _ = says(live, rows)
    load_adapters(live, str(adapter))
    live.eval()
    set_compute_precision(live)
    learnt, its = says(live, rows)
    del live
    mx.clear_cache()
    now, ours = says(loaded(model), rows)
    gain = {"gain_retained": (before - now) / (before - learnt)} if learnt < before else {}
    return {
        "loss_base": before,
        "loss_adapter": learnt,
        "loss": now,
        "agreement": float((its == ours).mean()),
        "tokens": float(len(its)),
    } | gain
