"""Checkpoints of a training, each written to a folder that is published atomically.

    .punie/training/KEY/000300/    state.safetensors (weights and optimizer), state.json (position and history)
    .punie/training/KEY/000300/sha256             the digests of these files and of the best weights
    .punie/training/KEY/best-000200.safetensors

KEY is `launch.checkpoint_key`: a digest of all that determines the training, except its length.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field, structs

from punie_build.storage import atomic, digests

Arrays = dict[str, Any]  # name -> mlx array
NEVER = 2**62
DIGESTS = "sha256"  # in a checkpoint: the digests of its files, and of the best weights
STARTED = time.monotonic()  # of this process: it trains one adapter


class TrainerState(Struct, kw_only=True):
    """The position and the history of a training.

    `iteration` batches and `updates` are computed; the losses of `logged` batches are read back. `trained_tokens`
    counts all tokens so far; `recent` tokens or pairs, with a summed `loss` in nats, are not in a report yet. `valid`
    holds (iteration, loss) of every regular validation, `metrics` the text of metrics.jsonl. `saved` is the iteration
    of the last checkpoint. A checkpoint has the `seconds` of all processes up to it, the state in memory those of
    earlier ones.
    """

    iteration: int = 0
    updates: int = 0
    logged: int = field(name="booked", default=0)
    trained_tokens: int = field(name="learnt", default=0)
    recent: int = 0
    loss: float = 0.0
    valid: list[tuple[int, float]] = []
    metrics: str = ""
    saved: int = 0
    seconds: float = 0.0

    @property
    def best_iteration(self) -> int:
        """The first iteration with the lowest validation loss, without the base itself; 0 before any validation."""
        return min((pair for pair in self.valid if pair[0]), key=lambda pair: pair[1], default=(0, 0.0))[0]

    def early_stop_iteration(self, patience: int | None) -> int:
        """Return the iteration after which `patience` validations in a row had no lower loss; `NEVER` if there is
        none."""
        lowest, misses = float("inf"), 0
        for iteration, loss in self.valid:
            if not iteration:
                continue
            misses = 0 if loss < lowest else misses + 1
            lowest = min(lowest, loss)
            if patience and misses >= patience:
                return iteration
        return NEVER


def save(folder: Path, state: TrainerState, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Write a checkpoint, and remove earlier ones. `write` is `mx.save_safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{state.iteration:06}"
    temporary = folder / f"{target.name}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    write(str(temporary / "state.safetensors"), arrays)
    timed = structs.replace(state, seconds=state.seconds + time.monotonic() - STARTED)
    (temporary / "state.json").write_bytes(msgspec.json.encode(timed))
    files = {name: temporary / name for name in ("state.safetensors", "state.json")}
    files |= {path.name: path for path in [best_path(folder, state.best_iteration)] if path.exists()}
    lines = (f"{digests.compute(path)}  {name}\n" for name, path in files.items())
    (temporary / DIGESTS).write_text("".join(lines))
    shutil.rmtree(target, ignore_errors=True)  # from the same run, or unreadable
    atomic.replace_folder(temporary, target)
    for old in _numbered_folders(folder, state.iteration - 1):
        shutil.rmtree(old, ignore_errors=True)
    for file in folder.glob("best-*.safetensors"):  # a longer run that stopped may need those of later iterations
        if int(file.stem.partition("-")[2]) < state.best_iteration:
            file.unlink()


def save_best(folder: Path, iteration: int, arrays: Arrays, write: Callable[[str, Arrays], None]) -> None:
    """Write the best weights so far."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "new.safetensors"
    write(str(temporary), arrays)
    atomic.publish_file(temporary, best_path(folder, iteration))


def best_path(folder: Path, iteration: int) -> Path:
    """Return the file of the weights that were the best after `iteration` batches."""
    return folder / f"best-{iteration:06}.safetensors"


def resumable(
    folder: Path, fits: Callable[[TrainerState], bool], intact: Collection[str] | None = None
) -> Iterator[tuple[Path, TrainerState]]:
    """Yield folder and state of each checkpoint that fits and whose bytes are those that were written, the latest
    first. Reads no arrays. `intact` are the names of those with these bytes, if they were compared before."""
    for path, state in _states(folder):
        if fits(state) and (is_intact(path) if intact is None else path.name in intact):
            yield path, state


def states(folder: Path) -> Iterator[TrainerState]:
    """Yield the state of each readable checkpoint, the latest first, without a look at its arrays."""
    return (state for _, state in _states(folder))


def is_intact(checkpoint: Path) -> bool:
    """Return whether the files of a checkpoint, and the best weights beside it, have the digests that were written."""
    try:
        lines = [line.split() for line in (checkpoint / DIGESTS).read_text(encoding="ascii").splitlines()]
        places = {
            name: checkpoint / name if name.startswith("state.") else checkpoint.parent / name for _, name in lines
        }
        return len(lines) > 1 and all(digests.compute(places[name]) == digest for digest, name in lines)
    except (OSError, ValueError):
        return False


def intact_and_damaged(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the checkpoints of a training: with the bytes that were written, and with other ones."""
    names: tuple[list[str], list[str]] = [], []
    for path in _numbered_folders(folder, NEVER):
        names[not is_intact(path)].append(path.name)
    return names


def load(
    folder: Path,
    fits: Callable[[TrainerState], bool],
    read: Callable[[str], Arrays],
    intact: Collection[str] | None = None,
) -> tuple[TrainerState, Arrays] | None:
    """Return the latest readable checkpoint that fits, if any. `read` is `optimizer.load_arrays`."""
    for path, state in resumable(folder, fits, intact):
        try:
            return state, read(str(path / "state.safetensors"))
        except (OSError, ValueError, RuntimeError):
            continue
    return None


def remove_older(folder: Path, when: float) -> None:
    """Remove the checkpoints and best weights of a training from before a time, in seconds since 1970."""
    for path in folder.glob("*"):
        if path.stat().st_mtime >= when:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_unused(folder: Path, days: float, dry: bool = False) -> tuple[int, int]:
    """Remove the checkpoints of trainings that were not resumed for `days` days; return (trainings, bytes).

    `folder` has one folder for each training. With `dry`, count only.
    """
    unused = [path for path in folder.glob("*") if time.time() - path.stat().st_mtime > days * 86400]
    size = sum(path.stat().st_size for training in unused for path in training.rglob("*") if path.is_file())
    for path in () if dry else unused:
        shutil.rmtree(path, ignore_errors=True)
    return len(unused), size


def resume_condition(
    folder: Path, iters: int, patience: int | None, keeps_best: bool
) -> Callable[[TrainerState], bool]:
    """Return a predicate: can a training of `iters` batches resume from this state?

    It can if the state is not beyond the end of the training, and the file of the state's best weights exists.
    """

    def fits(state: TrainerState) -> bool:
        if state.iteration > iters or state.early_stop_iteration(patience) < state.iteration:
            return False
        return not (keeps_best and state.best_iteration) or best_path(folder, state.best_iteration).exists()

    return fits


def _states(folder: Path) -> Iterator[tuple[Path, TrainerState]]:
    for path in _numbered_folders(folder, NEVER):
        with suppress(OSError, ValueError):  # the disk was full, or the file was edited
            yield path, msgspec.json.decode((path / "state.json").read_bytes(), type=TrainerState)


def _numbered_folders(folder: Path, last: int) -> list[Path]:
    numbered = (path for path in folder.glob("*") if path.name.isdigit() and int(path.name) <= last)
    return sorted(numbered, key=lambda path: int(path.name), reverse=True)
