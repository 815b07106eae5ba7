"""Course: the way of one training from its first batch to its last. Imported by the trainer.

Everything random is derived from the seed and the position, and nothing that is written holds a time or a path: a training
that was killed and goes on writes the same bytes. A batch is computed while the one before it is booked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.nn.utils import average_gradients
from mlx.utils import tree_flatten, tree_map

from punie_build.training import checkpoints, history
from punie_build.training.batch_sampler import Batch
from punie_build.training.checkpoints import State
from punie_build.training.history import TrainingEnd
from punie_build.training.loop import sequence_packing
from punie_build.training.loop.collate import Fed, feed
from punie_build.training.loop.optimizer import arrays, optimizer, resume
from punie_build.training.loop.sparse_logits import Picked
from punie_build.training.spec import Adapter
from punie_build.training.token_file import Rows

INTERRUPTED = 75  # exit code of a training that was asked to stop, and can go on
Watch = Callable[[str, dict[str, Any]], None]


def summed(each: mx.array) -> mx.array:
    """The sum over all processes."""
    return mx.distributed.all_sum(each, stream=mx.cpu)


class Course:
    """The model, its optimiser, and where it is (`state`). `kept` is the folder of its checkpoints; `watch` is told every event
    as it happens, by one process of all."""

    def __init__(self, model: nn.Module, rows: dict[str, Rows], spec: Adapter, kept: Path, watch: Watch) -> None:
        self.model, self.rows, self.spec, self.kept, self.watch = model, rows, spec, kept, watch
        self.world = mx.distributed.init()
        self.first = self.world.rank() == 0
        self.lengths = [length - 1 for length in rows["train"].lengths]
        self.coverage = spec.coverage(self.lengths)
        self.optimizer = optimizer(spec, self.coverage.updates)
        self.picked = Picked(model, mx.array(rows["train"].row(0)[0][:64].tolist()))
        self.step = nn.value_and_grad(model, self.losses)
        self.asked = self._asked()
        self.state = State()
        self.stopping = False
        self.gradients: Any = None
        self.count = mx.array(0.0)
        self.waiting: tuple[Batch, mx.array] | None = None

    def _asked(self) -> list[Batch]:
        """The batches of a validation: rows of like length together, always the same."""
        rows, size = self.rows["valid"], self.spec.batch_size
        order = list(range(len(rows)))
        if self.spec.val_batches > 0:  # as many rows, from all over the file
            order = sorted(order, key=lambda row: (row * 0.6180339887) % 1)[: self.spec.val_batches * size]
        order.sort(key=rows.lengths.__getitem__)
        return [[[row] for row in order[start : start + size]] for start in range(0, len(order), size)]

    def losses(self, _: nn.Module, fed: Fed, packed: bool) -> tuple[mx.array, mx.array]:
        """(sum of the learnt tokens' losses in nats, how many of them are predicted right)."""
        cache = sequence_packing.blind(self.model, fed.segments) if packed else None
        logits = self.picked(fed.inputs, fed.places, cache)
        nats = nn.losses.cross_entropy(logits, fed.targets)
        return (nats * fed.weights).sum(), ((logits.argmax(-1) == fed.targets) * fed.weights).sum()

    def fed(self, side: str, batch: Batch) -> Fed:
        return feed(self.rows[side], batch, self.world.rank(), self.world.size())

    def validate(self) -> tuple[float, float]:
        """(loss in nats, share of tokens right) over the validation rows. Ends the process if the loss is no number."""
        self.model.eval()
        totals = mx.zeros(3)
        for batch in self.asked:
            some = self.fed("valid", batch)
            totals = totals + mx.stack([*self.losses(self.model, some, False), some.weights.sum()])
            mx.eval(totals)
        self.model.train()
        sums: Any = summed(totals).tolist()
        if not math.isfinite(sums[0]):
            raise SystemExit(
                f"punie: iteration {self.state.iteration}: the validation loss is {sums[0]} - lower learning_rate ({self.spec.learning_rate:g}), or add warmup"
            )
        return sums[0] / sums[2], sums[1] / sums[2]

    def resume(self) -> None:
        """Go on from the latest checkpoint that leads to the end this recipe asks for, if any."""
        spec, world = self.spec, self.world
        fits = checkpoints.fits(self.kept, self.coverage.iters, spec.early_stop, spec.keep == "best")
        if held := checkpoints.load(self.kept, fits, arrays):
            self.state, found = held
            resume(self.model, self.optimizer, found)
        if summed(mx.array(self.state.iteration)).item() != self.state.iteration * world.size():
            raise SystemExit("punie: hosts do not see the same checkpoints - the project must lie on a disk they share")

    def train(self) -> None:
        """All that is left of it."""
        state, spec = self.state, self.spec
        self.model.train()
        if not state.iteration:
            self.checked()
        self.watch("begin", {})
        batches = spec.order().forever(self.lengths, state.iteration)
        while state.iteration < self.coverage.iters and not self.stale():
            self.advance(next(batches))
            if state.iteration % spec.steps_per_report == 0:
                self.settle()
                self.event("train", self.report())
                state.loss, state.recent = 0.0, 0
            if state.iteration % spec.steps_per_eval == 0:
                self.settle()
                self.checked()
            if self.gradients is None and (self.stopping or self.due()):
                self.settle()
                self.save()
            if self.stopping:
                raise SystemExit(INTERRUPTED)
        self.settle()
        if self.gradients is None and state.iteration % spec.grad_accumulation_steps == 0:
            self.save()

    def advance(self, batch: Batch) -> None:
        """Compute a batch, and change the weights where its update is whole; book the batch before it meanwhile."""
        state, spec = self.state, self.spec
        position = state.iteration + 1
        mx.random.seed(spec.seed * 1_000_003 + position + self.world.rank() * 7_919)  # for dropout
        some = self.fed("train", batch)
        (loss, _), found = self.step(self.model, some, spec.batching == "pack")
        self.gradients = found if self.gradients is None else tree_map(mx.add, self.gradients, found)
        learnt = some.weights.sum()
        self.count = self.count + learnt
        if position % spec.grad_accumulation_steps == 0 or position == self.coverage.iters:
            share = self.world.size() / mx.maximum(summed(self.count), 1)
            self.optimizer.update(self.model, tree_map(lambda each: each * share, average_gradients(self.gradients)))
            self.gradients, self.count = None, mx.array(0.0)
            state.updates += 1
        booking = summed(mx.stack([loss, learnt]))
        computed = (self.model.trainable_parameters(), self.optimizer.state, booking, self.gradients or (), self.count)
        mx.async_eval(*computed)  # type: ignore[no-untyped-call]
        self.settle()
        self.waiting = batch, booking
        state.iteration = position

    def settle(self) -> None:
        """Book the batch that was computed: its loss and its tokens."""
        if self.waiting is None:
            return
        (batch, booking), self.waiting = self.waiting, None
        numbers: Any = booking.tolist()
        loss, learnt = numbers
        if not math.isfinite(loss):
            lines = sorted({int(self.rows["train"].lines[row]) for sequence in batch for row in sequence})
            raise SystemExit(
                f"punie: iteration {self.state.booked + 1}: the loss is {loss} (rows {', '.join(map(str, lines))} of train.jsonl) - lower learning_rate ({self.spec.learning_rate:g}), add warmup, or look at these rows"
            )
        state = self.state
        state.booked += 1
        state.loss, state.recent, state.learnt = (
            state.loss + loss,
            state.recent + int(learnt),
            state.learnt + int(learnt),
        )
        self.watch(
            "batch",
            {"iteration": state.booked, "loss": loss / max(learnt, 1), "learnt": state.learnt, "more": int(learnt)},
        )

    def stale(self) -> bool:
        return self.state.stopped(self.spec.early_stop) <= self.state.iteration

    def due(self) -> bool:
        """Whether a checkpoint is: every so often, and before batches that make no whole update any more."""
        state, spec = self.state, self.spec
        last = self.coverage.iters - self.coverage.iters % spec.grad_accumulation_steps
        return state.iteration - state.saved >= spec.save_every or state.iteration == last != self.coverage.iters

    def save(self) -> None:
        """Keep all that is needed to go on from here."""
        self.state.saved = self.state.iteration
        if self.first:
            held = {f"weights.{name}": value for name, value in self.weights().items()}
            held |= {f"optimizer.{name}": value for name, value in tree_flatten(self.optimizer.state)}
            checkpoints.save(self.kept, self.state, held, mx.save_safetensors)

    def event(self, kind: str, facts: dict[str, Any]) -> None:
        self.state.metrics += line(kind, facts)
        self.watch(kind, facts)

    def report(self) -> dict[str, Any]:
        """Of the batches since the last report: the mean loss of a learnt token."""
        state = self.state
        return {
            "iteration": state.iteration,
            "loss": state.loss / max(state.recent, 1),
            "learning_rate": float(self.optimizer.learning_rate),
            "tokens": state.learnt,
        }

    def checked(self) -> None:
        """Validate, and keep the weights if they are the best so far."""
        state = self.state
        loss, right = self.validate()
        state.valid = [*state.valid, (state.iteration, loss)]
        self.event("valid", {"iteration": state.iteration, "loss": loss, "accuracy": right})
        if self.first and self.spec.keep == "best" and state.iteration and state.best == state.iteration:
            checkpoints.keep(self.kept, state.iteration, self.weights(), mx.save_safetensors)

    def weights(self) -> dict[str, mx.array]:
        """What is trained, by name."""
        return dict(tree_flatten(self.model.trainable_parameters()))

    def end(self) -> tuple[dict[str, mx.array], TrainingEnd, str]:
        """What is published: (weights, what they are, the text of metrics.jsonl). The state stays as the checkpoint has it: a
        longer training goes on from there."""
        state, text, valid = self.state, self.state.metrics, dict(self.state.valid)
        if state.iteration not in valid:
            loss, right = self.validate()
            valid[state.iteration] = loss
            if state.recent:
                text += line("train", self.report())
            text += line("valid", {"iteration": state.iteration, "loss": loss, "accuracy": right})
        chosen = min((at for at in valid if at), key=valid.__getitem__) if self.spec.keep == "best" else state.iteration
        weights = self.weights() if chosen == state.iteration else arrays(str(checkpoints.best(self.kept, chosen)))
        seen = self.spec.seen(self.lengths, state.iteration)
        end = TrainingEnd(
            published="last" if chosen == state.iteration else "best",
            iteration=chosen,
            iterations=state.iteration,
            valid_loss=valid[chosen],
            valid_loss_last=valid[state.iteration],
            updates=state.updates,
            epochs=seen.epochs,
            tokens=seen.tokens,
            padding=seen.padding,
        )
        return weights, end, text + history.encode(end)


def line(kind: str, facts: dict[str, Any]) -> str:
    """An event as metrics.jsonl has it."""
    return json.dumps({"event": kind, **facts}) + "\n"
