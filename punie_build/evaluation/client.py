"""Asking: questions put to a server, many at a time, and every reply kept as soon as it is there.

What goes wrong on the way (a timeout, a lost connection, a status, nonsense) is tried again with the very same request, and in
the end a `Lost`, never an answer. A server that died or hangs is for the caller to start again: `ask` then comes back early.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct, structs

from punie_build.errors import ModelError, ServerError
from punie_build.evaluation import request as questions
from punie_build.evaluation.canary import CANARY_PROMPTS, CANARY_TOKENS, Canary
from punie_build.evaluation.conversation import Decode, Lost, Said, reply
from punie_build.evaluation.server import Server

TRIES = 3
PAUSE = 0.2  # seconds before the next try, times the tries so far
MOST = 32 << 20  # bytes of one reply: 4,096 tokens with their log-probabilities are 0.4 MB
CANARY_SECONDS = 300.0
DEAD = "the server had died"
Keep = Callable[[str, Said], None]


class Round(Struct, frozen=True):
    """What did not come: `lost` for good, by the key of its question; `suspects` were in flight when the server died."""

    lost: dict[str, Lost]
    suspects: tuple[str, ...] = ()


async def ask(
    server: Server, asked: Mapping[str, dict[str, Any]], keep: Keep, *, concurrency: int, patience: float
) -> Round:
    """Put every question (key -> request), and `keep` what comes. Ends early, with suspects, when the server dies or hangs."""
    gate, lost, suspects = asyncio.Semaphore(concurrency), dict[str, Lost](), list[str]()

    async def one(client: httpx.AsyncClient, key: str, request: dict[str, Any]) -> None:
        async with gate:
            if not server.child.running:
                return
            try:
                keep(key, await _said(client, server, request))
            except _Gone as gone:
                suspects.append(key)
                server.stop()
                lost[key] = Lost(str(gone))
            except _Refused as refused:
                lost[key] = Lost(str(refused))

    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(timeout=patience, trust_env=False, limits=limits) as client:
        await asyncio.gather(*(one(client, *question) for question in asked.items()))
    return Round(lost, tuple(suspects))


class _Refused(Exception):  # noqa: N818 - not an error of this program
    """This request got no answer, and the server goes on."""


class _Gone(Exception):  # noqa: N818
    """The server died or hangs."""


async def _said(client: httpx.AsyncClient, server: Server, request: dict[str, Any]) -> Said:
    """The reply to one request, which is never changed between tries. Raises _Refused or _Gone."""
    why = ""
    for attempt in range(1, TRIES + 1):
        try:
            started = time.monotonic()
            said = reply(_choice(await _post(client, server, request)))
            return structs.replace(said, seconds=round(time.monotonic() - started, 3))
        except httpx.TimeoutException:
            raise _Gone(f"no answer in {client.timeout.read:.0f} s") from None
        except (httpx.HTTPError, ServerError) as error:
            why = str(error) or type(error).__name__
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            why = f"not an answer: {type(error).__name__} {str(error)[:200]}"
        if not server.child.running:
            raise _Gone(DEAD)
        await asyncio.sleep(PAUSE * attempt)
    if not await _healthy(client, server):
        raise _Gone(f"the server no longer generates: {why}")
    raise _Refused(why)


async def _post(client: httpx.AsyncClient, server: Server, request: dict[str, Any]) -> bytes:
    """The body of a good answer, of which no more than MOST bytes are read. Raises ServerError, httpx.HTTPError."""
    async with client.stream("POST", f"{server.url}/v1/chat/completions", json=request) as response:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MOST:
                raise ServerError(f"the server answered more than {MOST >> 20} MB")
        if response.status_code != 200:
            text = body[:200].decode("utf-8", "replace")
            raise ServerError(f"the server answered {response.status_code}: {text}")
        return bytes(body)


def _choice(body: bytes) -> dict[str, Any]:
    choice: dict[str, Any] = json.loads(body)["choices"][0]  # msgspec refuses half a surrogate pair
    return choice


async def _healthy(client: httpx.AsyncClient, server: Server) -> bool:
    """Whether its generation still runs: a thread that died leaves a process that answers 404 to everything."""
    try:
        return (await client.get(f"{server.url}/health")).status_code == 200
    except httpx.HTTPError:
        return False


async def canaries(server: Server, tokens: int = CANARY_TOKENS) -> Canary:
    """What the server says to three fixed questions: (token id, its log-probability) for each token. Raises ServerError."""
    asked = [questions.build([{"role": "user", "content": text}], max_tokens=tokens) for text in CANARY_PROMPTS]
    said: dict[str, Said] = {}
    found = await ask(
        server,
        {str(index): request for index, request in enumerate(asked)},
        said.__setitem__,
        concurrency=1,
        patience=CANARY_SECONDS,
    )
    if len(said) < len(asked):
        why = next((lost.error for lost in found.lost.values()), DEAD)
        raise ServerError(f"the server does not answer the canary questions: {why} - its log:\n{server.child.tail()}")
    return [list(zip(said[str(index)].ids, said[str(index)].logprobs, strict=True)) for index in range(len(asked))]


def decoder(model: Path, hidden: Iterable[str] = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")) -> Decode:
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


def vocabulary(model: Path) -> int | None:
    """How many tokens a model tells apart, by its config.json."""
    config = msgspec.json.decode((model / "config.json").read_bytes())
    sizes = [part.get("vocab_size") for part in (config, config.get("text_config") or {})]
    return next((int(size) for size in sizes if size), None)
