"""Evals: which arms are asked which suite, and which are held against one another."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from punie_build.gates import Gate
from punie_build.spec import Spec


class SuiteFile(Spec, frozen=True, kw_only=True):
    """Where a suite's cases are: a TOML file of the project, or one that is built in."""

    file: str | None = None
    embedded: Literal["tool-calling"] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.embedded is None):
            raise ValueError("a suite needs `file`, a TOML file of cases in the project")


class Eval(Spec, frozen=True, kw_only=True):
    """The answers of one arm (a base, an adapter or a model) to a suite, greedily decoded, and their scores."""

    arm: str
    suite: str
    max_tokens: Annotated[int, Meta(ge=1)] = 256
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    gates: tuple[Gate, ...] = ()
    description: str = ""


class Comparison(Spec, frozen=True, kw_only=True):
    """Two or more arms on one suite, with a verdict. The first arm is what the others are held against."""

    arms: Annotated[tuple[str, ...], Meta(min_length=2)]
    suite: str
    max_tokens: Annotated[int, Meta(ge=1)] = 256
    concurrency: Annotated[int, Meta(ge=1, le=32)] = 4
    gates: tuple[Gate, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if len(set(self.arms)) < len(self.arms):
            raise ValueError("an arm occurs twice - compare different arms")
