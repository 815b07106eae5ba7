"""Training: an adapter from a base and a dataset, in a process of its own, and proof that it is what was asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec

from punie_build import blas, conformance
from punie_build.adapters import Adapter
from punie_build.children import Child
from punie_build.errors import ModelError
from punie_build.screen import Bar

FEWEST = 40  # training examples below this number teach little but the examples themselves
POLL_SECONDS = 0.2


def train(root: Path, base: Path, data: Path, spec: Adapter, out: Path, log: Path) -> None:
    """Train into `out`: adapters.safetensors, adapter_config.json, metrics.jsonl. Raises ModelError, with what to do."""
    scratch = log.parent
    scratch.mkdir(parents=True, exist_ok=True)
    progress, job = scratch / "progress.json", scratch / "job.json"
    progress.unlink(missing_ok=True)
    job.write_text(
        json.dumps(
            {
                "base": str(base),
                "data": str(data),
                "out": str(out),
                "progress": str(progress),
                "spec": msgspec.to_builtins(spec),
            }
        )
    )
    with (
        Child("punie_build.trainer", [str(job)], log, blas.environment(root)) as child,
        Bar(f"training {out.name}", spec.iters) as bar,
    ):
        started = time.monotonic()
        while child.running:
            time.sleep(POLL_SECONDS)
            if state := _last(progress):
                rate = state["tokens"] / max(time.monotonic() - started, 1e-9)
                bar(state["iteration"], f"loss {state['loss']:.3f}  {rate:.0f} tokens/s")
        if child.process.returncode != 0:
            raise ModelError(child.failure("training"))
    if problems := list(conformance.adapter(out, spec, base)):
        raise ModelError(
            "\n".join(f"the trained adapter is not what the recipe asks for: {problem}" for problem in problems)
        )


def _last(progress: Path) -> dict[str, Any] | None:
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
    valid = [event for event in events if event["event"] == "valid"]
    start = next(event for event in events if event["event"] == "start")
    first, last = valid[0]["loss"], valid[-1]["loss"]
    rows, epochs = start["rows"]["train"], start["epochs"]
    return f"{rows} rows, {epochs:.1f} epochs, validation loss {first:.3f} -> {last:.3f}", {
        "rows": rows,
        "epochs": epochs,
        "valid_loss_start": first,
        "valid_loss": last,
        "valid_accuracy": valid[-1]["accuracy"],
    }
