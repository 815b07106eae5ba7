"""Base classes of filters: `Filter` and `ScoredFilter` test one example alone, `DatasetFilter` needs all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field

from punie_build.data.example import Example
from punie_build.schema.spec import TaggedSpec

Predicate = Callable[[Example], bool]
LinePredicate = Callable[[bytes, Example], bool]


class FilterContext(Struct, frozen=True):
    """The parts of the project that filters read: prompts of suites, folders of bases, and the file of the score cache.

    `suites` and `bases` are indexed by name. Scores are not cached if `score_cache` is None. `root` is the folder of
    the project, in which the files of functions are.
    """

    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bases: Mapping[str, Path] = field(default_factory=dict)
    score_cache: Path | None = None
    root: Path = Path()


EMPTY_CONTEXT = FilterContext()


class Filter(TaggedSpec, frozen=True, kw_only=True):
    """A filter that tests each example alone.

    `PACKAGES` names the packages whose version affects the result; the versions enter the key.
    """

    NOUN: ClassVar = "filter"

    PACKAGES: ClassVar[tuple[str, ...]] = ()

    def keep(self, example: Example) -> bool:
        """Return whether to keep the example."""
        raise NotImplementedError

    def predicate(self, context: FilterContext = EMPTY_CONTEXT) -> Predicate:
        """Return the test for one pass over a dataset. Loads models and compiles patterns once for the pass."""
        return self.keep


class ScoredFilter(Filter, frozen=True, kw_only=True):
    """A filter that computes an expensive score and compares it with a threshold.

    Scores are cached (see `score_cache`). `SCORED_BY` names the parameters that affect the score; the others only
    affect the decision.
    """

    SCORED_BY: ClassVar[tuple[str, ...]] = ()

    def input_digest(self, context: FilterContext) -> str:
        """Return a digest of the files that the score depends on, besides the parameters."""
        return ""

    def scorer(self, context: FilterContext) -> Callable[[Example], Any]:
        """Return the function that computes the score, a value that JSON can represent."""
        raise NotImplementedError

    def accepts(self, score: Any) -> bool:
        """Return whether an example with this score is kept."""
        raise NotImplementedError

    def predicate(self, context: FilterContext = EMPTY_CONTEXT) -> Predicate:
        score = self.scorer(context)
        return lambda example: self.accepts(score(example))


class LineFilter(Filter, frozen=True, kw_only=True):
    """A filter that tests each row by its line, which has keys beside the conversation, and by its example."""

    def line_predicate(self, context: FilterContext = EMPTY_CONTEXT) -> LinePredicate:
        """Return the test of a row for one pass over a dataset."""
        raise NotImplementedError


class DatasetFilter(Filter, frozen=True, kw_only=True):
    """A filter that reads every example which the filters before it keep, in order, before it drops any."""

    def drops(self, examples: Iterable[Example], context: FilterContext) -> Iterator[int]:
        """Yield the positions of the examples to drop, counted from 0."""
        raise NotImplementedError
