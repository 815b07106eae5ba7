"""The multi-turn checker of the Berkeley Function-Calling Leaderboard beside ours, on scripted right and wrong calls.

    pip install --no-deps bfcl-eval mpmath==1.3.0        # into the environment that runs this
    ./run python benchmarks/bfcl_conversations.py        # --changes 8; --questions 200; --category base

The expected calls of each question, and systematic changes of them, go through the official `multi_turn_checker` and
through the imported suite: written as TOML, read back, and run in the process with limits.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.bfcl import changed, rows
from punie_build.data.example import ToolCall
from punie_build.evaluation import suite_file
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.importers.registry import FORMATS, ImportSource, suite_to_toml
from punie_build.evaluation.spec import SuiteFile
from punie_build.evaluation.suite import Case, Suite
from punie_build.evaluation.tool_state import replay

CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
KINDS = ("left out", "turn left out", "value", "value", "value", "added", "order", "later", "twice", "unknown")
CHECKER = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"
UTILITIES = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils"
Turns = list[list[ToolCall]]  # the calls after each message of the user


def changed_turns(reference: Turns, tools: Sequence[str], kind: str, random: Random) -> Turns | None:
    """Return the calls with one change; None if there is nothing to change."""
    turns = [list(turn) for turn in reference]
    places = [(turn, index) for turn, calls in enumerate(turns) for index in range(len(calls))]
    if not places:
        return None
    turn, index = random.choice(places)
    call = turns[turn][index]
    if kind == "value" and call.arguments:
        key = random.choice(list(call.arguments))
        turns[turn][index] = ToolCall(call.name, {**call.arguments, key: changed(call.arguments[key], random)})
    elif kind == "left out":
        del turns[turn][index]
    elif kind == "turn left out":
        turns[turn] = []
    elif kind == "added":
        turns[turn].insert(index, ToolCall(random.choice(tools), {}))
    elif kind == "unknown":
        turns[turn].insert(index, ToolCall("no_such_tool", {}))
    elif kind == "order":
        random.shuffle(turns[turn])
    elif kind == "later" and turn + 1 < len(turns):
        turns[turn + 1].insert(0, turns[turn].pop(index))
    elif kind == "twice":
        turns[turn].insert(index, call)
    return turns


def probes(case: Case, tools: Sequence[str], count: int, random: Random) -> Iterator[tuple[str, Turns]]:
    """Yield (kind, calls): the expected calls first, then changes of them."""
    expected = case.initial["expected"] if case.initial else []
    reference = [[ToolCall(*call) for call in turn] for turn in expected]
    yield "reference", reference
    for _ in range(count):
        kind = random.choice(KINDS)
        turns = changed_turns(reference, tools, kind, random)
        if turns is not None:
            yield kind, turns


def official(row: dict[str, Any], truth: list[list[str]], turns: Turns, steps: Random) -> dict[str, Any]:
    """Return the verdict of the leaderboard; the calls of a turn are one step or several."""
    texts = [
        [f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})" for call in turn]
        for turn in turns
    ]
    decoded = [[[text] for text in turn] if steps.random() < 0.5 else [turn] * bool(turn) for turn in texts]
    checker, utilities = importlib.import_module(CHECKER), importlib.import_module(UTILITIES)
    for name in [name for name in vars(utilities) if name.startswith("probe_")]:
        delattr(utilities, name)  # objects of the probe before
    verdict: dict[str, Any] = checker.multi_turn_checker(decoded, truth, row, "", "probe")
    return verdict


def ours(suite: Suite, case: Case, turns: Turns) -> tuple[bool, Any]:
    """Return whether the case passes, and the state that its check has seen."""
    assert suite.state
    state = replay(suite.state, case.initial or {}, turns).state
    answer = Answer(case=case.id, raw="x", calls=tuple(call for turn in turns for call in turn), state=state)
    return score_answer(case.checks, answer).passed, state


def imported(source: ImportSource, folder: Path) -> Suite:
    """Return the suite of a file of questions, written and read back."""
    (folder / "suite.toml").write_text(suite_to_toml(FORMATS["bfcl"](source).suite, ""), encoding="utf-8")
    suite, problems = suite_file.read_suite(SuiteFile(file="suite.toml"), folder, "suite")
    assert suite is not None, problems
    return suite


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=8, help="of each question")
    parser.add_argument("--questions", type=int, default=200, help="of each category")
    parser.add_argument("--category", choices=CATEGORIES, action="append")
    options = parser.parse_args()
    data = Path(str(importlib.import_module("bfcl_eval").__path__[0])) / "data"
    total, disagreements = collections.Counter[str](), collections.Counter[tuple[str, str]]()
    examples: dict[tuple[str, str], str] = {}
    print(f"{'category':<16}{'questions':>11}{'probes':>9}{'agree':>9}   pass by BFCL / by ours")
    for category in options.category or CATEGORIES:
        file = f"BFCL_v4_multi_turn_{category}.json"
        questions, truths = rows(data / file), rows(data / "possible_answer" / file)
        random, count = Random(category), collections.Counter[str]()
        with tempfile.TemporaryDirectory() as folder:
            source = ImportSource(path=data / file, answers=data / "possible_answer" / file)
            suite = imported(source, Path(folder))
        for case in suite.cases[: options.questions]:
            tools = [str(tool["function"]["name"]) for tool in suite.tool_declarations(case)]
            for kind, turns in probes(case, tools, options.changes, random):
                truth = truths[case.id]["ground_truth"]
                theirs = official(questions[case.id], truth, turns, random)
                passed, state = ours(suite, case, turns)
                count["probes"] += 1
                count["agree"] += theirs["valid"] == passed
                count["theirs"] += theirs["valid"]
                count["ours"] += passed
                if theirs["valid"] != passed:
                    reason = (kind, "BFCL takes it" if theirs["valid"] else str(theirs.get("error_type")))
                    disagreements[reason] += 1
                    calls = [[(call.name, call.arguments) for call in turn] for turn in turns]
                    examples.setdefault(reason, f"{case.id}: {state} {json.dumps(calls)[:300]}")
        total += count
        print(
            f"{category:<16}{len(suite.cases):>11}{count['probes']:>9,}{count['agree'] / count['probes']:>9.2%}   "
            f"{count['theirs']:,} / {count['ours']:,}",
            flush=True,
        )
    print(f"{'all':<27}{total['probes']:>9,}{total['agree'] / total['probes']:>9.3%}")
    for reason, number in disagreements.most_common():
        print(f"{number:>7}  {', '.join(reason):<60} {examples[reason]}")


if __name__ == "__main__":
    main()
