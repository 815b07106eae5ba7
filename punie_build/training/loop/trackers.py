"""Following: trackers that are told what metrics.jsonl is told, as it happens: wandb, swanlab, tensorboard. Imported by the trainer.

They change nothing: one that cannot be reached is said once, and training goes on without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from punie_build.training.spec import Adapter

Tell = Callable[[dict[str, float], int], object]  # numbers by name, at an iteration


class Followers:
    """`with Followers(spec, board) as followers: followers.tell("train", {...})`. `board` is the folder of
    what they keep, its name that of the run."""

    def __init__(self, spec: Adapter, board: Path) -> None:
        self.spec, self.board = spec, board
        self.tells: list[tuple[str, Tell]] = []
        self.ends: list[Callable[[], object]] = []

    def __enter__(self) -> Followers:
        for who in self.spec.report_to:
            try:
                tell, end = OPEN[who](self)
            except Exception as error:  # not logged in, no network, whatever a tracker may raise
                self.lost(who, error)
            else:
                self.tells.append((who, tell))
                self.ends.append(end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self.ends:
            try:
                end()
            except Exception as lost:
                self.lost("a tracker", lost)

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        numbers = {f"{kind}/{name}": value for name, value in facts.items() if isinstance(value, int | float)}
        at = int(numbers.pop(f"{kind}/iteration", 0))
        for who, tell in tuple(self.tells) if numbers else ():
            try:
                tell(numbers, at)
            except Exception as error:
                self.tells.remove((who, tell))
                self.lost(who, error)

    def lost(self, who: str, error: Exception) -> None:
        print(f"punie-build: {who} is told nothing: {error}", flush=True)

    @property
    def facts(self) -> dict[str, Any]:
        """What the runs are described with."""
        facts: dict[str, Any] = msgspec.to_builtins(self.spec)
        return facts

    @property
    def project(self) -> str:
        return self.spec.project_name or "punie-build"


def _tensorboard(of: Followers) -> tuple[Tell, Callable[[], object]]:
    from tensorboardX import SummaryWriter

    board = SummaryWriter(str(of.board))

    def tell(numbers: dict[str, float], at: int) -> None:
        for name, value in numbers.items():
            board.add_scalar(name, value, at)

    return tell, board.close


def _wandb(of: Followers) -> tuple[Tell, Callable[[], object]]:
    import wandb

    of.board.mkdir(parents=True, exist_ok=True)
    run = wandb.init(project=of.project, name=of.board.name, dir=str(of.board), config=of.facts)
    return lambda numbers, at: run.log(numbers, step=at), run.finish


def _swanlab(of: Followers) -> tuple[Tell, Callable[[], object]]:
    import swanlab

    run = swanlab.init(
        project=of.project, experiment_name=of.board.name, logdir=os.fspath(of.board / "swanlab"), config=of.facts
    )
    return lambda numbers, at: run.log(numbers, step=at), run.finish


OPEN: dict[str, Callable[[Followers], tuple[Tell, Callable[[], object]]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "swanlab": _swanlab,
}
