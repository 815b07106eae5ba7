"""Answering: the answers of one arm to a suite, and the proof that it was this arm that answered.

Every case is a talk; its questions are looked up in what these weights ever said, and only the others are put, to a server or
to a worker process. So an interrupted run goes on, a new case asks one question, and a second run asks none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.errors import ModelError, ServerError
from punie_build.evaluation import canary as identity
from punie_build.evaluation import request as questions
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.conversation import Lost, Proof, Talk
from punie_build.evaluation.in_process import Witnessing
from punie_build.evaluation.response_cache import Answered
from punie_build.evaluation.server import Served, Server, Warm
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Suite
from punie_build.runtime import blas
from punie_build.runtime.child import Child
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths

LIMIT = 0.02  # the share of answers that may be missing before an eval says nothing
STARTS = 4  # of a server that dies while it is asked
Asked = Mapping[str, dict[str, Any]]
Losses = dict[str, Lost]


class Job(Struct, frozen=True, kw_only=True):
    """Who is asked what. `weights` names all that decides a reply besides the question: weights, versions, device. `afresh`: what
    is known already does not count."""

    root: Path
    served: Served
    spec: GenerationSpec
    suite: Suite
    weights: str
    logs: Path
    afresh: bool = False
    say: Callable[[str], object] = print

    @property
    def identity(self) -> str:
        """The name of what answers: the weights, and how they are made to."""
        how = msgspec.to_builtins(self.spec.serving)
        for name in ("chat_template_args", "prompt_cache_size", "prompt_cache_bytes"):  # in the question; no matter
            how.pop(name)
        return digest([self.weights, self.spec.engine, how])


def answer(job: Job, warm: Warm, out: Path) -> tuple[Proof, int]:
    """Ask what is not known, write answers.jsonl and proof.json; the proof, and how many questions were put.

    Raises ServerError, ModelError, or IdentityError if other weights answered. What came is kept whatever happens.
    """
    from punie_build.evaluation import client

    book = Answered(job.root / paths.answered(job.identity), empty=job.afresh)
    engine = _Batch(job, book) if job.spec.engine == "batch" else _Serve(job, book, warm)
    decode = client.decoder(job.served.model)
    talks = [
        Talk(job.spec, job.suite, case, epoch, decode) for case in job.suite.case for epoch in range(job.spec.epochs)
    ]
    put = 0
    while waiting := [(talk, request) for talk in talks if (request := talk.request()) is not None]:
        keys = [questions.cache_key(request, talk.epoch) for talk, request in waiting]
        new = {key: request for key, (_, request) in zip(keys, waiting, strict=True) if key not in book.said}
        _hold(job, new)
        lost = engine.put(new) if new or book.canaries is None else {}
        put += len(new)
        for key, (talk, _) in zip(keys, waiting, strict=True):
            talk.hear(book.said.get(key) or lost[key])
    given = [talk.answer for talk in talks if talk.answer]
    _enough(job, given)
    proof = _proof(job, book, given)
    (out / "answers.jsonl").write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in given))
    (out / "proof.json").write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n")
    return proof, put


def _hold(job: Job, new: Asked) -> None:
    """Raise ServerError if one of these requests would end the server."""
    from punie_build.evaluation import client

    tokens = client.vocabulary(job.served.model)
    found = dict.fromkeys(line for request in new.values() for line in questions.problems(request, tokens))
    if found:
        raise ServerError("\n".join(f"{job.spec.name}: not asked, {line}" for line in found))


def _enough(job: Job, given: list[Answer]) -> None:
    """Raise ServerError if too few answers came to say anything."""
    errors = [each for each in given if each.error]
    if len(errors) > LIMIT * len(given):
        raise ServerError(
            f"{job.spec.name}: invalid, {len(errors)} of {len(given)} answers never came, the first ({errors[0].case}): {errors[0].error} - what came is kept, build again to ask for the rest; logs are in {job.logs.relative_to(job.root)}"
        )


def _proof(job: Job, book: Answered, given: list[Answer]) -> Proof:
    assert book.canaries is not None, "an engine proves who it is before it answers"
    arm, base = book.canaries
    return Proof(
        arm=job.spec.arm,
        canary=identity.fingerprint(arm),
        base_canary=identity.fingerprint(base),
        errors=sum(each.error is not None for each in given),
        parse_failures=sum(each.malformed for each in given),
    )


class _Serve:
    """Questions put to a server, which is started again if it dies."""

    def __init__(self, job: Job, book: Answered, warm: Warm) -> None:
        self.job, self.book, self.warm = job, book, warm
        self.env = blas.environment(job.root)

    def put(self, asked: Asked) -> Losses:
        """Put them all; what never came. Those in flight when the server died are put again, last and alone."""
        lost: Losses = {}
        suspects: set[str] = set()
        with ProgressBar(f"asking {self.job.spec.arm}", len(asked)) as bar:
            for _ in range(STARTS):
                with self.warm.lend(
                    self.job.identity, self.job.served, self.job.logs / "server.log", self.env
                ) as server:
                    self.prove(server)
                    open_ = {key: asked[key] for key in asked if key not in self.book.said and key not in lost}
                    calm = {key: request for key, request in open_.items() if key not in suspects}
                    alone = [{key: request} for key, request in open_.items() if key in suspects]
                    for some in [calm, *alone]:
                        refused, dying = self.round(server, some, bar, len(calm) + len(alone))
                        lost |= refused
                        if len(some) == 1:
                            lost |= dying
                        suspects |= dying.keys()
                        if dying:
                            break
                    else:
                        return lost
        from punie_build.evaluation.client import DEAD

        return {key: Lost(f"{DEAD}, {STARTS} times") for key in asked if key not in self.book.said} | lost

    def round(self, server: Server, some: Asked, bar: ProgressBar, left: int) -> tuple[Losses, Losses]:
        """(what got no answer though the server goes on, what was in flight when it did not)."""
        from punie_build.evaluation import client

        before, known = server.dropped(), len(self.book.said)

        def keep(key: str, said: Any) -> None:
            self.book.keep(key, said)
            bar(len(self.book.said) - known, f"{left} asked")

        spec = self.job.spec
        found = asyncio.run(client.ask(server, some, keep, concurrency=spec.concurrency, patience=spec.timeout))
        if dropped := server.dropped() - before:
            self.job.say(f"the server could not read {dropped} tool calls, by its log")
        dying = {key: lost for key, lost in found.lost.items() if key in found.suspects}
        return {key: lost for key, lost in found.lost.items() if key not in found.suspects}, dying

    def prove(self, server: Server) -> None:
        """Raise IdentityError unless these are the weights that the arm names."""
        from punie_build.evaluation import client

        if self.book.canaries is None:
            why = _witness(self.job, self.book, {})
            if self.book.canaries is None:
                raise ModelError(why)
        arm, base = self.book.canaries
        first, again = (asyncio.run(client.canaries(server)) for _ in range(2))
        identity.verify_identity(self.job.spec.arm, first, again, arm, base, self.job.served.adapter is not None)


class _Batch:
    """Questions put to a process that loads the weights itself: no port, no server, for CI."""

    def __init__(self, job: Job, book: Answered) -> None:
        self.job, self.book = job, book

    def put(self, asked: Asked) -> Losses:
        why = _witness(self.job, self.book, asked)
        if self.book.canaries is None:
            raise ModelError(why)
        arm, base = self.book.canaries
        identity.verify_identity(self.job.spec.arm, arm, arm, arm, base, self.job.served.adapter is not None)
        return {key: Lost(why) for key in asked if key not in self.book.said}


def _witness(job: Job, book: Answered, asked: Asked) -> str:
    """Let a process of its own load the weights, prove them where nobody did yet, and answer; what went wrong, if anything."""
    task = Witnessing(
        model=str(job.served.model),
        adapter=str(job.served.adapter) if job.served.adapter else None,
        book=str(book.path),
        prove=book.canaries is None,
        asked=dict(asked),
        concurrency=job.spec.concurrency,
        max_kv_size=job.spec.serving.max_kv_size,
    )
    place = job.logs / "witness.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(msgspec.json.encode(task))
    known = len(book.said)
    with (
        Child(
            "punie_build.evaluation.in_process", [str(place)], job.logs / "witness.log", blas.environment(job.root)
        ) as child,
        ProgressBar(f"asking {job.spec.arm}", max(len(asked), 1)) as bar,
    ):
        while child.running:
            time.sleep(0.05)
            book.catch_up()
            bar(len(book.said) - known)
        book.catch_up()
        return child.failure("loading the model") if child.process.wait() else ""
