"""Checkpoints: all that training needs to go on where it was, in one folder that is there whole or not at all.

    .punie/training/IDENTITY/000300/    state.safetensors (weights and optimiser), state.json (position and history)
    .punie/training/IDENTITY/best-000200.safetensors

The identity is a digest of everything that decides the course of the training, except how long it is.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

Arrays = dict[str, Any]  # name -> mlx array
NEVER = 2**62


class State(Struct, kw_only=True):
    """Where training is. `iteration` batches are done, in `updates` of the weights, `booked` of them are in the books: `learnt`
    tokens so far, and since the last report `recent` tokens with a `loss` of so many nats in all. `valid` has (iteration, loss)
    of every regular validation, `metrics` the text of metrics.jsonl; `saved` is when a checkpoint was kept."""

    iteration: int = 0
    updates: int = 0
    booked: int = 0
    learnt: int = 0
    recent: int = 0
    loss: float = 0.0
    valid: list[tuple[int, float]] = []
    metrics: str = ""
    saved: int = 0

    @property
    def best(self) -> int:
        """The iteration of the lowest validation loss, the first of equals; the base itself does not count."""
        return min((pair for pair in self.valid if pair[0]), key=lambda pair: pair[1], default=(0, 0.0))[0]

    def stopped(self, patience: int | None) -> int:
        """The iteration after which `patience` validations in a row had found nothing better; `NEVER` if none was."""
        lowest, found = float("inf"), 0
        for iteration, loss in self.valid:
            if not iteration:
                continue
            found = 0 if loss < lowest else found + 1
            lowest = min(lowest, loss)
            if patience and found >= patience:
                return iteration
        return NEVER


def save(folder: Path, state: State, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Keep a checkpoint, and remove those before it. `write` is `mx.save_safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{state.iteration:06}"
    fresh = folder / f"{done.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    write(str(fresh / "state.safetensors"), arrays)
    (fresh / "state.json").write_bytes(msgspec.json.encode(state))
    for name in ("state.safetensors", "state.json"):
        _settle(fresh / name)
    shutil.rmtree(done, ignore_errors=True)  # of the same course, or one that could not be read
    fresh.rename(done)
    _settle(folder)
    for old in _found(folder, state.iteration - 1):
        shutil.rmtree(old, ignore_errors=True)
    for file in folder.glob("best-*.safetensors"):  # those after it may be needed by a longer training that stopped
        if int(file.stem.partition("-")[2]) < state.best:
            file.unlink()


def keep(folder: Path, iteration: int, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Keep the best weights so far."""
    folder.mkdir(parents=True, exist_ok=True)
    place = best(folder, iteration)
    fresh = folder / "new.safetensors"
    write(str(fresh), arrays)
    _settle(fresh)
    fresh.replace(place)


def best(folder: Path, iteration: int) -> Path:
    """The file of the weights that were the best, after so many batches."""
    return folder / f"best-{iteration:06}.safetensors"


def held(folder: Path, fits: Callable[[State], bool]) -> Iterator[tuple[Path, State]]:
    """The checkpoints that can be read and fit, the latest first. Only their positions are read."""
    for place in _found(folder, NEVER):
        try:
            state = msgspec.json.decode((place / "state.json").read_bytes(), type=State)
        except (OSError, ValueError):  # a disk that was full, or somebody's hands
            continue
        if fits(state):
            yield place, state


def load(folder: Path, fits: Callable[[State], bool], read: Callable[[str], Arrays]) -> tuple[State, Arrays] | None:
    """The latest checkpoint that fits. `read` is `updating.arrays`."""
    for place, state in held(folder, fits):
        try:
            return state, read(str(place / "state.safetensors"))
        except (OSError, ValueError, RuntimeError):
            continue
    return None


def sweep(place: Path, days: float, dry: bool = False) -> tuple[int, int]:
    """Remove the checkpoints of trainings that nobody went on with for `days` days; (trainings, bytes). `place` holds a folder
    for each."""
    old = [folder for folder in place.glob("*") if time.time() - folder.stat().st_mtime > days * 86400]
    freed = sum(path.stat().st_size for folder in old for path in folder.rglob("*") if path.is_file())
    for folder in () if dry else old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old), freed


def fits(folder: Path, iters: int, patience: int | None, keeps_best: bool) -> Callable[[State], bool]:
    """Whether a training of so many batches comes by a state: it is not past its end, and its best weights are here."""

    def fit(state: State) -> bool:
        if state.iteration > iters or state.stopped(patience) < state.iteration:
            return False
        return not (keeps_best and state.best) or best(folder, state.best).exists()

    return fit


def _found(folder: Path, most: int) -> list[Path]:
    names = (path for path in folder.glob("*") if path.name.isdigit() and int(path.name) <= most)
    return sorted(names, key=lambda path: int(path.name), reverse=True)


def _settle(path: Path) -> None:
    """On disk before anything counts on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
