"""Send chat requests to a server, many at a time, and pass on each completion as soon as it arrives.

A request that fails (lost connection, HTTP status, malformed response) is sent again unchanged, and after the last
attempt it is a `RequestFailed`, never a completion. `send_all` returns early if the server dies or hangs; the caller
restarts it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct, structs

from punie_build.errors import ModelError, ServerError
from punie_build.evaluation import request
from punie_build.evaluation.canary import CANARY_PROMPTS, CANARY_TOKENS, Canary
from punie_build.evaluation.completion import Completion, Decode, RequestFailed, parse_choice
from punie_build.evaluation.server import Server

ATTEMPTS = 3
RETRY_SECONDS = 0.2  # before the next attempt, times the number of attempts so far
MAX_RESPONSE_BYTES = 32 << 20  # 4,096 tokens with their log-probabilities are 0.4 MB
CANARY_SECONDS = 300.0
SERVER_DIED = "the server died"
END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")
OnCompletion = Callable[[str, Completion], None]


class BatchResult(Struct, frozen=True):
    """The failures of a batch by request key. `in_flight` holds the keys of requests that ran when the server died."""

    failures: dict[str, RequestFailed]
    in_flight: tuple[str, ...] = ()


class RequestRejected(Exception):  # noqa: N818 - handled in this module
    """A request has no completion, and the server continues to run."""


class ServerDied(Exception):  # noqa: N818 - handled in this module
    """The server has ended or hangs."""


async def send_all(
    server: Server,
    requests: Mapping[str, dict[str, Any]],
    on_completion: OnCompletion,
    *,
    concurrency: int,
    timeout: float,  # noqa: ASYNC109 - of each request
) -> BatchResult:
    """Send all requests (key -> body) and call `on_completion` for each completion.

    `timeout` is in seconds and holds for each request. Return early, with keys in flight, if the server dies or hangs.
    """
    if concurrency == 1:
        requests = {key: request.unbatched(body) for key, body in requests.items()}
    slots, failures, in_flight = asyncio.Semaphore(concurrency), dict[str, RequestFailed](), list[str]()

    async def send(client: httpx.AsyncClient, key: str, body: dict[str, Any]) -> None:
        async with slots:
            if not server.child.running:
                return
            try:
                on_completion(key, await _complete(client, server, body))
            except ServerDied as error:
                in_flight.append(key)
                server.stop()
                failures[key] = RequestFailed(str(error))
            except RequestRejected as error:
                failures[key] = RequestFailed(str(error))

    limits = httpx.Limits(max_connections=concurrency)
    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a server of this machine has none: reading them is slow
    async with httpx.AsyncClient(timeout=timeout, trust_env=False, limits=limits, verify=no_certificates) as client:
        await asyncio.gather(*(send(client, key, body) for key, body in requests.items()))
    return BatchResult(failures, tuple(in_flight))


async def _complete(client: httpx.AsyncClient, server: Server, body: dict[str, Any]) -> Completion:
    """Return the completion of one request, after several attempts if needed. Raise RequestRejected or ServerDied."""
    reason = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            started = time.monotonic()
            completion = parse_choice(_first_choice(await _post(client, server, body)))
            return structs.replace(completion, seconds=round(time.monotonic() - started, 3))
        except httpx.TimeoutException:
            raise ServerDied(f"no response in {client.timeout.read:.0f} s") from None
        except (httpx.HTTPError, ServerError) as error:
            reason = str(error) or type(error).__name__
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            reason = f"malformed response: {type(error).__name__} {str(error)[:200]}"
        if not server.child.running:
            raise ServerDied(SERVER_DIED)
        await asyncio.sleep(RETRY_SECONDS * attempt)
    if not await _generates(client, server):
        raise ServerDied(f"the server no longer generates: {reason}")
    raise RequestRejected(reason)


async def _post(client: httpx.AsyncClient, server: Server, body: dict[str, Any]) -> bytes:
    """Return a response body of at most MAX_RESPONSE_BYTES with status 200. Raise ServerError or httpx.HTTPError."""
    async with client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as response:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_RESPONSE_BYTES:
                raise ServerError(f"the server sent more than {MAX_RESPONSE_BYTES >> 20} MB - lower max_tokens")
        if response.status_code != 200:
            text = content[:200].decode("utf-8", "replace")
            raise ServerError(f"the server answered {response.status_code}: {text}")
        return bytes(content)


def _first_choice(content: bytes) -> dict[str, Any]:
    choice: dict[str, Any] = json.loads(content)["choices"][0]  # msgspec rejects half a surrogate pair
    return choice


async def _generates(client: httpx.AsyncClient, server: Server) -> bool:
    """Return whether generation still runs. If its thread dies, the process remains and answers 404 to all requests."""
    try:
        return (await client.get(f"{server.url}/health")).status_code == 200
    except httpx.HTTPError:
        return False


async def canary_completions(server: Server) -> Canary:
    """Return the server's canary. Raise ServerError if a completion fails."""
    requests = [
        request.build([{"role": "user", "content": prompt}], max_tokens=CANARY_TOKENS) for prompt in CANARY_PROMPTS
    ]
    completions: dict[str, Completion] = {}
    result = await send_all(
        server,
        {str(index): body for index, body in enumerate(requests)},
        completions.__setitem__,
        concurrency=1,
        timeout=CANARY_SECONDS,
    )
    if len(completions) < len(requests):
        reason = next((failure.error for failure in result.failures.values()), SERVER_DIED)
        raise ServerError(f"the server does not answer the canary requests: {reason} - its log:\n{server.child.tail()}")
    ordered = [completions[str(index)] for index in range(len(requests))]
    return [list(zip(completion.token_ids, completion.logprobs, strict=True)) for completion in ordered]


def decoder(model: Path, end_tokens: Iterable[str] = END_TOKENS) -> Decode:
    """Return a function from token ids to text that keeps markup and strips final end tokens. Raise ModelError."""
    from tokenizers import Tokenizer

    path = model / "tokenizer.json"
    if not path.exists():
        raise ModelError(f"{model.name}: no tokenizer.json - convert the model with a current mlx_lm.convert")
    tokenizer = Tokenizer.from_file(str(path))
    end_ids = {tokenizer.token_to_id(token) for token in end_tokens}

    def decode(token_ids: list[int]) -> str:
        while token_ids and token_ids[-1] in end_ids:
            token_ids = token_ids[:-1]
        return str(tokenizer.decode(token_ids, skip_special_tokens=False))

    return decode


def vocabulary_size(model: Path) -> int | None:
    """Return the number of tokens of a model by its config.json, or None if that file does not state it."""
    config = msgspec.json.decode((model / "config.json").read_bytes())
    sizes = [part.get("vocab_size") for part in (config, config.get("text_config") or {})]
    return next((int(size) for size in sizes if size), None)
