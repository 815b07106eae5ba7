"""Steps: what each kind of task does. A step reads its inputs, calls the part that knows how, and writes into `work.out`.

To add a kind: a function from `Work` to `Made` in the file of its family, and its row in `steps`.
"""

from __future__ import annotations

from functools import partial

from punie_build import workers
from punie_build.build import Careful, Made, Step, Work
from punie_build.recipe import Recipe
from punie_build.serving import Warm
from punie_build.steps import data, evals, grids, models, training


def steps(recipe: Recipe) -> dict[str, Step]:
    """The step of each kind of task. What computes in Python goes through `workers`; the rest has processes of its own."""
    suites, warm = recipe.suites, Warm()

    def alone(step: Step, work: Work) -> Made:
        """With the memory that a server held."""
        warm.rest()
        return step(work)

    return {
        "dataset": partial(workers.run, data.dataset),
        "stage": partial(workers.run, partial(data.stage, suites)),
        "mix": partial(workers.run, data.mix),
        "tokens": training.tokens,
        "preflight": partial(training.preflight, suites),
        "adapter": Careful(training.ready, partial(alone, training.adapter)),
        "model": partial(alone, models.model),
        "grid": grids.grid,
        "choice": grids.choice,
        "answers": partial(evals.answers, suites, warm),
        "eval": partial(workers.run, partial(evals.eval_, suites)),
        "comparison": partial(workers.run, partial(evals.comparison, suites)),
    }
