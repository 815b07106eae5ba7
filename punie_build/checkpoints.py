"""Checkpoints: all that training needs to go on where it was, in one folder that is there whole or not at all.

    .punie/training/IDENTITY/000300/    state.safetensors (weights and optimiser), state.json (position and history)
    .punie/training/IDENTITY/best-000200.safetensors

The identity is a digest of everything that decides the course of the training, except how long it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

Arrays = dict[str, Any]  # name -> mlx array


class State(Struct, kw_only=True):
    """Where training is. `iteration` batches are done, in `updates` of the weights; `learnt` tokens so far; `recent` are the
    losses since the last report; `valid` (iteration, loss) of every regular validation; `metrics` is the text of
    metrics.jsonl up to here."""

    iteration: int = 0
    updates: int = 0
    learnt: int = 0
    recent: list[float] = []
    valid: list[tuple[int, float]] = []
    metrics: str = ""

    @property
    def best(self) -> int:
        """The iteration of the lowest validation loss, the first of equals; the base itself does not count."""
        return min((pair for pair in self.valid if pair[0]), key=lambda pair: pair[1], default=(0, 0.0))[0]

    def stale(self) -> int:
        """How many validations found nothing better since the best."""
        return sum(iteration > self.best for iteration, _ in self.valid)


def save(folder: Path, state: State, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Keep a checkpoint, and remove those before it. `write` is `mx.save_safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{state.iteration:06}"
    if done.exists():
        return
    fresh = folder / f"{done.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    write(str(fresh / "state.safetensors"), arrays)
    (fresh / "state.json").write_bytes(msgspec.json.encode(state))
    for name in ("state.safetensors", "state.json"):
        _settle(fresh / name)
    fresh.rename(done)
    _settle(folder)
    for old in found(folder, state.iteration - 1):
        shutil.rmtree(old, ignore_errors=True)
    for file in folder.glob("best-*.safetensors"):  # those after it may be needed by a training that goes on from here
        if file < best(folder, state.best):
            file.unlink()


def keep(folder: Path, iteration: int, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Keep the best weights so far."""
    folder.mkdir(parents=True, exist_ok=True)
    place = best(folder, iteration)
    fresh = place.with_name("best.new.safetensors")
    write(str(fresh), arrays)
    _settle(fresh)
    fresh.replace(place)


def best(folder: Path, iteration: int) -> Path:
    """The file of the weights that were the best, after so many batches."""
    return folder / f"best-{iteration:06}.safetensors"


def found(folder: Path, most: int) -> list[Path]:
    """The checkpoints of at most `most` iterations, the latest first."""
    names = (path for path in folder.glob("*") if path.name.isdigit() and int(path.name) <= most)
    return sorted(names, key=lambda path: int(path.name), reverse=True)


def load(folder: Path, most: int, read: Callable[[str], Arrays]) -> tuple[State, Arrays] | None:
    """The latest checkpoint of at most `most` iterations that can be read. `read` is `mx.load`."""
    for place in found(folder, most):
        try:
            state = msgspec.json.decode((place / "state.json").read_bytes(), type=State)
            return state, read(str(place / "state.safetensors"))
        except (OSError, ValueError, RuntimeError):  # a disk that was full, or somebody's hands
            continue
    return None


def _settle(path: Path) -> None:
    """On disk before anything counts on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
