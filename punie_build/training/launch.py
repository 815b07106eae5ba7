"""Training: an adapter from a base and a dataset, in a process of its own, and proof that it is what was asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build.errors import ModelError
from punie_build.runtime import blas
from punie_build.runtime import child as children
from punie_build.runtime.child import Child
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths
from punie_build.storage.locks import KeyInputs
from punie_build.training import checkpoints, distributed, token_file, verify
from punie_build.training.spec import Adapter, Tokenized
from punie_build.training.token_file import TokenStats

FEWEST = 40  # training examples below this number teach little but the examples themselves
POLL_SECONDS = 0.2
TRACKERS = {"wandb": "wandb", "swanlab": "swanlab", "tensorboard": "tensorboardX"}  # name in a recipe -> package


class Training(Struct, frozen=True, kw_only=True):
    """A training to be done: the folders of the base, of the tokens, of what comes out and of its checkpoints (`kept`)."""

    root: Path
    base: Path
    tokens: Path
    spec: Adapter
    out: Path
    kept: Path
    log: Path


class Job(Struct, frozen=True, kw_only=True):
    """The same for the trainer, and the file it shows its progress in, and the folder of its trackers (`board`)."""

    base: str
    tokens: str
    out: str
    kept: str
    progress: str
    board: str
    spec: Adapter


def tokenize(base: Path, data: Path, spec: Tokenized, out: Path, logs: Path) -> TokenStats:
    """Write a data folder in the tokens of a base; what each split has, by name. Raises ModelError, with what to do."""
    job = logs / "job.json"
    job.parent.mkdir(parents=True, exist_ok=True)
    places = {"base": str(base), "data": str(data), "out": str(out)}
    job.write_bytes(msgspec.json.encode({**places, "spec": msgspec.to_builtins(spec)}))
    children.run("punie_build.training.tokenize_process", [str(job)], logs / "tokenizing.log")
    return token_file.stats(out)


def train(work: Training, say: Callable[[str], object] = print) -> int:
    """Train into `out`: adapters.safetensors, adapter_config.json, metrics.jsonl. How many batches had been done before, by a
    training that was stopped or was shorter. Raises ModelError, with what to do."""
    spec = work.spec
    if missing := [name for name in spec.report_to if not find_spec(TRACKERS[name])]:
        raise ModelError(
            f"report_to: {', '.join(missing)} not installed - pip install {' '.join(map(TRACKERS.__getitem__, missing))}, or take it out"
        )
    coverage = spec.coverage([length - 1 for length in token_file.load(work.tokens / "train.safetensors").lengths])
    fits = checkpoints.fits(work.kept, coverage.iters, spec.early_stop, spec.keep == "best")
    before = next((state.iteration for _, state in checkpoints.held(work.kept, fits)), 0)
    say(f"{coverage}" + (f"; goes on after {before}" if before else ""))
    scratch = work.log.parent
    scratch.mkdir(parents=True, exist_ok=True)
    progress, place = scratch / "progress.json", scratch / "job.json"
    progress.unlink(missing_ok=True)
    places = {name: str(getattr(work, name)) for name in ("base", "tokens", "out", "kept")}
    board = str(work.root / paths.tracker_run(work.out.name))
    place.write_bytes(msgspec.json.encode(Job(**places, progress=str(progress), board=board, spec=spec)))
    variables = blas.environment(work.root)
    with (
        Child(*distributed.command(spec, place, variables), work.log, variables) as child,
        ProgressBar(f"training {work.out.name}", coverage.iters, before) as bar,
    ):
        while child.running:
            time.sleep(POLL_SECONDS)
            if state := last(progress):
                bar(state["iteration"], f"loss {state['loss']:.3f}  {state['tokens_per_second']:.0f} tokens/s")
        if child.process.returncode != 0 or not (work.out / "adapter_config.json").exists():
            raise ModelError(child.failure("training"))
    if problems := list(verify.adapter(work.out, spec, work.base)):
        raise ModelError(
            "\n".join(f"the trained adapter is not what the recipe asks for: {problem}" for problem in problems)
        )
    return before


def identity(facts: KeyInputs, spec: Adapter) -> str:
    """What a training is, however long: trainings of one identity go on from one another's checkpoints."""
    free = {"early_stop", "gates", *(("iters", "epochs", "tokens") if spec.goes_on else ())}
    recipe = {name: value for name, value in facts.recipe.items() if name not in free}
    return digest(structs.replace(facts, recipe=recipe))[:32]


def rows(tokens: Path) -> int:
    """Of the training split."""
    return len(token_file.load(tokens / "train.safetensors"))


def last(progress: Path) -> dict[str, Any] | None:
    """What a training said of its speed by now; None before its first batch."""
    try:
        return json.loads(progress.read_text())  # type: ignore[no-any-return]
    except (OSError, ValueError):  # not there yet, or half written
        return None
