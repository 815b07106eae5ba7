"""Training: an adapter from a base and a dataset, in a process of its own, and proof that it is what was asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from punie_build import blas, checkpoints, children, conformance, tokenfiles
from punie_build.adapters import Adapter, Tokenized
from punie_build.children import Child
from punie_build.errors import ModelError
from punie_build.locks import Facts
from punie_build.screen import Bar
from punie_build.spec import digest

LAUNCHER = "mlx._distributed_utils.launch"
FEWEST = 40  # training examples below this number teach little but the examples themselves
POLL_SECONDS = 0.2


class Training(Struct, frozen=True, kw_only=True):
    """A training to be done: the folders of the base, of the tokens, of what comes out and of its checkpoints (`kept`)."""

    root: Path
    base: Path
    tokens: Path
    spec: Adapter
    out: Path
    kept: Path
    log: Path


def tokenize(base: Path, data: Path, spec: Tokenized, out: Path, logs: Path) -> dict[str, dict[str, int]]:
    """Write a data folder in the tokens of a base; what each split has, by name. Raises ModelError, with what to do."""
    job = logs / "job.json"
    job.parent.mkdir(parents=True, exist_ok=True)
    places = {"base": str(base), "data": str(data), "out": str(out)}
    job.write_bytes(msgspec.json.encode({**places, "spec": msgspec.to_builtins(spec)}))
    children.run("punie_build.tokenizing", [str(job)], logs / "tokenizing.log")
    return msgspec.json.decode((out / "stats.json").read_bytes(), type=dict[str, dict[str, int]])


def train(work: Training, say: Callable[[str], object] = print) -> int:
    """Train into `out`: adapters.safetensors, adapter_config.json, metrics.jsonl. How many batches had been done before, by a
    training that was stopped or was shorter. Raises ModelError, with what to do."""
    scratch = work.log.parent
    scratch.mkdir(parents=True, exist_ok=True)
    progress, job = scratch / "progress.json", scratch / "job.json"
    progress.unlink(missing_ok=True)
    coverage = work.spec.coverage([length - 1 for length in tokenfiles.load(work.tokens / "train.safetensors").lengths])
    before = next((int(place.name) for place in checkpoints.found(work.kept, coverage.iters)), 0)
    say(f"{coverage}" + (f"; goes on after {before}" if before else ""))
    places = {name: str(getattr(work, name)) for name in ("base", "tokens", "out", "kept")}
    job.write_text(json.dumps({**places, "progress": str(progress), "spec": msgspec.to_builtins(work.spec)}))
    with (
        Child(*command(work.spec, job), work.log, blas.environment(work.root)) as child,
        Bar(f"training {work.out.name}", coverage.iters) as bar,
    ):
        while child.running:
            time.sleep(POLL_SECONDS)
            if state := last(progress):
                bar(state["iteration"], f"loss {state['loss']:.3f}  {state['tokens_per_second']:.0f} tokens/s")
        if child.process.returncode != 0:
            raise ModelError(child.failure("training"))
    if problems := list(conformance.adapter(work.out, work.spec, work.base)):
        raise ModelError(
            "\n".join(f"the trained adapter is not what the recipe asks for: {problem}" for problem in problems)
        )
    return before


def command(spec: Adapter, job: Path) -> tuple[str, list[str]]:
    """(module, arguments) of the process that trains; with several ranks the launcher of mlx starts one on each."""
    alone = ["punie_build.trainer", str(job)]
    if spec.ranks == 1 and not spec.hosts:
        return alone[0], alone[1:]
    where = ["--hosts", ",".join(spec.hosts)] if spec.hosts else ["-n", str(spec.ranks)]
    return LAUNCHER, [*where, "--backend", "ring", "--", sys.executable, "-m", *alone]


def identity(facts: Facts, spec: Adapter) -> str:
    """What a training is, however long: trainings of one identity go on from one another's checkpoints."""
    free = {"early_stop", "gates", *(("iters", "epochs", "tokens") if spec.goes_on else ())}
    recipe = {name: value for name, value in facts.recipe.items() if name not in free}
    return digest(structs.replace(facts, recipe=recipe))[:32]


def rows(tokens: Path) -> int:
    """Of the training split."""
    return len(tokenfiles.load(tokens / "train.safetensors"))


def last(progress: Path) -> dict[str, Any] | None:
    """What a training said of its speed by now; None before its first batch."""
    try:
        return json.loads(progress.read_text())  # type: ignore[no-any-return]
    except (OSError, ValueError):  # not there yet, or half written
        return None


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The events of `metrics.jsonl`, in order."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def summary(folder: Path) -> tuple[str, dict[str, float]]:
    """One line of what came out, and what gates may ask of it: losses in nats, accuracy as a share of tokens."""
    events = metrics(folder)
    valid = {event["iteration"]: event for event in events if event["event"] == "valid"}
    start, end = (next(event for event in events if event["event"] == kind) for kind in ("start", "end"))
    first, rows, chosen = valid[0]["loss"], start["rows"]["train"], end["iteration"]
    which = (
        ""
        if end["published"] == "last"
        else f" (the best, of {end['iterations']} batches; last {end['valid_loss_last']:.3f})"
    )
    return (
        f"{rows} rows, {end['epochs']:.1f} epochs, validation loss {first:.3f} -> {end['valid_loss']:.3f}"
        + (f" after {chosen}{which}" if which else ""),
        {
            "rows": rows,
            "epochs": end["epochs"],
            "updates": end["updates"],
            "iterations": end["iterations"],
            "best_at": chosen,
            "valid_loss_start": first,
            "valid_loss": end["valid_loss"],
            "valid_loss_last": end["valid_loss_last"],
            "valid_accuracy": valid[chosen]["accuracy"],
        },
    )
