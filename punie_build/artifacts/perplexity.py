"""The kind of losses of an arm on held-out rows."""

from __future__ import annotations

from punie_build.artifacts.answers import ADAPTER_FILES
from punie_build.artifacts.arms import trained_arguments, unloadable_arm, weights_of
from punie_build.artifacts.tokens import TOKENS
from punie_build.engine.kind import NOT_IN_KEY, ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.evaluation.perplexity import Perplexity
from punie_build.models.environment import mlx_environment
from punie_build.training.spec import Tokenized


def _inputs(recipe: Recipe, entry: Entry[Perplexity]) -> TaskInputs:
    spec = entry.spec
    adapter, name, base, first = weights_of(recipe, spec.arm)
    tokenized = Tokenized(
        base=name,
        data=spec.data,
        mask=spec.mask,
        max_seq_length=spec.max_seq_length,
        chat_template_args=trained_arguments(recipe, spec.arm),
    )
    tokens = Entry(TOKENS, tokenized.name, tokenized, entry.file, table=entry.origin)
    return TaskInputs(
        doc=f"the loss of {spec.arm} on {spec.data}, {spec.split}",
        needs=(tokens, *adapter, *first),
        inputs=tuple(need.target for need in (tokens, *adapter, *first)),
        reads=(f"{spec.split}.safetensors", *(ADAPTER_FILES if adapter else ())),
        external={"base": base},
    )


PERPLEXITY = ArtifactKind(
    name="perplexity",
    plural="Perplexities",
    spec=Perplexity,
    references={"arm": "arm", "data": "data"},
    namespace="perplexity",
    folder="reports",
    suffix="@perplexity",
    cross_check=unloadable_arm,
    inputs=_inputs,
    step="punie_build.evaluation.perplexity:measure",
    exclusive="training",
    version=1,
    environment=mlx_environment,
    not_in_key=NOT_IN_KEY,
    metrics=frozenset(("loss", "loss_error", "perplexity", "rows", "tokens")),
    outputs={"perplexity.json": "punie_build.evaluation.perplexity:LossResult"},
    summary=(("loss", "loss {:.3f}"), ("perplexity", "perplexity {:.2f}")),
)
