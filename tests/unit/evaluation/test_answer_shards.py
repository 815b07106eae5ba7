"""A suite that several workers ask: the answers are those of one, and weights that differ are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from punie_build.artifacts.answers import ANSWERS
from punie_build.cluster.job import append_lines
from punie_build.engine.task import Task
from punie_build.errors import IdentityError, ServerError
from punie_build.evaluation import answer_files, answer_shards, runner
from punie_build.evaluation.checks.union import NoCall
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.runner import EvalRun
from punie_build.evaluation.server import ServedModel, WarmServer
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Case, Suite
from punie_build.storage import paths

CANARY = [[(1, -0.5), (2, -0.25)]] * 3
OTHER = [[(1, -0.5), (3, -0.25)]] * 3
SPEC = GenerationSpec(arm="fake", suite="s", max_tokens=20, engine="batch")
SUITE = Suite(cases=tuple(Case(id=f"c{n}", prompt=f"question {n}", checks=(NoCall(),)) for n in range(65)))


def run_of(root: Path, suite: Suite) -> EvalRun:
    served = ServedModel(model=paths.nano())
    return EvalRun(
        root=root, served=served, spec=SPEC, suite=suite, weights="w", logs=root / "l", notify=lambda _: None
    )


def collected(root: Path, suite: Suite) -> tuple[bytes, int]:
    """Return answers.jsonl of a suite whose completions are in the cache, and the number of requests."""
    out = root / "out"
    out.mkdir(parents=True, exist_ok=True)
    _, sent = runner.collect_answers(run_of(root, suite), WarmServer(), out)
    return (out / "answers.jsonl").read_bytes(), sent


def fill(root: Path, whole: ResponseCache, canary=CANARY) -> None:
    """Write the completions of all cases to the cache of a worker, as if it had asked them before."""
    cache = ResponseCache(root / paths.responses(run_of(root, SUITE).cache_name))
    cache.add_canaries(canary, canary)
    for key, completion in whole.completions.items():
        cache.add(key, completion)


@pytest.fixture
def whole(tmp_path) -> ResponseCache:
    """The completions of all cases: each repeats its prompt."""
    from tokenizers import Tokenizer

    from punie_build.evaluation import request
    from punie_build.evaluation.completion import Completion

    encode = Tokenizer.from_file(str(paths.nano() / "tokenizer.json")).encode
    cache = ResponseCache(tmp_path / "whole.jsonl")
    for case in SUITE.cases:
        ids = encode(case.prompt).ids
        body = request.for_turn(SPEC, case.id, 0, SUITE.messages(case), [])
        completion = Completion(token_ids=ids, logprobs=[-0.5] * len(ids), content=case.prompt)
        cache.add(request.cache_key(body, 0), completion)
    return cache


def parts_of(tmp_path: Path, whole: ResponseCache, canaries=(CANARY, CANARY, CANARY)) -> list[dict[str, bytes]]:
    task = Task(kind=ANSWERS, name="fake@s", spec=SPEC, uses={"s": SUITE})
    parts = []
    for number, (part, canary) in enumerate(zip(answer_shards.split(task, 9), canaries, strict=True)):
        root, suite = tmp_path / f"worker{number}", part.uses["s"]
        fill(root, whole, canary)
        assert collected(root, suite)[1] == 0
        run = run_of(root, suite)
        lines = runner.copy_completions(run, tmp_path / f"lines{number}.jsonl")
        assert lines.count(b"\n") == 1 + len(suite.cases)  # the canary, and no completion of another part
        parts.append({paths.responses(run.cache_name): lines})
    return parts


def test_the_answers_of_all_parts_are_those_of_one_worker(tmp_path, whole):
    joined = answer_shards.join(parts_of(tmp_path, whole))
    for root in (tmp_path / "last", tmp_path / "again"):
        for path, lines in joined.items():
            append_lines(root / path, lines)
            append_lines(root / path, lines)  # a second build adds none
            assert (root / path).read_bytes().count(b"\n") == 1 + len(SUITE.cases)
    fill(tmp_path / "alone", whole)
    assert collected(tmp_path / "last", SUITE) == collected(tmp_path / "alone", SUITE)
    answers = answer_files.read_answers(tmp_path / "last" / "out")
    assert [answer.content for answer in answers] == [case.prompt for case in SUITE.cases]


def test_workers_with_other_weights_are_refused(tmp_path, whole):
    with pytest.raises(IdentityError, match="two workers have answered with other weights"):
        answer_shards.join(parts_of(tmp_path, whole, (CANARY, OTHER, CANARY)))


def test_a_part_without_a_canary_is_refused(tmp_path, whole):
    parts = parts_of(tmp_path, whole)
    [(name, lines)] = parts[1].items()
    parts[1][name] = lines.partition(b"\n")[2]
    with pytest.raises(ServerError, match="no canary"):
        answer_shards.join(parts)


@pytest.mark.parametrize(("cases", "count", "parts"), [(65, 2, 2), (65, 9, 3), (39, 9, 0), (65, 1, 0)])
def test_parts_are_no_smaller_than_the_load_of_the_weights_is_worth(cases, count, parts):
    suite = structs.replace(SUITE, cases=SUITE.cases[:cases])
    tasks = answer_shards.split(Task(kind=ANSWERS, name="fake@s", spec=SPEC, uses={"s": suite}), count)
    assert len(tasks) == parts
    assert sorted(case.id for task in tasks for case in task.uses["s"].cases) == (
        sorted(case.id for case in suite.cases) if parts else []
    )
