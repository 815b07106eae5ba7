"""Validation of a suite: correct answers must pass, and trivial or unrelated answers must fail.

oracle     the reference answer of each case must pass with the full score
empty      an empty answer must pass no case
prose      a fixed text, and a call of the first tool (`caller`), must pass at most 20 % of the cases that they could
           fail: any text is right where only a call is wrong, so such cases do not count for prose
swapped    the reference answer of another case must not pass

A suite that fails the validation cannot be used for gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct, structs

from punie_build.data.example import ToolCall
from punie_build.evaluation import statistics
from punie_build.evaluation.checks.union import Answer, Latency, NoCall, expects_no_call, score_answer
from punie_build.evaluation.suite import Case, Suite, reference_answer
from punie_build.evaluation.tool_state import replay
from punie_build.runtime.limited_function import FunctionError

MAX_BASELINE_PASS_RATE = 0.2
SMALL = 5  # cases of a suite in which one lucky case is no problem of the suite
MIN_CATEGORY_CASES = 20  # cases on confirm, below which the pass rate of a category is imprecise
PROSE = "I am sorry, I am a language model and cannot help with that. Please consult the documentation of your project."
SWAPS_PER_CASE = 12


class CategorySizes(Struct, frozen=True, kw_only=True):
    """The number of cases of a category, in total and by split, and the smallest gain that its confirm cases detect."""

    cases: int
    select: int
    confirm: int
    detectable: float


class SuiteValidation(Struct, frozen=True, kw_only=True):
    """The result of validating a suite.

    `baselines`: the pass rates of the trivial baselines. A suite with `problems` cannot be used for gates; `warnings`
    are limits of its precision.
    """

    baselines: dict[str, float]
    categories: dict[str, CategorySizes]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.problems


def with_state(answer: Answer, case: Case, suite: Suite, turns: Sequence[int] = ()) -> Answer:
    """Return an answer with the state of the tools after its calls, if the tools of the case have one. `turns`: how
    many of the calls follow each message of the user."""
    tools = suite.state_of(case)
    if tools is None:
        return answer
    try:
        ends = list(accumulate(turns)) or [len(answer.calls)]
        calls = [answer.calls[start:end] for start, end in pairwise([0, *ends])]
        return structs.replace(answer, state=replay(tools, case.initial or {}, calls).state)
    except FunctionError:  # its checks cannot be judged then
        return answer


def empty_answer(case: Case, _suite: Suite) -> Answer:
    """Return an empty answer."""
    return Answer(case=case.id, seconds=0.0)


def prose_answer(case: Case, _suite: Suite) -> Answer:
    """Return a fixed text that answers no case."""
    return Answer(case=case.id, raw=PROSE, content=PROSE, seconds=0.0)


def call_answer(case: Case, suite: Suite) -> Answer:
    """Return a call of the first declared tool without arguments."""
    names = [str(tool.get("function", tool).get("name")) for tool in suite.tool_declarations(case)]
    return Answer(case=case.id, raw="call", calls=tuple(ToolCall(name, {}) for name in names[:1]), seconds=0.0)


BASELINES: dict[str, Callable[[Case, Suite], Answer]] = {
    "empty": empty_answer,
    "prose": prose_answer,
    "caller": call_answer,
}


def validate_suite(suite: Suite) -> SuiteValidation:
    """Validate a suite. Python hooks of the project are run."""
    passes = {
        name: [case for case in suite.cases if _passes(suite, case, baseline(case, suite))]
        for name, baseline in BASELINES.items()
    }
    categories = dict(_categories(suite))
    return SuiteValidation(
        baselines={name: round(len(cases) / len(suite.cases), 6) for name, cases in passes.items()},
        categories=categories,
        problems=(*_reference_problems(suite), *_swap_problems(suite), *_baseline_problems(suite, passes)),
        warnings=tuple(_warnings(suite, passes, categories)),
    )


def _passes(suite: Suite, case: Case, answer: Answer, turns: Sequence[int] = ()) -> bool:
    return score_answer(case.checks, with_state(answer, case, suite, turns)).passed


def _reference_turns(case: Case) -> list[int]:
    """Return how many calls of the reference answer follow each message of the user; empty if it does not say so."""
    return [len(turn) for turn in case.oracle.turns or ()] if case.oracle else []


def _reference_problems(suite: Suite) -> Iterator[str]:
    for case in suite.cases:
        reference = reference_answer(case)
        turns = _reference_turns(case)
        result = score_answer(case.checks, with_state(reference, case, suite, turns)) if reference else None
        if result and not (result.passed and result.score == 1.0):
            yield f"case '{case.id}': its own reference answer fails: {result.failure}, {result.reason}"


def _baseline_problems(suite: Suite, passes: dict[str, list[Case]]) -> Iterator[str]:
    yield from (f"case '{case.id}': an empty answer passes - add a check" for case in passes["empty"])
    for name, description in (("prose", "only writes prose"), ("caller", "always calls a tool")):
        tested = [case for case in suite.cases if name != "prose" or not accepts_any_text(case)]
        passing = [case for case in passes[name] if case in tested]
        rate = len(passing) / len(tested) if tested else 0.0
        if rate > MAX_BASELINE_PASS_RATE and not (len(passing) == 1 < len(tested) <= SMALL):
            examples = ", ".join(case.id for case in passing[:5])
            yield (
                f"a baseline that {description} passes {rate:.0%} of the cases, "
                f"more than {MAX_BASELINE_PASS_RATE:.0%}: {examples} ... - add checks of the content"
            )


def accepts_any_text(case: Case) -> bool:
    """Return whether a case only says that no tool is called."""
    return expects_no_call(case.checks) and all(isinstance(check, NoCall | Latency) for check in case.checks)


def _swap_problems(suite: Suite) -> Iterator[str]:
    """Yield the cases that pass with reference answers of other cases which differ from their own."""
    answers = [reference_answer(case) for case in suite.cases]
    n = len(suite.cases)
    steps = sorted({1 + k * max(1, n // SWAPS_PER_CASE) for k in range(SWAPS_PER_CASE)})
    for index, case in enumerate(suite.cases):
        others = [(index + step) % n for step in steps if step < n]
        others = [other for other in others if _differ(case, answers[index], suite.cases[other], answers[other])]
        passing = [
            suite.cases[other].id
            for other in others
            if _passes(suite, case, answers[other] or Answer(case=""), _reference_turns(suite.cases[other]))
        ]
        if len(passing) > len(others) / 4:
            yield f"case '{case.id}' passes with the reference answers of other cases: {', '.join(passing[:3])}"


def _differ(case: Case, reference: Answer | None, other: Case, other_reference: Answer | None) -> bool:
    """Return whether the other case's reference answer must fail here.

    Cases that accept any text accept each other's.
    """
    if other_reference is None:
        return False
    if expects_no_call(case.checks) and expects_no_call(other.checks):
        return not accepts_any_text(case) and reference is not None and reference.content != other_reference.content
    return reference is None or (reference.calls, reference.content) != (other_reference.calls, other_reference.content)


def _warnings(suite: Suite, passes: dict[str, list[Case]], categories: dict[str, CategorySizes]) -> Iterator[str]:
    for name, sizes in categories.items():
        if sizes.confirm < MIN_CATEGORY_CASES:
            yield (
                f"category '{name}' has {sizes.confirm} cases on confirm, fewer than {MIN_CATEGORY_CASES}: "
                "its pass rate is imprecise"
            )
    if all(map(accepts_any_text, suite.cases)):
        yield "any text passes, so an arm that only talks passes all: gate it beside a suite of calls (`parts`)"
    yield from (f"case '{case.id}' passes with any answer" for case in passes["prose"] if case in passes["caller"])
    for case in suite.cases:
        if reference_answer(case) is None:
            yield f"case '{case.id}': its checks define no reference answer - add an `oracle`"


def _categories(suite: Suite) -> Iterator[tuple[str, CategorySizes]]:
    for name in dict.fromkeys(case.category for case in suite.cases):
        splits = [suite.split_of(case) for case in suite.cases if case.category == name]
        confirm = splits.count("confirm")
        yield (
            name,
            CategorySizes(
                cases=len(splits),
                select=len(splits) - confirm,
                confirm=confirm,
                detectable=statistics.detectable_gain(confirm),
            ),
        )
