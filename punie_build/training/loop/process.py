"""The process that trains one adapter with mlx-lm. Started by `launch.train`, never imported by it.

    python -m punie_build.training.loop.process JOB.json

mlx-lm loads the model, adds the LoRA layers and provides the optimizers. The loop is `trainer.Trainer`, because
mlx-lm's own trains a padding token after every row, trains the last turn only, validates on a random subset, pads
rows of any length together, and loses the optimizer state when it is killed (`docs/why.md`). With several ranks every
rank is such a process, and rank 0 writes.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import mlx.core as mx
import msgspec
from mlx import nn

from punie_build.models.verify import BaseSignature, base_signature
from punie_build.training.adapter_config import AdapterConfig, LoraParameters
from punie_build.training.history import TrainEvent, TrainingEnd, TrainingStart, ValidationReport
from punie_build.training.launch import TrainJob, TrainProgress
from punie_build.training.loop import embedding_noise, gated_delta, peak_memory, sequence_packing, shared_prefix
from punie_build.training.loop.lora import load_initial, load_trainable, lora_parameters
from punie_build.training.loop.trackers import TrackerCallbacks
from punie_build.training.loop.trainer import BatchReport, Callback, LoopStart, Trainer
from punie_build.training.reference import rows_with_reference
from punie_build.training.spec import Adapter
from punie_build.training.token_file import TokenRows


class ProgressCallback:
    """A callback that writes progress.json after every batch, and passes events on to the trackers."""

    def __init__(self, job: TrainJob, trackers: TrackerCallbacks) -> None:
        self.path, self.trackers = Path(job.progress), trackers
        self.last_event = time.monotonic()
        self.seconds = self.first_batch_seconds = self.validation_seconds = 0.0
        self.initial_tokens = -1

    def __call__(self, event: TrainEvent | LoopStart | BatchReport) -> None:
        time_of_event = time.monotonic()
        elapsed, self.last_event = time_of_event - self.last_event, time_of_event
        if isinstance(event, BatchReport):
            self.seconds += elapsed
            self._write(event)
        elif not isinstance(event, LoopStart):
            if isinstance(event, ValidationReport) and not self.seconds:
                self.validation_seconds = elapsed
            self.trackers.log(event)

    def _write(self, batch: BatchReport) -> None:
        self.first_batch_seconds = self.first_batch_seconds or self.seconds
        if self.initial_tokens < 0:
            self.initial_tokens = batch.trained_tokens - batch.batch_tokens
        progress = TrainProgress(
            iteration=batch.iteration,
            loss=batch.loss,
            tokens_per_second=(batch.trained_tokens - self.initial_tokens) / max(self.seconds, 1e-9),
            seconds=self.seconds,
            first_batch_seconds=self.first_batch_seconds,
            validation_seconds=self.validation_seconds,
            peak_memory=mx.get_peak_memory() / 2**30,
            peak_resident=peak_resident_bytes() / 2**30,
        )
        self.path.write_bytes(msgspec.json.encode(progress))


def peak_resident_bytes() -> int:
    """Return the peak resident memory of this process. On Linux `getrusage` starts with that of the parent process."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on a Mac


def main(job: TrainJob) -> None:
    if mx.distributed.init().rank():
        run(job, lambda _event: None)
        return
    with TrackerCallbacks(job.spec, Path(job.tracker_dir)) as trackers:
        run(job, ProgressCallback(job, trackers))


