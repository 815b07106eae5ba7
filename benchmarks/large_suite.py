"""A suite of 20,000 cases: read, scored for two arms, compared, and drawn as a page.

./run python benchmarks/large_suite.py
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from punie_build.evaluation import comparison, suite_file
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.result_files import outcome_difference, registry
from punie_build.evaluation.scores import Scores
from punie_build.evaluation.scoring import score_suite
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Suite
from punie_build.reports.pages import result_files

CASES = 20_000


def lines(count: int) -> bytes:
    """Return a suite in JSONL: sums in 20 categories, with a check of two words."""
    rows = (
        {
            "id": f"c{n}",
            "category": f"k{n % 20}",
            "prompt": f"What is {n} + {n % 97}?",
            "checks": [{"type": "contains", "words": [str(n + n % 97), "sum"]}],
        }
        for n in range(count)
    )
    return b'{"split": "confirm"}\n' + b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def arm(suite: Suite, name: str, rate: float) -> Scores:
    """Return the scores of an arm that answers this share right."""
    random = Random(name)
    answers = {}
    for case in suite.cases:
        text = f"The sum is {sum(map(int, (case.prompt or '').strip('?').split()[2::2])) + (random.random() > rate)}."
        answers[case.id] = Answer(case=case.id, raw=text, content=text)
    return Scores(arm=name, suite="sums", cases=score_suite(suite, answers), canary=name, base_canary="b")


def main() -> None:
    start = last = time.process_time()

    def step(name: str) -> None:
        nonlocal last
        print(f"{name:<40}{time.process_time() - last:8.2f} s")
        last = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "sums.jsonl").write_bytes(lines(CASES))
        suite, problems = suite_file.read_suite(SuiteFile(file="sums.jsonl"), root, "")
        assert suite is not None, problems
        assert not problems
        step(f"{CASES:,} cases read and checked")
        arms = [arm(suite, name, rate) for name, rate in (("before", 0.6), ("after", 0.61))]
        step("two arms scored")
        result = comparison.compare("c", arms)
        step(f"compared: {result.verdict}")
        for each in arms:
            (root / f"{each.arm}.json").write_bytes(msgspec.json.encode(each))
        files = [registry.read(str(root / f"{each.arm}.json")) for each in arms]
        difference = outcome_difference.difference(*files)
        step(f"two files read and compared: {difference.verdict}")
        page = result_files.render(difference)
        step(f"page of {len(page) / 1e6:.1f} MB drawn")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{'together':<40}{time.process_time() - start:8.2f} s, {peak:.2f} GB")


if __name__ == "__main__":
    main()
