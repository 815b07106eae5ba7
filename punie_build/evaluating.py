"""Evaluating: the answers of one arm to a suite, and the proof that it was this arm that answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from punie_build import blas, identity
from punie_build.checks import Answer
from punie_build.children import Child
from punie_build.errors import ModelError, ServerError
from punie_build.evals import Eval
from punie_build.scoring import Scored, score
from punie_build.screen import Bar
from punie_build.suites import Suite

if TYPE_CHECKING:
    from punie_build.serving import Served

CANARY_TOKENS = 8


class Scores(Struct, frozen=True, kw_only=True):
    """`scores.json` of an eval. `canary` names the weights that answered, `base_canary` those without the adapter."""

    arm: str
    suite: str
    cases: tuple[Scored, ...]
    canary: str
    base_canary: str
    parse_failures: int = 0

    @property
    def passed(self) -> int:
        return sum(case.passed for case in self.cases)


def scores(folder: Path) -> Scores:
    return msgspec.json.decode((folder / "scores.json").read_bytes(), type=Scores)


def answers(folder: Path) -> dict[str, Answer]:
    lines = (folder / "answers.jsonl").read_bytes().splitlines()
    return {answer.case: answer for answer in (msgspec.json.decode(line, type=Answer) for line in lines)}


def evaluate(root: Path, served: Served, spec: Eval, suite: Suite, out: Path, logs: Path) -> Scores:
    """Ask and judge. Raises ServerError, ModelError, or IdentityError if other weights answered."""
    import asyncio

    env = blas.environment(root)
    arm, base = _witness(served, env, logs)
    given, fingerprint, dropped = asyncio.run(_ask(served, spec, suite, logs / "server.log", env, arm, base))
    errors = [answer for answer in given if answer.error]
    if errors:
        raise ServerError(
            f"eval of {spec.arm}: {len(errors)} of {len(given)} answers never came, the first ({errors[0].case}): {errors[0].error} - the server's log is {(logs / 'server.log').relative_to(root)}"
        )
    result = Scores(
        arm=spec.arm,
        suite=spec.suite,
        cases=score(suite, {answer.case: answer for answer in given}),
        canary=fingerprint,
        base_canary=identity.fingerprint(base),
        parse_failures=dropped,
    )
    (out / "answers.jsonl").write_bytes(b"".join(msgspec.json.encode(answer) + b"\n" for answer in given))
    (out / "scores.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return result


async def _ask(
    served: Served,
    spec: Eval,
    suite: Suite,
    log: Path,
    env: Mapping[str, str],
    arm: identity.Canary,
    base: identity.Canary,
) -> tuple[list[Answer], str, int]:
    from punie_build import asking
    from punie_build.serving import serve

    decode = asking.decoder(served.model)
    async with serve(served, log, env) as server:
        first, again = await asking.canaries(server, CANARY_TOKENS), await asking.canaries(server, CANARY_TOKENS)
        identity.prove(spec.arm, first, again, arm, base, served.adapter is not None)
        with Bar(f"asking {spec.arm}", len(suite.case)) as bar:
            given = await asking.ask(
                server, suite, decode=decode, max_tokens=spec.max_tokens, concurrency=spec.concurrency, tick=bar
            )
    return given, identity.fingerprint(first), server.child.text().count("ailed to parse tool call")


def _witness(served: Served, env: Mapping[str, str], logs: Path) -> tuple[identity.Canary, identity.Canary]:
    """(what the arm says, what the base says), computed by a process that loads the weights itself."""
    log, out = logs / "witness.log", logs / "witness.json"
    out.unlink(missing_ok=True)
    arguments = [str(served.model), str(served.adapter or "-"), str(CANARY_TOKENS), str(out)]
    with Child("punie_build.witness", arguments, log, env) as child:
        if child.process.wait() != 0:
            raise ModelError(child.failure("loading the model"))
    told: dict[str, Any] = json.loads(out.read_text())
    return told["arm"], told["base"]
