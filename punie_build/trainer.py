"""Trainer: the process that trains one adapter with mlx-lm. Run by `training`, never imported by it.

    python -m punie_build.trainer JOB.json

mlx-lm loads the model, makes its layers LoRA and gives the optimisers; the loop is ours, because mlx-lm's own trains a pad
token after every row, learns the last turn only, validates on a random subset and pads whatever comes together
(`docs/why.md`). Everything random is derived from the seed and the position, and nothing that is written holds a time or a path.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
from mlx import nn, optimizers
from mlx.utils import tree_flatten
from mlx_lm import load
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build import conformance
from punie_build.adapters import Adapter
from punie_build.tokens import Tokens, batches, tokenize

PAD_TO = 32


class Metrics:
    """`metrics.jsonl`: a line an event, on disk at once. The same training writes the same bytes."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", buffering=1)

    def __call__(self, kind: str, **facts: Any) -> None:
        self.file.write(json.dumps({"event": kind, **facts}) + "\n")


def rows(tokenizer: Any, path: Path, spec: Adapter) -> list[Tokens]:
    """The rows of a split that have something to learn."""
    out = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            out.append(tokenize(tokenizer, json.loads(line), spec.mask, spec.max_seq_length))
        except Exception as error:  # a template can fail in any way; the row must be named
            raise SystemExit(
                f"punie: {path.name}:{number}: cannot be rendered with the base's chat template: {error}"
            ) from error
    return out


def tensors(group: list[Tokens]) -> tuple[mx.array, mx.array, mx.array]:
    """Inputs, targets and weights of a batch, each (rows, length); length is padded to a multiple of PAD_TO."""
    longest = max(len(row.ids) for row in group) - 1
    length = math.ceil(longest / PAD_TO) * PAD_TO

    def pad(values: list[int]) -> list[int]:
        return values + [0] * (length - len(values))

    inputs = mx.array([pad(row.ids[:-1]) for row in group])
    targets = mx.array([pad(row.ids[1:]) for row in group])
    weights = mx.array([pad([int(mark) for mark in row.learnt[1:]]) for row in group], dtype=mx.float32)
    return inputs, targets, weights


def summed_loss(model: nn.Module, inputs: mx.array, targets: mx.array, weights: mx.array) -> tuple[mx.array, mx.array]:
    """(sum of the learnt tokens' losses in nats, how many of them are predicted right)."""
    logits = model(inputs).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, targets)
    return (losses * weights).sum(), ((logits.argmax(-1) == targets) * weights).sum()


def validate(model: nn.Module, data: list[Tokens], size: int) -> tuple[float, float]:
    """(loss in nats, share of tokens right) over every row; no subset, no chance."""
    model.eval()
    totals = mx.zeros(3)
    order = sorted(range(len(data)), key=lambda index: len(data[index].ids))
    for start in range(0, len(order), size):
        batch = tensors([data[index] for index in order[start : start + size]])
        loss, hits = summed_loss(model, *batch)
        totals = totals + mx.stack([loss, hits, batch[2].sum()])
        mx.eval(totals)
    model.train()
    sums: Any = totals.tolist()
    return sums[0] / sums[2], sums[1] / sums[2]


def endless(data: list[Tokens], spec: Adapter) -> Iterator[list[Tokens]]:
    lengths, epoch = [len(row.ids) for row in data], 0
    while True:
        for batch in batches(lengths, spec.batch_size, spec.seed, epoch):
            yield [data[index] for index in batch]
        epoch += 1


def adapt(model: nn.Module, spec: Adapter) -> int:
    """Freeze the model, make its last layers LoRA; how many layers."""
    layers = len(model.layers)
    count = layers if spec.num_layers == -1 else spec.num_layers
    if count > layers:
        raise SystemExit(f"punie: num_layers {count}: the base has {layers} layers - use -1 for all")
    model.freeze()
    mx.random.seed(spec.seed)
    linear_to_lora_layers(model, count, parameters(spec))
    if not tree_flatten(model.trainable_parameters()):
        raise SystemExit(
            f"punie: lora.keys {list(spec.lora.keys or ())}: no such module in the base's layers - leave keys out for all linear ones"
        )
    return count


def parameters(spec: Adapter) -> dict[str, Any]:
    """`lora_parameters` as mlx-lm names them."""
    lora = spec.lora
    return {"rank": lora.rank, "scale": lora.scale, "dropout": lora.dropout} | (
        {"keys": list(lora.keys)} if lora.keys else {}
    )


