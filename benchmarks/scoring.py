"""Scoring: CPU seconds for scores, a comparison, the validation of a suite, and the search for contamination.

./run python benchmarks/scoring.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec

from punie_build.data.example import Example
from punie_build.data.synthetic import generator
from punie_build.evaluation import comparison, contamination, statistics, suite_file, suite_validation
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import score_suite
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite, reference_answer


def timed(name: str, what: Callable[[], object]) -> None:
    """The best of three, in CPU seconds of this process."""
    best = 1e9
    for _ in range(3):
        start = time.process_time()
        what()
        best = min(best, time.process_time() - start)
    print(f"{name:<60}{best:8.3f} s")


def main() -> None:
    suite, problems = suite_file.read_suite(SuiteFile(embedded="tool-calling"), Path(), "")
    assert suite is not None, problems
    cases = [msgspec.structs.replace(each, id=f"{each.id}-{k}") for k in range(6) for each in suite.cases][:1000]
    many = msgspec.structs.replace(suite, cases=tuple(cases))
    r = Random(0)
    right = {each.id: reference_answer(each) or Answer(case=each.id) for each in cases}
    given = {each.id: right[r.choice(cases).id] if r.random() < 0.5 else right[each.id] for each in cases}
    lines = b"".join(
        msgspec.json.encode(msgspec.structs.replace(answer, case=name)) + b"\n" for name, answer in given.items()
    )

    def rescore() -> tuple[object, ...]:
        answers = msgspec.json.Decoder(Answer).decode_lines(lines)
        return score_suite(many, {answer.case: answer for answer in answers})

    timed("1,000 answers read and scored", rescore)
    arms = [
        Scores(arm=name, suite="s", cases=score_suite(many, some), canary=name, base_canary="b")
        for name, some in (("base", given), ("right", right))
    ]
    timed(
        "two arms of 1,000 cases compared",
        lambda: (statistics.detectable_gain.cache_clear(), comparison.compare("c", arms)),
    )
    timed(f"self-test of the {len(suite.cases)} cases of tool-calling", lambda: suite_validation.validate_suite(suite))
    rows = [
        ("x", msgspec.json.decode(msgspec.json.encode(generator.sample(0, k)), type=Example)) for k in range(20_000)
    ]
    timed("contamination of that suite by 20,000 rows", lambda: contamination.contaminated_cases(suite, rows))
    timed("the file of the suite read", lambda: read(suite))


def read(_: Suite) -> object:
    return suite_file.read_suite(SuiteFile(embedded="tool-calling"), Path(), "")


if __name__ == "__main__":
    main()
