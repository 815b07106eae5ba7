"""Collect the answers of one model to a suite, and verify that this model gave them.

Each case is a conversation. The completions of its requests come from the cache where it has them; only the other
requests are sent, to a server or to a process that loads the weights itself. So an interrupted run continues, a new
case sends one request, and a second run sends none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from punie_build.errors import IdentityError, ModelError, ServerError
from punie_build.evaluation import answer_files, base_calls, canary, interview, request
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.canary import CanaryNoise
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.completion import Completion, RequestFailed
from punie_build.evaluation.in_process import InferenceJob
from punie_build.evaluation.interview import Failures, Requests
from punie_build.evaluation.loaded_files import stamps_by_folder
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.server import ServedModel, Server, WarmServer
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Suite
from punie_build.models.environment import compute_precision
from punie_build.runtime import blas
from punie_build.runtime.child import Child, job_file
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths

QUANTIZED_LATER = 512  # tokens: a cache that is quantized after so many leaves the canary as it is
MAX_SERVER_STARTS = 4  # of a server that dies again and again


class EvalRun(Struct, frozen=True, kw_only=True):
    """A model under test, a suite, and the generation settings.

    `weights` is a digest of all that decides a completion besides the request: weights, versions, device.
    `is_current` returns whether the weights still have their digests.
    `ignore_cache` sends all requests, also those with a cached completion. `notify` receives messages for the user.
    `is_part`: the suite has some of the cases only, and the run of all counts the errors.
    """

    root: Path
    served: ServedModel
    spec: GenerationSpec
    suite: Suite
    weights: str
    logs: Path
    ignore_cache: bool = False
    notify: Callable[[str], object] = print
    is_current: Callable[[], bool] = lambda: True
    is_part: bool = False

    @property
    def cache_name(self) -> str:
        """The digest of weights, precision, engine and serving options that names the file of cached completions."""
        serving = msgspec.to_builtins(self.spec.serving)
        serving.pop("chat_template_args")  # is in each request
        for name in ("prompt_cache_size", "prompt_cache_bytes"):  # change no completion
            serving.pop(name)
        return digest([self.weights, self.spec.engine, serving, *compute_precision()])


def collect_answers(run: EvalRun, warm: WarmServer, out: Path) -> tuple[Proof, int]:
    """Send the requests that are not cached, write answers.jsonl and proof.json, and return (proof, number of requests
    sent).

    Raise ServerError, ModelError, or IdentityError if other weights answered. The cache keeps all completions in any
    case.
    """
    cache = ResponseCache(run.root / paths.responses(run.cache_name), skip_existing=run.ignore_cache)
    if cache.changed_lines:
        run.notify(
            f"{cache.changed_lines} cached answers were changed by hand or by an older version: they are asked again"
        )
    with unchanged_weights(run, cache, warm) as stamps:
        served = structs.replace(run.served, stamps=stamps)
        return _collect(structs.replace(run, served=served), cache, warm, out)


@contextmanager
def unchanged_weights(run: EvalRun, cache: ResponseCache, warm: WarmServer) -> Iterator[dict[str, str]]:
    """Yield the stamps of the files of the model, by folder: a process that loads them verifies that it has these.
    Raise IdentityError, and keep no completion, if they have other bytes when the block ends, however it ends."""
    stamps = stamps_by_folder((run.served.model, run.served.adapter, run.served.draft))
    problem = (
        f"{run.spec.arm}: files of its folder changed while it was asked, so it is not known which weights answered - "
        "no answer is kept; wait until the program that writes there has ended, and build again"
    )
    if not run.is_current():
        raise IdentityError(problem)
    try:
        yield stamps
    finally:
        if not run.is_current():
            warm.release()
            cache.discard_new()
            raise IdentityError(problem)


def _collect(run: EvalRun, cache: ResponseCache, warm: WarmServer, out: Path) -> tuple[Proof, int]:
    from punie_build.evaluation import client

    engine = _InProcessEngine(run, cache) if run.spec.engine == "batch" else _ServerEngine(run, cache, warm)
    decode, reader = client.decoder(run.served.model), base_calls.reader_of(run.served.model)
    has_tools = any(run.suite.tool_declarations(case) for case in run.suite.cases)
    if has_tools and (lacking := base_calls.unserved(reader, run.spec.arm)):
        run.notify(lacking)

    def send(missing: Requests) -> Failures:
        _check_requests(run, missing)
        return engine.send(missing) if missing or cache.canaries is None else {}

    answers, sent = interview.ask(
        run.spec, run.suite, cache, send, lambda completion: decode(completion.token_ids), reader, run.notify
    )
    if not run.is_part:
        interview.check_error_rate(run.spec.name, answers, run.logs.relative_to(run.root).as_posix())
    if run.served.adapter and (warning := canary.small_effect(run.spec.arm, *_canaries(cache), cache.noise)):
        run.notify(warning)
    proof = _proof(run, cache, answers)
    answer_files.write(out, answers, proof)
    return proof, sent


def copy_completions(run: EvalRun, path: Path) -> bytes:
    """Write the canaries, and the completions that the cases of a run need, to a new cache at `path`. Return its
    lines. The run has collected its answers; requests that failed have no line."""
    from punie_build.evaluation import client

    cache, copy = ResponseCache(run.root / paths.responses(run.cache_name)), ResponseCache(path)
    copy.add_canaries(*_canaries(cache), cache.noise)
    decode, reader = client.decoder(run.served.model), base_calls.reader_of(run.served.model)

    def send(missing: Requests) -> Failures:
        cached = {key: cache.completions[key] for key in missing if key in cache.completions}
        for key, completion in cached.items():
            copy.add(key, completion)
        return {key: RequestFailed("not answered") for key in missing if key not in cached}

    interview.ask(
        run.spec, run.suite, copy, send, lambda completion: decode(completion.token_ids), reader, lambda _: None
    )
    return path.read_bytes()


def _check_requests(run: EvalRun, requests: Requests) -> None:
    """Raise ServerError if one of these requests would end the server."""
    from punie_build.evaluation import client

    size = client.vocabulary_size(run.served.model)
    problems = dict.fromkeys(problem for body in requests.values() for problem in request.problems(body, size))
    if problems:
        raise ServerError("\n".join(f"{run.spec.name}: no request is sent, {problem}" for problem in problems))


def _proof(run: EvalRun, cache: ResponseCache, answers: list[Answer]) -> Proof:
    expected, base = _canaries(cache)
    return Proof(
        arm=run.spec.arm,
        canary=canary.fingerprint(expected),
        base_canary=canary.fingerprint(base),
        errors=sum(answer.error is not None for answer in answers),
        parse_failures=sum(answer.malformed for answer in answers),
    )


def _canaries(cache: ResponseCache) -> tuple[canary.Canary, canary.Canary]:
    assert cache.canaries is not None, "an engine verifies the weights before it sends a request"
    return cache.canaries


class _ServerEngine:
    """Send requests to a server, and restart it if it dies."""

    def __init__(self, run: EvalRun, cache: ResponseCache, warm: WarmServer) -> None:
        self.run, self.cache, self.warm = run, cache, warm
        self.env = blas.environment(run.root)

    def send(self, requests: Requests) -> Failures:
        """Send all requests and return the failures.

        Requests that were in flight when the server died are sent again, last and one by one, to find the one that ends
        it.
        """
        failures: Failures = {}
        suspects: set[str] = set()
        with ProgressBar(f"requests to {self.run.spec.arm}", len(requests)) as bar:
            for _ in range(MAX_SERVER_STARTS):
                canary_file = None if self.cache.canaries else self.cache.path
                served = structs.replace(self.run.served, canary_file=canary_file)
                with self.warm.lend(self.run.cache_name, served, self.run.logs / "server.log", self.env) as server:
                    self.verify_identity(server)
                    pending = {
                        key: body
                        for key, body in requests.items()
                        if key not in self.cache.completions and key not in failures
                    }
                    together = {key: body for key, body in pending.items() if key not in suspects}
                    alone = [{key: body} for key, body in pending.items() if key in suspects]
                    for batch in [together, *alone]:
                        rejected, fatal = self.send_batch(server, batch, bar, len(together) + len(alone))
                        failures |= rejected
                        if len(batch) == 1:
                            failures |= fatal
                        suspects |= fatal.keys()
                        if fatal:
                            break
                    else:
                        return failures
        from punie_build.evaluation.client import SERVER_DIED

        missing = [key for key in requests if key not in self.cache.completions]
        return {key: RequestFailed(f"{SERVER_DIED}, {MAX_SERVER_STARTS} times") for key in missing} | failures

    def send_batch(self, server: Server, batch: Requests, bar: ProgressBar, total: int) -> tuple[Failures, Failures]:
        """Return (failures after which the server continues, failures of requests in flight when it died)."""
        from punie_build.evaluation import client

        unparsed_before, cached = server.unparsed_tool_calls(), len(self.cache.completions)

        def add(key: str, completion: Completion) -> None:
            self.cache.add(key, completion)
            bar(len(self.cache.completions) - cached, f"{total} requests")

        spec = self.run.spec
        result = asyncio.run(client.send_all(server, batch, add, concurrency=spec.concurrency, timeout=spec.timeout))
        if unparsed := server.unparsed_tool_calls() - unparsed_before:
            self.run.notify(f"the server could not parse {unparsed} tool calls, by its log")
        fatal = {key: failure for key, failure in result.failures.items() if key in result.in_flight}
        return {key: failure for key, failure in result.failures.items() if key not in result.in_flight}, fatal

    def verify_identity(self, server: Server) -> None:
        """Raise IdentityError unless the server's canary is that of the model under test."""
        from punie_build.evaluation import client

        self.cache.refresh()
        if self.cache.canaries is None:
            raise ServerError(f"{self.run.spec.arm}: the server wrote no canary of its weights - build again")
        expected, base = self.cache.canaries
        served, repeated = (asyncio.run(client.canary_completions(server)) for _ in range(2))
        serving, noise = self.run.spec.serving, self.cache.noise
        if serving.kv_bits and serving.quantized_kv_start < QUANTIZED_LATER:  # the canary is of an exact cache
            noise = CanaryNoise(nats=canary.TOLERANCE, certain=(0,) * len(expected))
        canary.verify_identity(self.run.spec.arm, served, repeated, expected, base, noise)