def train(
    model: nn.Module,
    train_rows: list[Tokens],
    valid_rows: list[Tokens],
    spec: Adapter,
    metrics: Metrics,
    progress: Path,
) -> None:
    schedule: Any = spec.learning_rate
    if spec.warmup:
        schedule = optimizers.join_schedules(
            [optimizers.linear_schedule(0.0, spec.learning_rate, spec.warmup), lambda _: mx.array(spec.learning_rate)],
            [spec.warmup],
        )
    optimizer = optimizers.Adam(schedule, bias_correction=True)

    def mean_loss(model: nn.Module, *batch: mx.array) -> tuple[mx.array, mx.array]:
        loss, _ = summed_loss(model, *batch)
        count = batch[2].sum()
        return loss / mx.maximum(count, 1), count

    step = nn.value_and_grad(model, mean_loss)
    losses: list[float] = []
    learnt = 0
    loss, right = validate(model, valid_rows, spec.batch_size)
    metrics("valid", iteration=0, loss=loss, accuracy=right)
    model.train()
    for iteration, group in zip(range(1, spec.iters + 1), endless(train_rows, spec), strict=False):
        mx.random.seed(spec.seed * 1_000_003 + iteration)  # dropout: a function of the position alone
        (value, count), gradients = step(model, *tensors(group))
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value, count)
        losses.append(value.item())
        learnt += int(count.item())
        if not math.isfinite(losses[-1]):
            raise SystemExit(
                f"punie: iteration {iteration}: the loss is {losses[-1]} - lower learning_rate ({spec.learning_rate}), or add warmup"
            )
        progress.write_text(json.dumps({"iteration": iteration, "loss": losses[-1], "tokens": learnt}))
        if iteration % spec.steps_per_report == 0 or iteration == spec.iters:
            recent = losses[-spec.steps_per_report :]
            metrics(
                "train",
                iteration=iteration,
                loss=sum(recent) / len(recent),
                learning_rate=float(optimizer.learning_rate),
                tokens=learnt,
            )
        if iteration % spec.steps_per_eval == 0 or iteration == spec.iters:
            loss, right = validate(model, valid_rows, spec.batch_size)
            metrics("valid", iteration=iteration, loss=loss, accuracy=right)


def main(job: dict[str, Any]) -> None:
    out, data = Path(job["out"]), Path(job["data"])
    spec = msgspec.convert(job["spec"], Adapter)
    metrics = Metrics(out / "metrics.jsonl")
    try:
        model, tokenizer, *_ = load(job["base"])
    except Exception as error:  # mlx-lm raises whatever went wrong inside
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot load this base: {error}") from error
    if getattr(tokenizer, "chat_template", None) is None:
        raise SystemExit(f"punie: {spec.base}: its tokenizer has no chat template - use a chat or instruct model")
    sides = {side: rows(tokenizer, data / f"{side}.jsonl", spec) for side in ("train", "valid")}
    cut = {side: sum(row.cut for row in found) for side, found in sides.items()}
    sides = {side: [row for row in found if any(row.learnt[1:])] for side, found in sides.items()}
    for side, found in sides.items():
        if not found:
            raise SystemExit(
                f"punie: {side}: no row has a token to learn - does any assistant answer, within max_seq_length = {spec.max_seq_length}?"
            )
    layers = adapt(model, spec)
    lengths = [len(row.ids) for row in sides["train"]]
    per_epoch = math.ceil(len(lengths) / spec.batch_size)
    metrics(
        "start",
        rows={side: len(found) for side, found in sides.items()},
        cut=cut,
        tokens=sum(lengths),
        learnt=sum(sum(row.learnt) for row in sides["train"]),
        epochs=spec.iters / per_epoch,
        layers=layers,
    )
    train(model, sides["train"], sides["valid"], spec, metrics, Path(job["progress"]))
    mx.save_safetensors(str(out / "adapters.safetensors"), dict(tree_flatten(model.trainable_parameters())))
    config = {
        "fine_tune_type": "lora",
        "num_layers": layers,
        "lora_parameters": parameters(spec),
        "mask": spec.mask,
        "seed": spec.seed,
        "iters": spec.iters,
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
        "base": conformance.base(Path(job["base"])),
    }
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
