"""Start the processes that tokenize a dataset and train an adapter, and verify the trained adapter against its
recipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec
from msgspec import Struct, field, structs

from punie_build.errors import ModelError
from punie_build.runtime import blas, child, machine_memory
from punie_build.runtime.child import Child
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths
from punie_build.storage.locks import KeyInputs, Lock
from punie_build.training import adapter_files, checkpoints, distributed, token_file, verify
from punie_build.training.checkpoints import TrainerState
from punie_build.training.memory_ladder import lacked_memory, read_report, rungs
from punie_build.training.reference import compute as compute_reference
from punie_build.training.spec import ITERS, Adapter, Tokenized
from punie_build.training.token_file import TokenStats

MIN_EXAMPLES = 40  # with fewer training examples an adapter mostly memorizes them
POLL_SECONDS = 0.2
TRACKER_PACKAGES = {
    "wandb": "wandb",
    "swanlab": "swanlab",
    "tensorboard": "tensorboardX",
}  # name in a recipe -> package


class TokenizeJob(Struct, frozen=True, kw_only=True):
    """job.json of the tokenization process: folders of the base, of the data and of the output."""

    base: str
    data: str
    out: str
    spec: Tokenized


class TrainingRun(Struct, frozen=True, kw_only=True):
    """A training to run: folders of its project, base, tokens, output, checkpoints, initial adapter and reference, and
    its log. A reference that DPO needs and that is not given is computed first."""

    root: Path
    base: Path
    tokens: Path
    spec: Adapter
    out: Path
    checkpoint_dir: Path
    log: Path
    init: Path | None = None
    reference: Path | None = None


class TrainJob(Struct, frozen=True, kw_only=True):
    """job.json of the training process: the folders of a run, and where it writes its progress and its tracker files.

    `intact` are the names of the checkpoints whose bytes were compared; None if the process is to compare them. The
    training starts on `rung` of the memory ladder or above, and reports to the file `memory`.
    """

    base: str
    tokens: str
    out: str
    checkpoint_dir: str = field(name="kept")
    progress: str
    tracker_dir: str = field(name="board")
    spec: Adapter
    init: str = ""
    reference: str = ""
    intact: list[str] | None = None
    rung: int = 0
    memory: str = ""


class TrainProgress(Struct, frozen=True, kw_only=True):
    """progress.json of the training process, which it replaces after every batch.

    Trained tokens per second since the process began; seconds of training so far, of the first batch, and of the
    validation before it; peak memory in GiB, of mlx and of the whole process.
    """

    iteration: int
    loss: float
    tokens_per_second: float
    seconds: float
    first_batch_seconds: float = field(name="first")
    validation_seconds: float = field(name="validated")
    peak_memory: float
    peak_resident: float = field(name="resident")


def tokenize(base: Path, data: Path, spec: Tokenized, out: Path, logs: Path) -> TokenStats:
    """Tokenize a data folder for a base into `out`, and return its counts. Raises ModelError."""
    job = TokenizeJob(base=str(base), data=str(data), out=str(out), spec=spec)
    file = child.job_file(logs / "job.json", job)
    child.run("punie_build.training.tokenize_process", [file], logs / "tokenizing.log")
    return token_file.read_stats(out)


def train(run: TrainingRun, say: Callable[[str], object] = print) -> TrainerState:
    """Train into `run.out`: adapters.safetensors, adapter_config.json, metrics.jsonl. Raises ModelError.

    Returns the state of the interrupted or shorter training that it resumed; without one, an initial state.
    """
    train_rows = token_file.load(run.tokens / "train.safetensors")
    spec = run.spec.for_rows(train_rows)
    if missing := [name for name in spec.report_to if not find_spec(TRACKER_PACKAGES[name])]:
        packages = " ".join(TRACKER_PACKAGES[name] for name in missing)
        raise ModelError(f"report_to: {', '.join(missing)} not installed - pip install {packages}, or remove it")
    coverage = spec.coverage(train_rows)
    fits = checkpoints.resume_condition(run.checkpoint_dir, coverage.iters, spec.early_stop, spec.keep == "best")
    intact, damaged = checkpoints.intact_and_damaged(run.checkpoint_dir)  # the process compares no bytes again
    resumed = next((state for _, state in checkpoints.resumable(run.checkpoint_dir, fits, intact)), TrainerState())
    initial = resumed.iteration
    if damaged:
        names = ", ".join(damaged)
        say(f"checkpoint {names}: not the bytes that were written, so it is not used; training from {initial}")
    say(f"{coverage}" + (f"; resumed after {initial}" if initial else ""))
    scratch = run.log.parent
    scratch.mkdir(parents=True, exist_ok=True)
    progress = scratch / "progress.json"
    progress.unlink(missing_ok=True)
    reference = run.reference
    if spec.loss == "dpo" and reference is None:  # a training without a recipe
        reference = scratch / "reference"
        reference.mkdir(exist_ok=True)
        compute_reference(run.root, run.base, run.tokens, reference, scratch, run.init)
    first = TrainJob(
        base=str(run.base),
        tokens=str(run.tokens),
        out=str(run.out),
        checkpoint_dir=str(run.checkpoint_dir),
        progress=str(progress),
        tracker_dir=str(run.root / paths.tracker_run(run.out.name)),
        spec=spec,
        init=str(run.init or ""),
        reference=str(reference or ""),
        intact=None if spec.hosts else intact,
        memory=str(scratch / "memory.json"),
    )
    warn_of_battery(say)
    _climb(run, first, coverage.iters, initial, say)
    if problems := list(verify.adapter(run.out, spec, run.base)):
        raise ModelError("\n".join(f"the trained adapter differs from its recipe: {problem}" for problem in problems))
    return resumed


def _climb(run: TrainingRun, first: TrainJob, iters: int, initial: int, say: Callable[[str], object]) -> None:
    """Run the training process, again and one rung higher if it lacks memory. Raises ModelError with the reason of
    another end."""
    job, memory = first, Path(first.memory)
    ladder = rungs(run.spec.batch_size)
    while True:
        memory.unlink(missing_ok=True)
        before = machine_memory.kills()
        process = _run_process(run, job, iters, initial)
        report, code = read_report(memory), process.process.returncode
        if code == 0 and (run.out / adapter_files.NAME).exists():
            if report.rung:
                say(f"memory: {ladder[report.rung]}, {report}")
            return
        peak = state.peak_resident * 2**30 if (state := read_progress(Path(job.progress))) else 0
        lacked = report.limit > 0 and lacked_memory(
            code,
            process.text(),
            kernel_kills=machine_memory.kills() - before,
            used=max(report.predicted, peak),
            limit=report.limit,
        )
        rung = max(report.rung, job.rung) + 1
        if not lacked or rung >= len(ladder):
            raise ModelError(process.failure("training"))
        say(f"the training lacked memory, and goes on from its checkpoint: {ladder[rung]}")
        job = structs.replace(job, rung=rung, intact=None)


def _run_process(run: TrainingRun, job: TrainJob, iters: int, initial: int) -> Child:
    """Run the training process of a job to its end, with a progress bar, and return it."""
    progress, file = Path(job.progress), run.log.parent / "job.json"
    child.job_file(file, job)
    variables = blas.environment(run.root)
    with (
        Child(*distributed.command(run.spec, file, variables), run.log, variables) as process,
        ProgressBar(f"training {run.out.name}", iters, initial) as bar,
    ):
        while process.running:
            time.sleep(POLL_SECONDS)
            if state := read_progress(progress):
                bar(state.iteration, f"loss {state.loss:.3f}  {state.tokens_per_second:.0f} tokens/s")
    return process


def warn_of_battery(say: Callable[[str], object], platform: str = sys.platform) -> None:
    """Report a battery that discharges: a training may outlast it."""
    charge = machine_memory.battery(platform)
    if charge is not None:
        say(f"battery: {charge} % and discharging - plug it in; a training that ends goes on from its checkpoint")


def checkpoint_key(inputs: KeyInputs, spec: Adapter) -> str:
    """Return the name of a run's checkpoint folder: a digest of all that determines the run, except its length.

    Runs with the same key resume from each other's checkpoints.
    """
    ignored = {"early_stop", "gates", *(("iters", "epochs", "tokens") if spec.extendable else ())}
    recipe = {name: value for name, value in inputs.recipe.items() if name not in ignored}
    return digest(structs.replace(inputs, recipe=recipe))[:32]


def done_share(root: Path, spec: Adapter, inputs: KeyInputs, lock: Lock) -> float:
    """Return the share of a training that its latest checkpoint has, as far as its number of batches is known from the
    recipe or, for epochs, from the lock of an earlier one."""
    total = float(spec.iters or ITERS)
    if spec.epochs is not None or spec.tokens is not None:
        epochs = lock.metrics.get("epochs", 0)
        total = lock.metrics["iterations"] / epochs * spec.epochs if spec.epochs and epochs else 0.0
    folder = root / paths.checkpoints(checkpoint_key(inputs, spec))
    done = max((state.iteration for state in checkpoints.states(folder) if state.iteration <= total), default=0)
    return done / total if total else 0.0


def count_train_rows(tokens: Path) -> int:
    """Return the number of training rows in a folder of tokens."""
    return len(token_file.load(tokens / "train.safetensors"))


def read_progress(path: Path) -> TrainProgress | None:
    """Return the progress of a running training, or None before its first batch."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainProgress)
    except (OSError, ValueError):  # not written yet, or half written
        return None
