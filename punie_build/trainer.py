"""Trainer: the process that trains one adapter with mlx-lm. Run by `training`, never imported by it.

    python -m punie_build.trainer JOB.json

mlx-lm loads the model, makes its layers LoRA and gives the optimisers; the loop is ours, because mlx-lm's own trains a pad
token after every row, learns the last turn only, validates on a random subset, pads whatever comes together and forgets its
optimiser when it is killed (`docs/why.md`). Everything random is derived from the seed and the position, and nothing that is
written holds a time or a path: a training that was killed and goes on writes the same bytes.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from mlx_lm import load
from mlx_lm.tuner.trainer import grad_checkpoint
from mlx_lm.tuner.utils import linear_to_lora_layers

from punie_build import checkpoints, conformance, packing, tokenfiles
from punie_build.adapters import Adapter
from punie_build.batching import Batch, padded
from punie_build.checkpoints import State
from punie_build.precision import computed
from punie_build.tokenfiles import Rows
from punie_build.updating import optimizer, resume

INTERRUPTED = 75  # exit code of a training that was asked to stop, and can go on
SUM = mx.distributed.all_sum


class Run:
    """One training: the model, its optimiser, and where it is (`state`)."""

    def __init__(self, model: nn.Module, rows: dict[str, Rows], spec: Adapter, job: dict[str, Any]) -> None:
        self.model, self.rows, self.spec = model, rows, spec
        self.world = mx.distributed.init()
        self.first = self.world.rank() == 0
        self.out, self.kept, self.progress = Path(job["out"]), Path(job["kept"]), Path(job["progress"])
        self.lengths = [length - 1 for length in rows["train"].lengths]
        self.coverage = spec.coverage(self.lengths)
        self.optimizer = optimizer(spec, self.coverage.updates)
        self.packed = spec.batching == "pack"
        self.stopping = False
        self.state = State()
        self.step = nn.value_and_grad(model, self.summed)
        self.asked: list[Batch] = self._valid()

    def _valid(self) -> list[Batch]:
        """The batches of a validation: rows of like length together, always the same."""
        rows, size = self.rows["valid"], self.spec.batch_size
        order = sorted(range(len(rows)), key=rows.lengths.__getitem__)
        if self.spec.val_batches > 0:  # as many rows, from all over the file
            order = sorted(range(len(rows)), key=lambda row: (row * 0.6180339887) % 1)[: self.spec.val_batches * size]
        return [[[row] for row in order[start : start + size]] for start in range(0, len(order), size)]

    def tensors(self, side: str, batch: Batch) -> tuple[mx.array, ...]:
        """Inputs, targets, weights and segments of this rank's share of a batch, each (sequences, length)."""
        rows = self.rows[side]
        mine = batch[self.world.rank() :: self.world.size()]
        shares = mine or batch[:1]  # a rank without a share computes another's, and it counts for nothing
        found = [[rows.row(row) for row in sequence] for sequence in batch]
        length = padded(max(sum(len(ids) - 1 for ids, _ in sequence) for sequence in found))
        inputs, targets, weights, segments = (np.zeros((len(shares), length), np.int32) for _ in range(4))
        for place, sequence in enumerate(shares):
            at = 0
            for number, row in enumerate(sequence, 1):
                ids, learnt = rows.row(row)
                span = slice(at, at := at + len(ids) - 1)
                inputs[place, span], targets[place, span], segments[place, span] = ids[:-1], ids[1:], number
                weights[place, span] = learnt[1:] if mine else 0
        return mx.array(inputs), mx.array(targets), mx.array(weights).astype(mx.float32), mx.array(segments)

    def summed(
        self, model: nn.Module, inputs: mx.array, targets: mx.array, weights: mx.array, segments: mx.array
    ) -> tuple[mx.array, mx.array]:
        """(sum of the learnt tokens' losses in nats, how many of them are predicted right)."""
        cache = packing.blind(model, segments) if self.packed and model.training else None
        logits = model(inputs, cache=cache).astype(mx.float32)
        losses = nn.losses.cross_entropy(logits, targets)
        return (losses * weights).sum(), ((logits.argmax(-1) == targets) * weights).sum()

    def validate(self) -> tuple[float, float]:
        """(loss in nats, share of tokens right) over the validation rows."""
        self.model.eval()
        totals = mx.zeros(3)
        for batch in self.asked:
            some = self.tensors("valid", batch)
            loss, hits = self.summed(self.model, *some)
            totals = totals + mx.stack([loss, hits, some[2].sum()])
            mx.eval(totals)
        self.model.train()
        sums: Any = SUM(totals).tolist()
        return sums[0] / sums[2], sums[1] / sums[2]

    def event(self, kind: str, **facts: Any) -> None:
        self.state.metrics += json.dumps({"event": kind, **facts}) + "\n"
        self._write(self.state.metrics)

    def _write(self, text: str) -> None:
        if self.first:
            (self.out / "metrics.jsonl").write_text(text, encoding="utf-8")

    def save(self) -> None:
        """Keep a checkpoint of where we are, unless it is between two updates."""
        if self.first and self.state.iteration % self.spec.grad_accumulation_steps == 0:
            arrays = {f"weights.{name}": value for name, value in tree_flatten(self.model.trainable_parameters())}
            arrays |= {f"optimizer.{name}": value for name, value in tree_flatten(self.optimizer.state)}
            checkpoints.save(self.kept, self.state, arrays, mx.save_safetensors)

    def resume(self) -> None:
        """Go on from the latest checkpoint there is, if any."""
        held = checkpoints.load(self.kept, self.coverage.iters, arrays)
        if held:
            self.state, found = held
            resume(self.model, self.optimizer, found)
            self._write(self.state.metrics)

    def train(self) -> None:
        """The whole course, from where it is."""
        state, spec = self.state, self.spec
        self.model.train()
        started = time.monotonic()
        if not state.iteration:
            self.checked(0)
        batches = spec.order().forever(self.lengths, state.iteration)
        gradients: Any = None
        count = mx.array(0.0)
        clock = Clock(state, time.monotonic() - started)
        while state.iteration < self.coverage.iters and not self.stale():
            batch = next(batches)
            state.iteration += 1
            mx.random.seed(spec.seed * 1_000_003 + state.iteration + self.world.rank() * 7_919)  # for dropout
            some = self.tensors("train", batch)
            (loss, _), found = self.step(self.model, *some)
            gradients = found if gradients is None else tree_map(mx.add, gradients, found)
            learnt = some[2].sum()
            count = count + learnt
            ends = state.iteration % spec.grad_accumulation_steps == 0 or state.iteration == self.coverage.iters
            if ends:
                total = mx.maximum(SUM(count), 1)
                self.optimizer.update(self.model, tree_map(lambda each, total=total: SUM(each) / total, gradients))
                gradients, count = None, mx.array(0.0)
                state.updates += 1
            both = SUM(mx.stack([loss, learnt]))
            mx.eval(self.model.parameters(), self.optimizer.state, both, gradients or (), count)
            booked: Any = both.tolist()
            self.counted(batch, booked[0], booked[1], clock)
            if state.iteration % spec.steps_per_eval == 0:
                self.checked(state.iteration)
            if self.stopping or state.iteration % spec.save_every == 0:
                self.save()
            if self.stopping:
                raise SystemExit(INTERRUPTED)
        self.save()

    def stale(self) -> bool:
        return bool(self.spec.early_stop and self.state.stale() >= self.spec.early_stop)

    def counted(self, batch: Batch, loss: float, learnt: float, clock: Clock) -> None:
        """Book a batch: its loss, its tokens; report where a report is due."""
        state, spec = self.state, self.spec
        state.recent = [*state.recent, loss / max(learnt, 1)]
        state.learnt += int(learnt)
        if not math.isfinite(loss):
            lines = sorted(int(self.rows["train"].lines[row]) for sequence in batch for row in sequence)
            raise SystemExit(
                f"punie: iteration {state.iteration}: the loss is {loss} (rows {', '.join(map(str, lines))} of train.jsonl) - lower learning_rate ({spec.learning_rate}), or add warmup"
            )
        if self.first:
            clock.show(self.progress, state)
        if state.iteration % spec.steps_per_report == 0:
            self.event("train", **self.report())
            state.recent = []

    def report(self) -> dict[str, Any]:
        return {
            "iteration": self.state.iteration,
            "loss": sum(self.state.recent) / len(self.state.recent),
            "learning_rate": float(self.optimizer.learning_rate),
            "tokens": self.state.learnt,
        }

    def checked(self, iteration: int) -> None:
        """Validate, and keep the weights if they are the best so far."""
        loss, right = self.validate()
        self.state.valid = [*self.state.valid, (iteration, loss)]
        self.event("valid", iteration=iteration, loss=loss, accuracy=right)
        if self.spec.keep == "best" and self.state.best == iteration and self.first:
            checkpoints.keep(self.kept, iteration, self.weights(), mx.save_safetensors)

    def weights(self) -> dict[str, mx.array]:
        return dict(tree_flatten(self.model.trainable_parameters()))

    def publish(self) -> dict[str, Any]:
        """Write the adapter; what it is: the best or the last, with both losses."""
        state, last = self.state, self.state.metrics
        if not state.valid or state.valid[-1][0] != state.iteration:
            loss, right = self.validate()
            state.valid = [*state.valid, (state.iteration, loss)]
            if state.recent:
                last += json.dumps({"event": "train", **self.report()}) + "\n"
            last += json.dumps({"event": "valid", "iteration": state.iteration, "loss": loss, "accuracy": right}) + "\n"
        chosen = state.best if self.spec.keep == "best" else state.iteration
        weights = self.weights()
        if chosen != state.iteration:
            weights = arrays(str(checkpoints.best(self.kept, chosen)))
        losses = dict(state.valid)
        facts = {
            "published": "last" if chosen == state.iteration else "best",
            "iteration": chosen,
            "iterations": state.iteration,
            "valid_loss": losses[chosen],
            "valid_loss_last": losses[state.iteration],
        }
        if self.first:
            mx.save_safetensors(str(self.out / "adapters.safetensors"), weights)
            seen = {name: getattr(self.coverage, name) for name in ("epochs", "tokens", "padding")}
            self._write(last + json.dumps({"event": "end", **facts, "updates": state.updates, **seen}) + "\n")
        return facts


