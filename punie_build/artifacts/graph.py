"""Graph: recipe -> tasks. Pure: no file is opened here.

To add a kind of artifact: what it needs and its task in the file of its family, and its row in `MAKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import structs

from punie_build.artifacts import data, evaluation, grid, model, training
from punie_build.artifacts.task import Task
from punie_build.recipes.recipe import Described, Recipe
from punie_build.storage import paths

__all__ = ["Task", "tasks"]

Needs = Callable[[Recipe, Described], list[Described]]
Make = Callable[[Recipe, Described], Task]
MAKERS: dict[str, tuple[Needs, Make]] = {  # kind -> the artifacts that must be there first, and the task
    "dataset": (data.needs, data.data),
    "stage": (data.needs, data.data),
    "mix": (data.needs, data.data),
    "tokens": (training.tokens_needs, training.tokens),
    "preflight": (training.tokens_needs, training.preflight),
    "adapter": (training.adapter_needs, training.adapter),
    "model": (model.needs, model.model),
    "grid": (grid.cells, grid.grid),
    "choice": (grid.choice_needs, grid.choice),
    "answers": (evaluation.answers_needs, evaluation.answers),
    "eval": (evaluation.eval_needs, evaluation.eval_),
    "comparison": (evaluation.comparison_needs, evaluation.comparison),
}


def tasks(recipe: Recipe) -> Iterator[Task]:
    """Every artifact of a project, each after what it needs. Built-in data is built where something needs it."""
    done: set[str] = set()
    temporary: set[str] = set()  # targets
    for wanted in recipe.artifacts.values():
        if wanted.kind in paths.FOLDERS and not wanted.embedded:
            waiting = [wanted]
            while waiting:  # not by recursion: a chain of stages may be long
                described = waiting[-1]
                needs, make = MAKERS[described.kind]
                missing = [need for need in needs(recipe, described) if need.label not in done]
                if missing:
                    waiting += reversed(missing)
                    continue
                waiting.pop()
                if described.label not in done:
                    done.add(described.label)
                    task = make(recipe, described)
                    if task.temporary:
                        temporary.add(task.target)
                    gone = tuple(place for place in task.inputs if place in temporary)
                    yield structs.replace(task, gone=gone)
