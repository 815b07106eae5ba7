"""Steps: what each kind of task does. A step reads its inputs, calls the part that knows how, and writes into `work.out`.

To add a kind: a function from `Work` to `Made` in the file of its family, and its row in `steps`.
"""

from __future__ import annotations

from functools import partial

from punie_build.data import steps as data
from punie_build.engine.build import Careful, Made, Step, Work
from punie_build.evaluation import steps as evals
from punie_build.evaluation.server import WarmServer
from punie_build.export import steps as models
from punie_build.recipes.recipe import Recipe
from punie_build.runtime import worker_pool
from punie_build.sweeps import steps as grids
from punie_build.training import steps as training


def steps(recipe: Recipe) -> dict[str, Step]:
    """The step of each kind of task. What computes in Python goes through `workers`; the rest has processes of its own."""
    suites, warm = recipe.suites, WarmServer()

    def alone(step: Step, work: Work) -> Made:
        """With the memory that a server held."""
        warm.release()
        return step(work)

    return {
        "dataset": partial(worker_pool.run, data.dataset),
        "stage": partial(worker_pool.run, partial(data.stage, suites)),
        "mix": partial(worker_pool.run, data.mix),
        "tokens": training.tokens,
        "preflight": partial(training.preflight, suites),
        "adapter": Careful(training.ready, partial(alone, training.adapter)),
        "model": partial(alone, models.model),
        "grid": grids.grid,
        "choice": grids.choice,
        "answers": partial(evals.answers, suites, warm),
        "eval": partial(worker_pool.run, partial(evals.eval_, suites)),
        "comparison": partial(worker_pool.run, partial(evals.comparison, suites)),
    }
