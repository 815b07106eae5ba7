"""What every filter is: a row filter judges an example alone, a whole filter needs to see all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field

from punie_build.data.example import Example
from punie_build.schema.spec import Kind

Predicate = Callable[[Example], bool]


class Context(Struct, frozen=True):
    """What a filter may ask of the project: the prompts of its suites, and the folders of its bases, by their names."""

    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bases: Mapping[str, Path] = field(default_factory=dict)
    memo: Path | None = None  # where scores are remembered, if anywhere


ALONE = Context()


class Filter(Kind, frozen=True, kw_only=True):
    """A row filter. `TOOLS`: packages whose version decides what is kept; they enter the key."""

    TOOLS: ClassVar[tuple[str, ...]] = ()

    def keep(self, example: Example) -> bool:
        raise NotImplementedError

    def predicate(self, context: Context = ALONE) -> Predicate:
        """The test for one pass over a dataset. What must be loaded, or remembers rows, is made here."""
        return self.keep


class Scored(Filter, frozen=True, kw_only=True):
    """A row filter that looks long and decides quickly: `scorer` gives what JSON can hold, `decide` holds it to a threshold.

    Scores are remembered (`memo`); `SCORED_BY` names the parameters that enter them, all others only decide.
    """

    SCORED_BY: ClassVar[tuple[str, ...]] = ()

    def reads(self, context: Context) -> str:
        """What scores depend on beside the parameters: a digest of the files that `scorer` reads."""
        return ""

    def scorer(self, context: Context) -> Callable[[Example], Any]:
        raise NotImplementedError

    def decide(self, score: Any) -> bool:
        raise NotImplementedError

    def predicate(self, context: Context = ALONE) -> Predicate:
        score = self.scorer(context)
        return lambda example: self.decide(score(example))


class Whole(Filter, frozen=True, kw_only=True):
    """A filter that sees every example which those before it keep, in order, before it drops any."""

    def drops(self, examples: Iterable[Example], context: Context) -> Iterator[int]:
        """The positions of the examples to drop, counted from 0."""
        raise NotImplementedError
