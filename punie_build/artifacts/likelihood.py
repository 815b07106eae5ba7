"""The kind of accuracies of an arm on questions with choices, by likelihood."""

from __future__ import annotations

from msgspec import Struct

from punie_build.artifacts.answers import ADAPTER_FILES
from punie_build.artifacts.arms import unloadable_arm, weights_of
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.likelihood import Likelihood
from punie_build.models.environment import mlx_environment
from punie_build.schema.spec import digest


class LikelihoodDetails(Struct, frozen=True):
    """The digest of the questions."""

    questions: str


def _inputs(recipe: Recipe, entry: Entry[Likelihood]) -> TaskInputs:
    adapter, _, base, first = weights_of(recipe, entry.spec.arm)
    questions = recipe.content(entry)
    return TaskInputs(
        doc=f"the likelihoods of {entry.spec.arm} on {entry.spec.file}",
        needs=(*adapter, *first),
        inputs=tuple(need.target for need in (*adapter, *first)),
        reads=ADAPTER_FILES if adapter else (),
        details=LikelihoodDetails(questions=digest(questions)),
        uses={"questions": questions},
        external={"base": base},
    )


LIKELIHOOD = ArtifactKind(
    name="likelihood",
    plural="Likelihoods",
    spec=Likelihood,
    references={"arm": "arm"},
    namespace="likelihood",
    content="punie_build.evaluation.likelihood:read_questions",
    folder="reports",
    suffix="@likelihood",
    cross_check=unloadable_arm,
    inputs=_inputs,
    step="punie_build.evaluation.likelihood:measure",
    exclusive="training",
    version=1,
    environment=mlx_environment,
    not_in_key=(*NOT_IN_KEY, "file"),
    metrics=frozenset(("acc", "acc_error", "acc_norm", "acc_norm_error", "acc_bytes", "questions", "cut")),
    outputs={
        "likelihood.json": "punie_build.evaluation.likelihood:LikelihoodResult",
        "samples.jsonl": "punie_build.evaluation.likelihood:ChoiceSample",
    },
    summary=(("acc", "{:.1%} right"), ("acc_norm", "{:.1%} by length")),
)
