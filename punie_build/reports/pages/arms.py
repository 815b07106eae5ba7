"""Data of the pages of evals and comparisons: scores and answers of every arm."""

from __future__ import annotations

from msgspec import Struct

from punie_build.evaluation.arm_spec import UNPROVEN
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.comparison import ComparisonResult
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.suite import Suite
from punie_build.reports.pages.data import UpstreamData
from punie_build.reports.section import ArtifactPage
from punie_build.training.history import TrainingHistory


class ArmResults(Struct, frozen=True):
    """The scores of an arm, its answers by case id (one for each epoch), and the link to the page of its eval."""

    scores: Scores
    answers: dict[str, list[Answer]]
    href: str = ""

    @property
    def label(self) -> str:
        """The name of the arm for people, with a mark if its weights were not verified."""
        return self.scores.arm if self.scores.canary else f"{self.scores.arm} ({UNPROVEN})"


class EvaluationPage(ArtifactPage, frozen=True, kw_only=True):
    """The page of an eval, with one arm, and the base of the page of a comparison."""

    suite: Suite
    arms: tuple[ArmResults, ...]

    @property
    def arm_names(self) -> list[str]:
        return [arm.label for arm in self.arms]

    @property
    def case_count(self) -> int:
        return len(self.suite.cases)

    @property
    def candidate(self) -> int:
        """The index of the arm that is compared with the first one."""
        return len(self.arms) - 1

    @property
    def contaminated(self) -> set[str]:
        """The ids of the cases that occur in training data."""
        return set()

    @property
    def has_dev_split(self) -> bool:
        """Whether an arm was selected on other cases than those that the result is of."""
        return False


class ComparisonPage(EvaluationPage, frozen=True, kw_only=True):
    """The page of a comparison: its result, and the upstream data and training histories of its adapters."""

    result: ComparisonResult
    upstream: tuple[UpstreamData, ...] = ()
    trainings: tuple[tuple[str, TrainingHistory], ...] = ()

    @property
    def candidate(self) -> int:
        return self.result.arms.index(self.result.arm)

    @property
    def contaminated(self) -> set[str]:
        return {case.case for case in self.result.contaminated}

    @property
    def has_dev_split(self) -> bool:
        return self.result.split == "confirm"
