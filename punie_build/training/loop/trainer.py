"""The training loop: batches, optimizer steps, validation, checkpoints, early stopping.

All randomness derives from the seed and the position, and no output holds a time or a path: a training that was
killed and resumed writes the same bytes. While one batch is computed, the losses of the batch before it are read
back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.nn.utils import average_gradients
from mlx.optimizers import clip_grad_norm
from mlx.utils import tree_flatten, tree_map
from msgspec import Struct

from punie_build.training import checkpoints, history
from punie_build.training.batch_sampler import BatchRows
from punie_build.training.checkpoints import TrainerState
from punie_build.training.history import TrainEvent, TrainingEnd, TrainReport, ValidationReport
from punie_build.training.loop import sequence_packing, shared_prefix
from punie_build.training.loop.chunked_loss import ChunkedLoss
from punie_build.training.loop.collate import Batch, collate
from punie_build.training.loop.optimizer import build_optimizer, load_arrays, restore
from punie_build.training.loop.preference import pair_losses
from punie_build.training.loop.sparse_logits import SparseLogits
from punie_build.training.spec import Adapter
from punie_build.training.token_file import TokenRows

EXIT_INTERRUPTED = 75  # exit code of a training that received SIGTERM, and can be resumed


class LoopStart(Struct, frozen=True):
    """The event before the first batch of this process."""


class BatchReport(Struct, frozen=True, kw_only=True):
    """The event after a batch: mean loss in nats per token or pair, all trained tokens so far, and those of this
    batch."""

    iteration: int
    loss: float
    trained_tokens: int
    batch_tokens: int


Callback = Callable[[TrainEvent | LoopStart | BatchReport], object]


def all_sum(array: mx.array) -> mx.array:
    """Return the sum of an array over all processes."""
    return mx.distributed.all_sum(array, stream=mx.cpu)


class Trainer:
    """A model, its optimizer, and the state of its training.

    `rows` has the splits "train" and "valid". The main process, rank 0, writes checkpoints to `checkpoint_dir`.
    `callback` receives every event.
    """

    def __init__(
        self, model: nn.Module, rows: dict[str, TokenRows], spec: Adapter, checkpoint_dir: Path, callback: Callback
    ) -> None:
        self.model, self.rows, self.spec = model, rows, (spec := spec.for_rows(rows["train"]))
        self.checkpoint_dir, self.callback = checkpoint_dir, callback
        self.world = mx.distributed.init()
        self.is_main = self.world.rank() == 0
        self.samplers = {split: spec.batch_sampler(split_rows) for split, split_rows in rows.items()}
        self.coverage = spec.coverage(rows["train"], self.samplers["train"])
        self.optimizer = build_optimizer(spec, self.coverage.updates)
        self.sparse_model = SparseLogits(model, mx.array(rows["train"].row(0)[0][:64].tolist()))
        self.chunked_loss = ChunkedLoss(self.sparse_model)
        self.loss_and_gradients = nn.value_and_grad(model, self.losses)
        self.validation_batches = self._validation_batches()
        self.state = TrainerState()
        self.stopping = False
        self.rows_at_a_time = 0  # of a batch, 0 for all: a rung of the memory ladder
        self.gradients: Any = None
        self.accumulated_units = mx.array(0.0)
        self.pending: tuple[BatchRows, mx.array] | None = None

    def _validation_batches(self) -> list[BatchRows]:
        """Return the batches of a validation: the same ones at each validation, with rows sorted by length."""
        rows, size = self.rows["valid"], self.spec.batch_size
        order = list(range(len(rows)))
        if self.spec.val_batches > 0:  # spread over the file
            order = sorted(order, key=lambda row: (row * 0.6180339887) % 1)[: self.spec.val_batches * size]
        lengths, prefixes = rows.lengths, self.samplers["valid"].prefixes
        order.sort(key=lambda row: (prefixes.group_of[row] if prefixes else 0, lengths[row]))
        return [[[row] for row in order[start : start + size]] for start in range(0, len(order), size)]

    def losses(self, _: nn.Module, batch: Batch, packed: bool) -> tuple[mx.array, ...]:
        """Return the summed loss of the trained tokens in nats, and the number of tokens predicted correctly; of pairs
        the sums of `pair_losses`."""
        if batch.pair_weights is not None:
            nats = self.chunked_loss.nats(batch.inputs, batch.positions, batch.targets)
            return pair_losses(self.spec, batch, nats)
        cache: Any = sequence_packing.packing_caches(self.model, batch.segments) if packed else None
        if batch.prefix is not None:
            cache = self._prefix_caches(batch.prefix)
        return self.chunked_loss(batch.inputs, batch.positions, cache, batch.targets, batch.weights)

    def _prefix_caches(self, prefix: mx.array) -> list[shared_prefix.PrefixedCache]:
        """Return the caches of the rows after a prefix (1, tokens). Its logits are never computed."""
        return shared_prefix.prefix_caches(
            self.model, lambda recorders: self.sparse_model(prefix, mx.array([0]), recorders), prefix.shape[1]
        )

    def collate(self, split: str, rows: BatchRows) -> Batch:
        """Return this process's share of a batch."""
        shared = self.samplers[split].shared(rows)
        return collate(self.rows[split], rows, self.world.rank(), self.world.size(), shared)

    def parts(self, rows: BatchRows) -> list[BatchRows]:
        """Return the parts of a batch that are computed one after the other, with equal weight for all tokens."""
        size = self.rows_at_a_time * self.world.size() or len(rows)
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def validate(self) -> ValidationReport:
        """Return loss and accuracy over the validation rows. Exits if the loss is not finite."""
        self.model.eval()
        totals = mx.array(0.0)
        for part in (part for rows in self.validation_batches for part in self.parts(rows)):
            batch = self.collate("valid", part)
            totals = totals + mx.stack([batch.units, *self.losses(self.model, batch, False)])
            mx.eval(totals)
        self.model.train()
        sums: Any = all_sum(totals).tolist()
        units, loss, correct, *margins = sums
        if not math.isfinite(loss):
            advice = f"lower learning_rate ({self.spec.learning_rate:g}), or add warmup"
            if not self.state.updates:
                advice = f"nothing is trained yet: {self.spec.base} has no finite loss on valid.jsonl, use another base"
            raise SystemExit(f"punie: iteration {self.state.iteration}: the validation loss is {loss} - {advice}")
        margin = margins[0] / units if margins else None
        return ValidationReport(
            iteration=self.state.iteration, loss=loss / units, accuracy=correct / units, margin=margin
        )

    def resume(self, intact: Collection[str] | None = None) -> None:
        """Load the latest checkpoint from which this training can resume, if any. `intact`: see `TrainJob`."""
        spec, world = self.spec, self.world
        fits = checkpoints.resume_condition(
            self.checkpoint_dir, self.coverage.iters, spec.early_stop, spec.keep == "best"
        )
        if checkpoint := checkpoints.load(self.checkpoint_dir, fits, load_arrays, intact):
            self.state, arrays = checkpoint
            restore(self.model, self.optimizer, arrays)
        if all_sum(mx.array(self.state.iteration)).item() != self.state.iteration * world.size():
            raise SystemExit(
                "punie: hosts: they do not see the same checkpoints - put the project on a disk that all hosts share"
            )

    def train(self) -> None:
        """Train from the current state to the end. Exits with `EXIT_INTERRUPTED` if `stopping` is set meanwhile."""
        state, spec = self.state, self.spec
        self.model.train()
        if not state.iteration:
            self.validate_and_track()
        self.callback(LoopStart())
        batches = self.samplers["train"].iterate(self.rows["train"].input_lengths, state.iteration)
        while state.iteration < self.coverage.iters and not self.early_stopped():
            self.train_batch(next(batches))
            if state.iteration % spec.steps_per_report == 0:
                self.flush()
                self.record(self.train_report())
                state.loss, state.recent = 0.0, 0
            if state.iteration % spec.steps_per_eval == 0:
                self.flush()
                self.validate_and_track()
            if self.gradients is None and (self.stopping or self.checkpoint_due()):
                self.flush()
                self.save()
            if self.stopping:
                raise SystemExit(EXIT_INTERRUPTED)
        self.flush()
        if self.gradients is None and state.iteration % spec.grad_accumulation_steps == 0:
            self.save()

    def train_batch(self, rows: BatchRows) -> None:
        """Compute a batch, update the weights if it completes an accumulation, and flush the batch before it."""
        state, spec = self.state, self.spec
        iteration = state.iteration + 1
        mx.random.seed(spec.seed * 1_000_003 + iteration + self.world.rank() * 7_919)  # for dropout
        sums: Any = mx.zeros(3)
        for part in self.parts(rows):
            batch = self.collate("train", part)
            (loss, *_), gradients = self.loss_and_gradients(self.model, batch, spec.batching == "pack")
            self.gradients = gradients if self.gradients is None else tree_map(mx.add, self.gradients, gradients)
            self.accumulated_units = self.accumulated_units + batch.units
            sums = sums + mx.stack([loss, batch.units, batch.weights.sum()])
            if self.rows_at_a_time:
                mx.eval(self.gradients, sums)
        if iteration % spec.grad_accumulation_steps == 0 or iteration == self.coverage.iters:
            scale = self.world.size() / mx.maximum(all_sum(self.accumulated_units), 1)
            mean = tree_map(lambda gradient: gradient * scale, average_gradients(self.gradients))
            if not state.updates:
                self.check_first_update(rows, sums, mean)
            if spec.max_grad_norm is not None:
                mean, _ = clip_grad_norm(mean, spec.max_grad_norm)
            self.optimizer.update(self.model, mean)
            self.gradients, self.accumulated_units = None, mx.array(0.0)
            state.updates += 1
        sums = all_sum(sums)
        weights = self.model.trainable_parameters()
        mx.async_eval(  # type: ignore[no-untyped-call]
            weights, self.optimizer.state, sums, self.gradients or (), self.accumulated_units
        )
        self.flush()
        self.pending = rows, sums
        state.iteration = iteration

    def check_first_update(self, rows: BatchRows, sums: mx.array, gradients: Any) -> None:
        """Exit if the loss of the first batch or a gradient is not finite. No learning rate is the cause of that."""
        total, arrays = all_sum(sums), tree_flatten(gradients)
        mx.eval(total, gradients)  # at once: one by one, each would hold the activations of those after it
        numbers: Any = total.tolist()
        endless = [name for name, array in arrays if not mx.isfinite(array).all().item()]
        if math.isfinite(numbers[0]) and not endless:
            return
        problem = f"the loss is {numbers[0]} on rows {self.lines(rows)} of train.jsonl"
        if math.isfinite(numbers[0]):
            problem = f"the loss is finite, but {len(endless)} of {len(arrays)} gradients are not, such as {endless[0]}"
        raise SystemExit(
            f"punie: {self.spec.base}: cannot be trained: before the first update {problem} - "
            "use another base or other lora.keys, or inspect these rows"
        )

    def lines(self, batch: BatchRows) -> str:
        """Return the lines of train.jsonl in a batch."""
        return ", ".join(map(str, sorted({int(self.rows["train"].lines[row]) for part in batch for row in part})))

    def flush(self) -> None:
        """Read back the loss and the tokens of the pending batch. Exits if the loss is not finite."""
        if self.pending is None:
            return
        (batch, sums), self.pending = self.pending, None
        numbers: Any = sums.tolist()
        loss, units, tokens = numbers
        state = self.state
        if not math.isfinite(loss):
            raise SystemExit(
                f"punie: iteration {state.logged + 1}: the loss is {loss} (rows {self.lines(batch)} of train.jsonl) - "
                f"lower learning_rate ({self.spec.learning_rate:g}), add warmup, or inspect these rows"
            )
        state.logged += 1
        state.loss += loss
        state.recent += int(units)
        state.trained_tokens += int(tokens)
        self.callback(
            BatchReport(
                iteration=state.logged,
                loss=loss / max(units, 1),
                trained_tokens=state.trained_tokens,
                batch_tokens=int(tokens),
            )
        )

    def early_stopped(self) -> bool:
        """Return whether the last validations had no lower loss."""
        return self.state.early_stop_iteration(self.spec.early_stop) <= self.state.iteration

    def checkpoint_due(self) -> bool:
        """Return whether to save: every `save_every` batches, and after the last complete accumulation."""
        state, spec = self.state, self.spec
        last = self.coverage.iters - self.coverage.iters % spec.grad_accumulation_steps
        return state.iteration - state.saved >= spec.save_every or state.iteration == last != self.coverage.iters

    def save(self) -> None:
        """Write a checkpoint."""
        self.state.saved = self.state.iteration
        if self.is_main:
            arrays = {f"weights.{name}": value for name, value in self.weights().items()}
            arrays |= {f"optimizer.{name}": value for name, value in tree_flatten(self.optimizer.state)}
            checkpoints.save(self.checkpoint_dir, self.state, arrays, mx.save_safetensors)

    def record(self, event: TrainEvent) -> None:
        """Append an event to metrics.jsonl, and pass it to the callback."""
        self.state.metrics += history.encode(event)
        self.callback(event)

    def train_report(self) -> TrainReport:
        """Return the event of the batches since the last report."""
        state = self.state
        return TrainReport(
            iteration=state.iteration,
            loss=state.loss / max(state.recent, 1),
            learning_rate=float(self.optimizer.learning_rate),
            trained_tokens=state.trained_tokens,
        )

    def validate_and_track(self) -> None:
        """Validate, record the result, and write the weights if they are the best so far."""
        state = self.state
        report = self.validate()
        state.valid = [*state.valid, (state.iteration, report.loss)]
        self.record(report)
        if self.is_main and self.spec.keep == "best" and state.iteration and state.best_iteration == state.iteration:
            checkpoints.save_best(self.checkpoint_dir, state.iteration, self.weights(), mx.save_safetensors)

    def weights(self) -> dict[str, mx.array]:
        """Return the trainable weights by name."""
        return dict(tree_flatten(self.model.trainable_parameters()))

    def finish(self) -> tuple[dict[str, mx.array], TrainingEnd, str]:
        """Return the weights to publish, the last event, and the text of metrics.jsonl.

        Leaves the state as the checkpoint has it, because a longer training resumes from there.
        """
        state, text, valid = self.state, self.state.metrics, dict(self.state.valid)
        if state.iteration not in valid:
            report = self.validate()
            valid[state.iteration] = report.loss
            if state.recent:
                text += history.encode(self.train_report())
            text += history.encode(report)
        published = state.iteration
        if self.spec.keep == "best":
            published = min((iteration for iteration in valid if iteration), key=valid.__getitem__)
        is_last = published == state.iteration
        weights = self.weights() if is_last else load_arrays(str(checkpoints.best_path(self.checkpoint_dir, published)))
        coverage = self.spec.coverage_after(self.rows["train"], self.samplers["train"], state.iteration)
        end = TrainingEnd(
            published="last" if is_last else "best",
            iteration=published,
            iterations=state.iteration,
            valid_loss=valid[published],
            valid_loss_last=valid[state.iteration],
            updates=state.updates,
            epochs=coverage.epochs,
            tokens=coverage.tokens,
            padding=coverage.padding,
            shared=coverage.shared,
        )
        return weights, end, text + history.encode(end)
