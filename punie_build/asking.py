"""Asking: the cases of a suite put to a server, and what came back, token for token."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from punie_build.checks import Answer, Asked
from punie_build.errors import ModelError
from punie_build.serving import Server, request
from punie_build.suites import Case, Suite

ANSWER_SECONDS = 300.0
_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
CANARIES = ("What are you?", "Name three things that are blue.", "Write one line of Python.")


async def ask(
    server: Server,
    suite: Suite,
    *,
    decode: Callable[[list[int]], str],
    max_tokens: int,
    concurrency: int,
    tick: Callable[[int], None],
) -> list[Answer]:
    """Every case's answer, in the suite's order. What goes wrong on the way is an answer with `error`, never a wrong one."""
    gate = asyncio.Semaphore(concurrency)
    done = 0

    async def one(client: httpx.AsyncClient, case: Case) -> Answer:
        nonlocal done
        async with gate:
            body = request(suite.conversation(case), max_tokens=max_tokens, tools=suite.declarations() or None)
            answer = await _answer(client, server, case, body, decode)
        done += 1
        tick(done)
        return answer

    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        return await asyncio.gather(*(one(client, case) for case in suite.case))


async def _answer(
    client: httpx.AsyncClient, server: Server, case: Case, body: dict[str, Any], decode: Callable[[list[int]], str]
) -> Answer:
    if not server.child.running:
        return Answer(case=case.id, error="the server had died")
    try:
        response = await client.post(f"{server.url}/v1/chat/completions", json=body)
        response.raise_for_status()
        choice = response.json()["choices"][0]
        return read(case.id, decode([token["id"] for token in choice["logprobs"]["content"]]), choice)
    except httpx.HTTPStatusError as error:
        return Answer(
            case=case.id, error=f"the server answered {error.response.status_code}: {error.response.text[:200]}"
        )
    except httpx.HTTPError as error:
        return Answer(case=case.id, error=f"{type(error).__name__}: {error}")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return Answer(case=case.id, error=f"not an answer: {type(error).__name__} {error}")


def read(case: str, raw: str, choice: dict[str, Any]) -> Answer:
    """What an answer says. The server drops a call it cannot parse, so the raw text decides whether there was one."""
    message = choice["message"]
    calls, malformed = [], False
    for call in message.get("tool_calls") or ():
        arguments = json.loads(call["function"]["arguments"] or "{}")
        if isinstance(arguments, dict):
            calls.append(Asked(call["function"]["name"], arguments))
        else:
            malformed = True
    written = len(_CALL.findall(raw))
    return Answer(
        case=case,
        raw=raw,
        content=message.get("content") or "",
        calls=tuple(calls),
        malformed=malformed or written > len(calls),
        finish=choice["finish_reason"],
    )


async def canaries(server: Server, max_tokens: int = 8) -> list[list[tuple[int, float]]]:
    """What the server says to three fixed questions: (token id, its log-probability) for each token."""
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        out = []
        for question in CANARIES:
            response = await client.post(
                f"{server.url}/v1/chat/completions",
                json=request([{"role": "user", "content": question}], max_tokens=max_tokens),
            )
            response.raise_for_status()
            out.append(
                [(token["id"], token["logprob"]) for token in response.json()["choices"][0]["logprobs"]["content"]]
            )
        return out


def decoder(
    model: Path, hidden: Iterable[str] = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")
) -> Callable[[list[int]], str]:
    """Token ids -> the text they spell, markup kept, without the token that ends a turn."""
    from tokenizers import Tokenizer

    path = model / "tokenizer.json"
    if not path.exists():
        raise ModelError(f"{model.name}: no tokenizer.json - convert the model with a current mlx_lm.convert")
    tokenizer = Tokenizer.from_file(str(path))
    ends = {tokenizer.token_to_id(name) for name in hidden}

    def decode(ids: list[int]) -> str:
        while ids and ids[-1] in ends:
            ids = ids[:-1]
        return str(tokenizer.decode(ids, skip_special_tokens=False))

    return decode