def run(job: TrainJob, callback: Callback) -> None:
    """Train from the latest checkpoint, and write the adapter to `job.out`."""
    spec = job.spec
    reference = Path(job.reference) if job.reference else None
    rows = {split: rows_with_reference(Path(job.tokens), reference, split) for split in ("train", "valid")}
    if spec.valid == "none":
        rows["valid"] = rows["train"]
    spec = spec.for_rows(rows["train"])
    model, layers = load_trainable(spec, job.base, len(rows["train"]))
    check_vocabulary(spec, model, rows)
    if job.init:
        load_initial(model, spec, Path(job.init))
    if problem := gated_delta.install(model):
        print(f"punie-build: {spec.base}: {problem}", flush=True)
    if spec.neftune_noise_alpha and (problem := embedding_noise.install(model, spec.neftune_noise_alpha)):
        raise SystemExit(f"punie: neftune_noise_alpha: {spec.base} is not changed by noise: {problem} - remove it")
    spec = with_exact_batching(spec, model, rows)
    trainer = Trainer(model, rows, spec, Path(job.checkpoint_dir), callback)
    largest = spec.largest_batch(max(max(split.lengths) for split in rows.values()))
    if problem := trainer.chunked_loss.try_out(largest, mx.array(rows["train"].row(0)[0][:64].tolist())):
        print(f"punie-build: {spec.base}: the loss is computed at once: {problem}", flush=True)
    on_main_thread = threading.current_thread() is threading.main_thread()
    if trainer.world.size() == 1 and on_main_thread:  # with several ranks, one that stopped would block the others
        signal.signal(signal.SIGTERM, lambda *_: setattr(trainer, "stopping", True))
    memory = Path(job.memory) if job.memory and trainer.is_main else Path(os.devnull)
    peak_memory.settle(trainer, job.rung, lambda report: memory.write_bytes(msgspec.json.encode(report)))
    trainer.resume(job.intact)
    if not trainer.state.iteration:
        sizes = {split: len(split_rows) for split, split_rows in rows.items()}
        sizes["valid"] = sizes["valid"] if spec.valid == "rows" else 0
        trainer.record(TrainingStart(rows=sizes, layers=layers, batching=spec.batching))
    trainer.train()
    weights, end, metrics = trainer.finish()
    if trainer.is_main:
        write_adapter(job, weights, metrics, adapter_config(spec, layers, end, base_signature(Path(job.base))))


def check_vocabulary(spec: Adapter, model: nn.Module, rows: dict[str, TokenRows]) -> None:
    """Exit if rows have tokens beyond the vocabulary of the model: mlx would read other memory, without an error."""
    vocabulary = model(mx.zeros((1, 2), mx.int32)).shape[-1]  # known without computing
    largest = max(int(split.ids.max()) for split in rows.values())
    if largest >= vocabulary:
        raise SystemExit(
            f"punie: {spec.base}: its tokenizer gives token {largest}, and the last one of its weights is "
            f"{vocabulary - 1} - copy the tokenizer of these weights, or weights that know the token"
        )


def with_exact_batching(spec: Adapter, model: nn.Module, rows: dict[str, TokenRows]) -> Adapter:
    """Return the spec with "bucket" instead of a batching that gives this model other gradients, and say why."""
    train = rows["train"]
    if spec.batching == "pack" and (problem := sequence_packing.problem(model, train)):
        print(f'punie-build: batching: {spec.base} cannot be packed: {problem} - using "bucket"', flush=True)
    elif spec.batching == "prefix" and (
        problem := shared_prefix.problem(model, train, shared_prefix.sliding_window(model, rows))
    ):
        print(f'punie-build: batching: {spec.base} cannot share prefixes: {problem} - using "bucket"', flush=True)
    else:
        return spec
    return msgspec.structs.replace(spec, batching="bucket")


def write_adapter(job: TrainJob, weights: dict[str, mx.array], metrics: str, config: AdapterConfig) -> None:
    """Write the adapter in mlx-lm's format. The config comes last, so that its presence marks the adapter as
    complete."""
    out = Path(job.out)
    mx.save_safetensors(str(out / "adapters.safetensors"), weights)
    (out / "metrics.jsonl").write_text(metrics, encoding="utf-8")
    config.write(out)


def adapter_config(spec: Adapter, layers: int, end: TrainingEnd, base: BaseSignature) -> AdapterConfig:
    """Return the adapter_config.json of a finished training."""
    return AdapterConfig(
        fine_tune_type=spec.fine_tune_type,
        num_layers=layers,
        lora_parameters=LoraParameters(**lora_parameters(spec)),
        mask=spec.mask,
        seed=spec.seed,
        iters=end.iterations,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        published=end.published,
        iteration=end.iteration,
        valid_loss=end.valid_loss,
        valid_loss_last=end.valid_loss_last,
        base=base,
    )


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TrainJob))