class Clock:
    """How fast it is, for whoever watches: learnt tokens a second since this process began; seconds until now, of the first
    batch, and of the validation before it (`validated`); memory in GiB, of mlx and of the whole process."""

    def __init__(self, state: State, validated: float) -> None:
        self.started, self.before, self.validated = time.monotonic(), state.learnt, validated
        self.first = 0.0

    def show(self, path: Path, state: State) -> None:
        passed = time.monotonic() - self.started
        self.first = self.first or passed
        said = {
            "iteration": state.iteration,
            "loss": state.recent[-1],
            "tokens_per_second": (state.learnt - self.before) / max(passed, 1e-9),
            "seconds": passed,
            "first": self.first,
            "validated": self.validated,
            "peak_memory": mx.get_peak_memory() / 2**30,
            "resident": resident() / 2**30,
        }
        path.write_text(json.dumps(said))


def resident() -> int:
    """The most memory this process has held, in bytes. What `getrusage` says on Linux began with the parent's."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on a Mac


def arrays(path: str) -> dict[str, mx.array]:
    found = mx.load(path)
    assert isinstance(found, dict)
    return found


def adapt(model: nn.Module, spec: Adapter) -> int:
    """Freeze the model, but for what is trained; how many layers that is."""
    layers = len(model.layers)
    count = layers if spec.num_layers == -1 else spec.num_layers
    if count > layers:
        raise SystemExit(f"punie: num_layers {count}: the base has {layers} layers - use -1 for all")
    model.freeze()
    mx.random.seed(spec.seed)
    if spec.fine_tune_type == "full":
        for layer in model.layers[-count:]:
            layer.unfreeze()
    else:
        linear_to_lora_layers(model, count, parameters(spec), use_dora=spec.fine_tune_type == "dora")
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


def main(job: dict[str, Any]) -> None:
    spec = msgspec.convert(job["spec"], Adapter)
    rows = {side: tokenfiles.load(Path(job["tokens"], f"{side}.safetensors")) for side in ("train", "valid")}
    model = loaded(spec, job["base"])
    layers = adapt(model, spec)
    if spec.grad_checkpoint:
        grad_checkpoint(model.layers[0])
    if spec.batching == "pack" and not packing.exact(model, rows["train"]):
        print("punie-build: this model cannot be packed exactly: its rows are bucketed", flush=True)
        spec = msgspec.structs.replace(spec, batching="bucket")
    run = Run(model, rows, spec, job)
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "stopping", True))
    run.resume()
    if not run.state.iteration:
        run.event("start", rows={side: len(some) for side, some in rows.items()}, layers=layers, batching=spec.batching)
    run.train()
    facts = run.publish()
    config = {
        "fine_tune_type": spec.fine_tune_type,
        "num_layers": layers,
        "lora_parameters": parameters(spec),
        "mask": spec.mask,
        "seed": spec.seed,
        "iters": run.state.iteration,
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
        "base": conformance.base(Path(job["base"])),
        **{name: facts[name] for name in ("published", "iteration", "valid_loss", "valid_loss_last")},
    }
    if run.first:
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (run.out / "adapter_config.json").write_text(text)


def loaded(spec: Adapter, base: str) -> nn.Module:
    try:
        model, *_ = load(base)
    except Exception as error:  # mlx-lm raises whatever went wrong inside
        raise SystemExit(f"punie: {spec.base}: mlx-lm cannot load this base: {error}") from error
    computed(model, expand=spec.fine_tune_type != "full")  # what full training changes is written as the base has it
    return model


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
