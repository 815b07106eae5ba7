"""One suite, asked by several workers of a cluster: each asks some of its cases, proves which weights answered, and
returns its completions as the lines of the cache. With all of them in its cache the step asks nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from msgspec import structs

from punie_build.engine.kind import Shards
from punie_build.engine.task import Task
from punie_build.engine.work import Work
from punie_build.errors import IdentityError, ServerError
from punie_build.evaluation import canary, runner, steps
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.server import WARM
from punie_build.evaluation.spec import GenerationSpec
from punie_build.storage import paths

MIN_CASES = 20  # of a part: for fewer it is not worth to load the weights


def split(task: Task[GenerationSpec], count: int) -> list[Any]:
    """Return tasks that ask each some of the cases; none if the suite is too small."""
    suite = task.uses[task.spec.suite]
    count = min(count, len(suite.cases) // MIN_CASES)
    parts = [structs.replace(suite, cases=suite.cases[index::count]) for index in range(count)]
    return [structs.replace(task, uses=task.uses | {task.spec.suite: part}) for part in parts] if count > 1 else []


def collect(work: Work[GenerationSpec]) -> dict[str, bytes]:
    """Ask the cases of a part, and return the lines of the cache that they need: the step asks again what failed."""
    run = structs.replace(steps.eval_run(work), is_part=True)
    work.out.mkdir(parents=True, exist_ok=True)
    runner.collect_answers(run, WARM, work.out)
    with tempfile.TemporaryDirectory() as folder:
        lines = runner.copy_completions(run, Path(folder, "lines.jsonl"))
    return {paths.responses(run.cache_name): lines}


def join(parts: list[dict[str, bytes]]) -> dict[str, bytes]:
    """Return the completions of all parts, and one canary. Raise IdentityError if their weights differ."""
    files: dict[str, bytes] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        with tempfile.TemporaryDirectory() as folder:
            caches = [_cache(Path(folder, f"{index}.jsonl"), part[name]) for index, part in enumerate(parts)]
            _require_equal_weights(caches)
            joined = ResponseCache(Path(folder, "joined.jsonl"))
            model, base = caches[0].canaries or ([], [])
            joined.add_canaries(model, base, caches[0].noise)
            for key, completion in {key: value for cache in caches for key, value in cache.completions.items()}.items():
                joined.add(key, completion)
            files[name] = joined.path.read_bytes()
    return files


def _cache(path: Path, lines: bytes) -> ResponseCache:
    path.write_bytes(lines)
    return ResponseCache(path)


def _require_equal_weights(caches: list[ResponseCache]) -> None:
    first, noise = caches[0].canaries, caches[0].noise
    for cache in caches:
        if first is None or cache.canaries is None:
            raise ServerError("a worker returned no canary of its weights - build again")
        for expected, other in zip(first, cache.canaries, strict=True):
            if canary.distance(other, expected, noise.certain) > noise.tolerance:
                raise IdentityError("two workers have answered with other weights - give both the same files")


SHARDS = Shards(split, collect, join)
