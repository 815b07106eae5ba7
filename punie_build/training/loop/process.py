"""Trainer: the process that trains one adapter with mlx-lm. Run by `training`, never imported by it.

    python -m punie_build.training.loop.process JOB.json

mlx-lm loads the model, makes its layers LoRA and gives the optimisers; the loop is ours, because mlx-lm's own trains a pad
token after every row, learns the last turn only, validates on a random subset, pads whatever comes together and forgets its
optimiser when it is killed (`docs/why.md`). With several ranks each is such a process, and the first one writes.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec

from punie_build.models.verify import BaseSignature, base_signature
from punie_build.training import token_file
from punie_build.training.adapter_config import AdapterConfig, LoraParameters
from punie_build.training.history import TrainingEnd
from punie_build.training.launch import Job
from punie_build.training.loop import sequence_packing
from punie_build.training.loop.lora import adapted, parameters
from punie_build.training.loop.trackers import Followers
from punie_build.training.loop.trainer import Course, Watch
from punie_build.training.spec import Adapter


class Watcher:
    """Where whoever waits can look: how fast it goes, and what else follows.

    Progress has learnt tokens a second since this process began; seconds of training until now, of the first batch, and of the
    validation before it (`validated`); memory in GiB, of mlx and of the whole process.
    """

    def __init__(self, job: Job, followers: Followers) -> None:
        self.progress, self.followers = Path(job.progress), followers
        self.since = time.monotonic()
        self.passed = self.first = self.validated = 0.0
        self.before = -1

    def __call__(self, kind: str, facts: dict[str, Any]) -> None:
        now = time.monotonic()
        spent, self.since = now - self.since, now
        if kind == "batch":
            self.passed += spent
            self.show(facts)
            return
        if kind == "valid" and not self.passed:
            self.validated = spent
        self.followers.tell(kind, facts)

    def show(self, facts: dict[str, Any]) -> None:
        self.first = self.first or self.passed
        self.before = facts["learnt"] - facts["more"] if self.before < 0 else self.before
        said = {
            "iteration": facts["iteration"],
            "loss": facts["loss"],
            "tokens_per_second": (facts["learnt"] - self.before) / max(self.passed, 1e-9),
            "seconds": self.passed,
            "first": self.first,
            "validated": self.validated,
            "peak_memory": mx.get_peak_memory() / 2**30,
            "resident": resident() / 2**30,
        }
        self.progress.write_text(json.dumps(said))


def resident() -> int:
    """The most memory this process has held, in bytes. What `getrusage` says on Linux began with the parent's."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on a Mac


def main(job: Job) -> None:
    if mx.distributed.init().rank():
        run(job, lambda _kind, _facts: None)
        return
    with Followers(job.spec, Path(job.board)) as followers:
        run(job, Watcher(job, followers))


def run(job: Job, watch: Watch) -> None:
    """Train and publish, from where an earlier process came to; `watch` is told every event."""
    spec = job.spec
    rows = {side: token_file.load(Path(job.tokens, f"{side}.safetensors")) for side in ("train", "valid")}
    model, layers = adapted(spec, job.base, len(rows["train"]))
    if spec.batching == "pack" and not sequence_packing.exact(model, rows["train"]):
        print("punie-build: this base cannot be packed exactly: its rows are bucketed", flush=True)
        spec = msgspec.structs.replace(spec, batching="bucket")
    course = Course(model, rows, spec, Path(job.kept), watch)
    if (
        course.world.size() == 1 and threading.current_thread() is threading.main_thread()
    ):  # a rank waits for the others
        signal.signal(signal.SIGTERM, lambda *_: setattr(course, "stopping", True))
    course.resume()
    if not course.state.iteration:
        sizes = {side: len(some) for side, some in rows.items()}
        course.event("start", {"rows": sizes, "layers": layers, "batching": spec.batching})
    course.train()
    weights, end, text = course.end()
    if course.first:
        publish(job, weights, text, config(spec, layers, end, base_signature(Path(job.base))))


def publish(job: Job, weights: dict[str, mx.array], metrics: str, config: AdapterConfig) -> None:
    """Write the adapter as mlx-lm loads it; the config last, which says that all of it is there."""
    out = Path(job.out)
    mx.save_safetensors(str(out / "adapters.safetensors"), weights)
    (out / "metrics.jsonl").write_text(metrics, encoding="utf-8")
    config.write(out)


def config(spec: Adapter, layers: int, end: TrainingEnd, base: BaseSignature) -> AdapterConfig:
    """Return the adapter_config.json of a training that has ended."""
    return AdapterConfig(
        fine_tune_type=spec.fine_tune_type,
        num_layers=layers,
        lora_parameters=LoraParameters(**parameters(spec)),
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
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job))