class _InProcessEngine:
    """Run requests in a process that loads the weights itself, without port and server, as CI needs it."""

    def __init__(self, run: EvalRun, cache: ResponseCache) -> None:
        self.run, self.cache = run, cache

    def send(self, requests: Requests) -> Failures:
        """Run all requests and return the failures."""
        error = run_in_process(self.run, self.cache, requests)
        if self.cache.canaries is None:
            raise ModelError(error)
        return {key: RequestFailed(error) for key in requests if key not in self.cache.completions}


def run_in_process(run: EvalRun, cache: ResponseCache, requests: Requests) -> str:
    """Run requests, and missing canary prompts, in a process that loads the weights. Return its error message or ""."""
    job = InferenceJob(
        model=str(run.served.model),
        adapter=str(run.served.adapter) if run.served.adapter else None,
        cache_file=str(cache.path),
        needs_canaries=cache.canaries is None,
        requests=dict(requests),
        concurrency=run.spec.concurrency,
        max_kv_size=run.spec.serving.max_kv_size,
        stamps=run.served.stamps,
    )
    arguments = [job_file(run.logs / "requests.json", job)]
    log, env = run.logs / "requests.log", blas.environment(run.root)
    cached = len(cache.completions)
    with (
        Child("punie_build.evaluation.in_process", arguments, log, env) as child,
        ProgressBar(f"requests to {run.spec.arm}", max(len(requests), 1)) as bar,
    ):
        while child.running:
            time.sleep(0.05)
            cache.refresh()
            bar(len(cache.completions) - cached)
        cache.refresh()
        return child.failure("loading the model") if child.process.wait() else ""
