"""Self-test: does a suite tell right answers from wrong ones? A suite that does not may gate nothing.

oracle     a right answer to each case must pass, with the full score
empty      an arm that says nothing must pass nothing
prose      an arm that only talks, and one that always calls (`caller`), must pass next to nothing
swapped    the right answer to another case must not do
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from punie_build.data.example import ToolCall
from punie_build.evaluation import statistics
from punie_build.evaluation.checks.union import (
    Answer,
    Latency,
    NoCall,
    expects_no_call,
    score_answer,
)
from punie_build.evaluation.suite import Case, Suite, reference_answer

MAX_BASELINE_PASS_RATE = 0.2  # what an arm that understands nothing may pass of a suite that gates
MIN_CATEGORY_CASES = 20  # cases of a category below which its share says little
PROSE = "I am sorry, I am a language model and cannot help with that. Please consult the documentation of your project."
SWAPS_PER_CASE = 12  # how many other cases' answers each case is tried with


class CategorySizes(Struct, frozen=True, kw_only=True):
    """How many cases there are, on each side, and the smallest gain that those on confirm would show."""

    cases: int
    select: int
    confirm: int
    detectable: float


class SuiteValidation(Struct, frozen=True, kw_only=True):
    """`controls` are the shares that arms pass which understand nothing. With `problems` the suite may gate nothing; `warnings` say
    what it cannot see."""

    controls: dict[str, float]
    categories: dict[str, CategorySizes]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.problems


def empty_answer(case: Case, _suite: Suite) -> Answer:
    return Answer(case=case.id, seconds=0.0)


def prose_answer(case: Case, _suite: Suite) -> Answer:
    return Answer(case=case.id, raw=PROSE, content=PROSE, seconds=0.0)


def call_answer(case: Case, suite: Suite) -> Answer:
    names = [str(tool.get("function", tool).get("name")) for tool in suite.tool_declarations(case)]
    return Answer(case=case.id, raw="call", calls=tuple(ToolCall(name, {}) for name in names[:1]), seconds=0.0)


BASELINES: dict[str, Callable[[Case, Suite], Answer]] = {
    "empty": empty_answer,
    "prose": prose_answer,
    "caller": call_answer,
}


def validate_suite(suite: Suite) -> SuiteValidation:
    """The whole test. Hooks of the project are run."""
    passes = {
        name: [case for case in suite.cases if score_answer(case.checks, make(case, suite)).passed]
        for name, make in BASELINES.items()
    }
    problems = [*_oracles(suite), *_swaps(suite), *_controls(suite, passes)]
    categories = dict(_categories(suite))
    warnings = [
        f"category '{name}' has {each.confirm} cases on confirm, fewer than {MIN_CATEGORY_CASES}: its share says little"
        for name, each in categories.items()
        if each.confirm < MIN_CATEGORY_CASES
    ]
    warnings += [f"case '{case.id}' passes whatever is said" for case in passes["prose"] if case in passes["caller"]]
    warnings += [
        f"case '{case.id}': its checks do not say a right answer - give it an `oracle`"
        for case in suite.cases
        if reference_answer(case) is None
    ]
    return SuiteValidation(
        controls={name: round(len(some) / len(suite.cases), 6) for name, some in passes.items()},
        categories=categories,
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _oracles(suite: Suite) -> Iterator[str]:
    for case in suite.cases:
        right = reference_answer(case)
        verdict = score_answer(case.checks, right) if right else None
        if verdict and not (verdict.passed and verdict.score == 1.0):
            yield f"case '{case.id}': its own right answer fails: {verdict.failure}, {verdict.reason}"


def _controls(suite: Suite, passes: dict[str, list[Case]]) -> Iterator[str]:
    yield from (f"case '{case.id}': an empty answer passes" for case in passes["empty"])
    for name in ("prose", "caller"):
        share = len(passes[name]) / len(suite.cases)
        if share > MAX_BASELINE_PASS_RATE:
            some = ", ".join(case.id for case in passes[name][:5])
            yield f"an arm that {TELLS[name]} passes {share:.0%}, more than {MAX_BASELINE_PASS_RATE:.0%}: {some} ... - add checks of what is said"


TELLS = {"prose": "only talks", "caller": "always calls"}


def _swaps(suite: Suite) -> Iterator[str]:
    """Cases that pass with the right answers to others, if that is no wonder: two cases may ask for the same."""
    answers = [reference_answer(case) for case in suite.cases]
    n = len(suite.cases)
    steps = sorted({1 + k * max(1, n // SWAPS_PER_CASE) for k in range(SWAPS_PER_CASE)})
    for index, case in enumerate(suite.cases):
        others = [
            (index + step) % n
            for step in steps
            if step < n and _differ(case, answers[index], suite.cases[(index + step) % n], answers[(index + step) % n])
        ]
        wrong = [
            suite.cases[other].id
            for other in others
            if score_answer(case.checks, answers[other] or Answer(case="")).passed
        ]
        if len(wrong) > len(others) / 4:
            yield f"case '{case.id}' passes with the right answers to other cases: {', '.join(wrong[:3])}"


def _differ(case: Case, right: Answer | None, other: Case, another: Answer | None) -> bool:
    """Whether the other's right answer must be wrong here. Words that ask for nothing in particular do for one another."""
    if another is None:
        return False
    if expects_no_call(case.checks) and expects_no_call(other.checks):
        says = any(not isinstance(check, NoCall | Latency) for check in case.checks)
        return says and right is not None and right.content != another.content
    return right is None or (right.calls, right.content) != (another.calls, another.content)


def _categories(suite: Suite) -> Iterator[tuple[str, CategorySizes]]:
    for name in dict.fromkeys(case.category for case in suite.cases):
        sides = [suite.split_of(case) for case in suite.cases if case.category == name]
        confirm = sides.count("confirm")
        yield (
            name,
            CategorySizes(
                cases=len(sides),
                select=len(sides) - confirm,
                confirm=confirm,
                detectable=statistics.detectable_gain(confirm),
            ),
        )
