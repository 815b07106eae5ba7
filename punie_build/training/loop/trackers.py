"""Forward the events of metrics.jsonl to wandb, swanlab or TensorBoard, as they happen.

Trackers have no effect on the training: one that fails is reported once, and training continues without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from punie_build.training.history import TrainEvent
from punie_build.training.spec import Adapter

Logger = Callable[[dict[str, float], int], object]  # logs numbers by name, at an iteration


class TrackerCallbacks:
    """A context in which `log(event)` forwards to all trackers of `spec.report_to`.

    `run_dir` is the folder of the trackers' files; its name is the name of the run.
    """

    def __init__(self, spec: Adapter, run_dir: Path) -> None:
        self.spec, self.run_dir = spec, run_dir
        self.loggers: list[tuple[str, Logger]] = []
        self.closers: list[Callable[[], object]] = []

    def __enter__(self) -> TrackerCallbacks:
        for name in self.spec.report_to:
            try:
                logger, close = TRACKERS[name](self)
            except Exception as error:  # not logged in, no network, or any other error of a tracker
                self._report_failure(name, error)
            else:
                self.loggers.append((name, logger))
                self.closers.append(close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for close in self.closers:
            try:
                close()
            except Exception as failure:
                self._report_failure("a tracker", failure)

    def log(self, event: TrainEvent) -> None:
        """Forward the numbers of an event, named `TAG/FIELD`."""
        fields = msgspec.to_builtins(event)
        tag, iteration = fields.pop("event"), int(fields.pop("iteration", 0))
        numbers = {f"{tag}/{name}": value for name, value in fields.items() if isinstance(value, int | float)}
        for name, logger in tuple(self.loggers) if numbers else ():
            try:
                logger(numbers, iteration)
            except Exception as error:
                self.loggers.remove((name, logger))
                self._report_failure(name, error)

    def _report_failure(self, name: str, error: Exception) -> None:
        print(f"punie-build: {name} does not receive metrics: {error}", flush=True)

    @property
    def config(self) -> dict[str, Any]:
        """The recipe, which trackers show beside a run."""
        config: dict[str, Any] = msgspec.to_builtins(self.spec)
        return config

    @property
    def project(self) -> str:
        """The name of the project in a tracker."""
        return self.spec.project_name or "punie-build"


def _tensorboard(callbacks: TrackerCallbacks) -> tuple[Logger, Callable[[], object]]:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(callbacks.run_dir))

    def log(numbers: dict[str, float], iteration: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, iteration)

    return log, writer.close


def _wandb(callbacks: TrackerCallbacks) -> tuple[Logger, Callable[[], object]]:
    import wandb

    folder = callbacks.run_dir
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(project=callbacks.project, name=folder.name, dir=str(folder), config=callbacks.config)
    return lambda numbers, iteration: run.log(numbers, step=iteration), run.finish


def _swanlab(callbacks: TrackerCallbacks) -> tuple[Logger, Callable[[], object]]:
    import swanlab

    folder = callbacks.run_dir
    run = swanlab.init(
        project=callbacks.project,
        experiment_name=folder.name,
        logdir=os.fspath(folder / "swanlab"),
        config=callbacks.config,
    )
    return lambda numbers, iteration: run.log(numbers, step=iteration), run.finish


TRACKERS: dict[str, Callable[[TrackerCallbacks], tuple[Logger, Callable[[], object]]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "swanlab": _swanlab,
}
