"""Tasks of a toy kind that writes text files, for tests of the engine: no machine learning is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from punie_build.engine.kind import ArtifactKind
from punie_build.engine.task import Task
from punie_build.engine.work import StepResult, Work

Step = Callable[[Work[Any]], StepResult]
TEXT = ArtifactKind(name="stage", folder="data", version=1)  # the step of a test changes no key


def text_task(
    name: str = "s", /, *needs: str, inputs: tuple[str, ...] = (), step: Step | None = None, **recipe: Any
) -> Task[Any]:
    """Return the task `stage:NAME` with the target `data/NAME`; it reads `inputs`, or the targets of `needs`."""
    return Task(
        kind=TEXT if step is None else structs.replace(TEXT, step=step),
        name=name,
        spec=None,
        recipe=recipe,
        needs={f"stage:{need}": f"data/{need}" for need in needs},
        inputs=inputs or tuple(f"data/{need}" for need in needs),
    )


def with_step(task: Task[Any], step: Step, **fields: Any) -> Task[Any]:
    """Return a task whose step is another one, run in this thread and without a check before it."""
    fields = {"check_first": "", "in_worker": False, "exclusive": "", **fields}
    return structs.replace(task, kind=structs.replace(task.kind, step=step, **fields))
