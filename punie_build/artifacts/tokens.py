"""The kind of datasets in the tokens of a base."""

from __future__ import annotations

from typing import Any

from punie_build.artifacts.base import start
from punie_build.artifacts.data import ROWS
from punie_build.data import untrained
from punie_build.engine.kind import ArtifactKind
from punie_build.engine.recipe import Entry, Recipe
from punie_build.engine.task import TaskInputs
from punie_build.training.spec import Tokenized, tokenized_for


def tokens_of(entry: Entry[Any]) -> Entry[Tokenized]:
    """Return the tokens that an adapter is trained on. Adapters whose tokens are equal share them, as all cells of a
    grid do."""
    spec = entry.spec.tokens if isinstance(entry.spec.tokens, Tokenized) else tokenized_for(entry.spec)
    return Entry(TOKENS, spec.name, spec, entry.file, table=entry.origin)


def _tokens_inputs(recipe: Recipe, entry: Entry[Tokenized]) -> TaskInputs:
    doc = f"{entry.spec.data} in the tokens of {entry.spec.base}"
    return rows_for_base(recipe, entry, doc, reads=(*ROWS, untrained.FILE))


def rows_for_base(
    recipe: Recipe, entry: Entry[Any], doc: str, reads: tuple[str, ...] = ROWS, **fields: Any
) -> TaskInputs:
    """Return the inputs of a task that reads the rows of a dataset as a base reads them."""
    data = recipe.resolve("data", entry.spec.data)
    base, first = start(recipe, entry.spec.base)
    return TaskInputs(
        doc=doc,
        needs=(data, *first),
        inputs=(data.target, *(need.target for need in first)),
        reads=reads,
        external={"base": base},
        **fields,
    )


TOKENS = ArtifactKind(
    name="tokens",
    plural="Data in tokens",
    references={"base": "any-base", "data": "data"},
    folder="data",
    inputs=_tokens_inputs,
    step="punie_build.training.steps:tokens",
    version=2,
    packages=("mlx-lm", "tokenizers", "transformers"),
    outputs={"stats.json": "punie_build.training.token_file:TokenStats"},
    page="punie_build.reports.pages.tokens:TOKENS_PAGE",
    summary=(("tokens", "{:,.0f} tokens"),),
)
