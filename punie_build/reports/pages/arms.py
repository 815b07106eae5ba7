"""Sides: the arms of an eval or a comparison, side by side, as their pages are made from them."""

from __future__ import annotations

from msgspec import Struct

from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.comparison import Compared
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.suite import Suite
from punie_build.reports.pages.data import Step
from punie_build.reports.section import Material
from punie_build.training.history import TrainingHistory


class Arm(Struct, frozen=True):
    """One arm: its scores, its answers to each case by id, one for each epoch, and the place of its page."""

    scores: Scores
    answers: dict[str, list[Answer]]
    href: str = ""


class Evals(Material, frozen=True, kw_only=True):
    """What an eval's page and a comparison's page share: the suite, and its arms."""

    suite: Suite
    arms: tuple[Arm, ...]

    @property
    def names(self) -> list[str]:
        return [arm.scores.arm for arm in self.arms]

    @property
    def n(self) -> int:
        return len(self.suite.case)

    @property
    def last(self) -> int:
        """The arm that is held against the first."""
        return len(self.arms) - 1

    @property
    def learnt(self) -> set[str]:
        """The cases that occur in training data."""
        return set()

    @property
    def apart(self) -> bool:
        """Whether some cases are to choose by, and others to report."""
        return False


class Comparison(Evals, frozen=True, kw_only=True):
    """A comparison's page: its result, the data its adapters were made from, and how they were trained."""

    result: Compared
    way: tuple[Step, ...] = ()
    curves: tuple[tuple[str, TrainingHistory], ...] = ()

    @property
    def last(self) -> int:
        return self.result.arms.index(self.result.arm)

    @property
    def learnt(self) -> set[str]:
        return {leak.case for leak in self.result.leaks}

    @property
    def apart(self) -> bool:
        return self.result.side == "confirm"
