"""The registry of all kinds of artifacts, each after those that it is built from."""

from __future__ import annotations

from punie_build.artifacts.answers import ANSWERS
from punie_build.artifacts.arms import ENDPOINT, VARIANT
from punie_build.artifacts.base import BASE
from punie_build.artifacts.data import DATASET, MIX, STAGE
from punie_build.artifacts.evaluation import COMPARISON, EVAL, SUITE
from punie_build.artifacts.grid import GRID, SEARCH, SELECTION
from punie_build.artifacts.likelihood import LIKELIHOOD
from punie_build.artifacts.model import MODEL
from punie_build.artifacts.perplexity import PERPLEXITY
from punie_build.artifacts.reference import REFERENCE
from punie_build.artifacts.tokens import TOKENS
from punie_build.artifacts.training import ADAPTER, PREFLIGHT
from punie_build.engine.kind import ArtifactKind

KINDS: dict[str, ArtifactKind] = {
    kind.name: kind
    for kind in (
        BASE,
        ENDPOINT,
        DATASET,
        STAGE,
        MIX,
        TOKENS,
        PREFLIGHT,
        REFERENCE,
        ADAPTER,
        SELECTION,
        GRID,
        MODEL,
        SEARCH,
        VARIANT,
        SUITE,
        ANSWERS,
        EVAL,
        COMPARISON,
        PERPLEXITY,
        LIKELIHOOD,
    )
}


def register(kind: ArtifactKind) -> None:
    """Add a kind of another package or of `dodo.py`. Raises ValueError if the name is taken."""
    if KINDS.get(kind.name, kind) is not kind:
        raise ValueError(f"kind '{kind.name}': the name is taken - choose another")
    KINDS[kind.name] = kind
