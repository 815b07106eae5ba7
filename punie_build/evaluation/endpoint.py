"""Ask an endpoint: a server of the OpenAI protocol, whose weights cannot be verified.

Only the URL of the recipe is contacted: a redirect is refused, so that neither questions nor key reach another host.
The key is read from the environment when requests are sent; no file, message or page has it. `timeout` holds for all
attempts of a request together, and a response has a largest size.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import UNSET, Struct, structs

from punie_build.data.call_formats import FORMATS, CallReader
from punie_build.engine.work import StepResult, Work
from punie_build.errors import ServerError
from punie_build.evaluation import answer_files, interview, request, settings
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.arm_spec import UNPROVEN, Endpoint
from punie_build.evaluation.completion import Completion, RequestFailed, replace_surrogates
from punie_build.evaluation.interview import Failures, Requests
from punie_build.evaluation.response_cache import ResponseCache
from punie_build.evaluation.spec import GenerationSpec, Sampling
from punie_build.models.thoughts import without_thoughts
from punie_build.runtime.console import ProgressBar, message
from punie_build.schema.spec import digest
from punie_build.storage import paths

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 4
RETRY_SECONDS = 0.5  # before the second attempt, doubled before each further one
MAX_PAUSE = 30.0  # seconds that a server may ask for (`Retry-After`)
MAX_RESPONSE_BYTES = 32 << 20
MAX_TEXT = 300  # characters of a server's explanation in a message
TEMPORARY = (408, 409, 425, 429)  # and all from 500 on
PER_REQUEST = (400, 413, 422)  # refuse one request; any other status refuses all
NO_EFFECT = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}  # values that are sent to no endpoint: some refuse the field
MARKED_CALLS = CallReader(
    tuple(structs.replace(form, opening=r"<\|python_tag\|>|<\|python_start\|>") if form.name == "Llama" else form
          for form in FORMATS if form.name != "Command R"),
    served=True,
)  # fmt: skip


def answers(work: Work[GenerationSpec]) -> StepResult:
    """Ask a suite of an endpoint, or take its answers from the cache."""
    task, suite = work.task, work.task.uses[work.spec.suite]
    spec, endpoint = settings.with_settings(work.spec, task.details), task.uses["@endpoint"]
    name = digest(["endpoint", endpoint.base_url, endpoint.model])
    cache = ResponseCache(work.root / paths.responses(name), skip_existing=work.afresh)
    if cache.changed_lines:
        work.say(f"{cache.changed_lines} cached answers were changed by hand: they are asked again")
    client = EndpointClient(endpoint, spec, cache)
    answered, sent = interview.ask(spec, suite, cache, client.send, text_of, MARKED_CALLS, work.say)
    interview.check_error_rate(spec.name, answered)
    proof = Proof(
        arm=spec.arm,
        canary="",
        base_canary="",
        errors=sum(answer.error is not None for answer in answered),
        parse_failures=sum(answer.malformed for answer in answered),
    )
    answer_files.write(work.out, answered, proof)
    metrics = {"answers": len(answered), "errors": proof.errors, "parse_failures": proof.parse_failures}
    return StepResult(_answer_counts(len(answered), sent), metrics | {"unproven_identity": 1})


@message
def _answer_counts(count: int, sent: int) -> str:
    return f"{count} answers, {sent} requests sent ({UNPROVEN})"


def text_of(completion: Completion) -> str:
    """Return the content of a completion, and its calls as text: an endpoint shows no other markup."""
    calls = [f"{name}({arguments})" for name, arguments in completion.calls]
    return "\n".join(filter(None, [completion.content, *calls]))


class EndpointClient:
    """Send the requests of one interview, several at a time."""

    def __init__(self, endpoint: Endpoint, spec: GenerationSpec, cache: ResponseCache) -> None:
        self.endpoint, self.spec, self.cache = endpoint, spec, cache
        self.key = ""
        self.refusal = ""  # why the endpoint answers no request at all

    def send(self, requests: Requests) -> Failures:
        """Send all requests and return the failures. Raises ServerError if the endpoint refuses all, UseError without
        a key."""
        if not requests:
            return {}
        self.key = self.endpoint.key()
        failures = asyncio.run(self._send_all(requests))
        if self.refusal:
            raise ServerError(f"{self.spec.name}: {self.refusal}")
        return failures

    async def _send_all(self, requests: Requests) -> Failures:
        import httpx

        slots, failures, done = asyncio.Semaphore(self.spec.concurrency), Failures(), [0]
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        async with httpx.AsyncClient(
            timeout=self.spec.timeout,
            trust_env=not is_local(self.endpoint.base_url),  # a proxy
            headers={**headers, "Accept-Encoding": "identity"},
            follow_redirects=False,
            limits=httpx.Limits(max_connections=self.spec.concurrency),
        ) as client:
            with ProgressBar(f"requests to {self.spec.arm}", len(requests)) as bar:

                async def one(key: str, body: Mapping[str, Any]) -> None:
                    async with slots:
                        if self.refusal:
                            return
                        result = await self._complete(client, body)
                    if isinstance(result, Completion):
                        self.cache.add(key, result)
                    else:
                        failures[key] = result
                    done[0] += 1
                    bar(done[0], f"{len(requests)} requests")

                await asyncio.gather(*(one(key, body) for key, body in requests.items()))
        return failures

    async def _complete(self, client: httpx.AsyncClient, body: Mapping[str, Any]) -> Completion | RequestFailed:
        """Return the completion of one request, after several attempts within its time if need be."""
        reason = "no attempt"
        try:
            async with asyncio.timeout(self.spec.timeout):
                for attempt in range(ATTEMPTS):
                    started = time.monotonic()
                    reply = await self._attempt(client, endpoint_body(body, self.endpoint.model))
                    if isinstance(reply, Completion):
                        return structs.replace(reply, seconds=round(time.monotonic() - started, 3))
                    reason = reply.reason
                    if reply.final:
                        break
                    if attempt + 1 < ATTEMPTS:
                        await asyncio.sleep(reply.pause or RETRY_SECONDS * 2**attempt)
        except TimeoutError:
            reason = f"no answer in {self.spec.timeout:g} s" + (f", last: {reason}" if reason != "no attempt" else "")
        return RequestFailed(reason)

    async def _attempt(self, client: httpx.AsyncClient, body: dict[str, Any]) -> Completion | _Problem:
        import httpx

        try:
            async with client.stream("POST", f"{self.endpoint.base_url}/chat/completions", json=body) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_RESPONSE_BYTES:
                        return _Problem(f"the endpoint sent more than {MAX_RESPONSE_BYTES >> 20} MB", final=True)
        except httpx.ConnectError as error:
            self.refusal = f"{self.endpoint.url}: no connection ({self._clean(str(error))}) - is the server running?"
            return _Problem(self.refusal, final=True)
        except httpx.HTTPError as error:
            return _Problem(self._clean(str(error)) or type(error).__name__)
        if response.status_code == 200:
            try:
                return parse_reply(bytes(content))
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
                return _Problem(f"malformed response: {type(error).__name__} {self._clean(str(error))}")
        return self._problem_of_status(response, bytes(content))

    def _problem_of_status(self, response: httpx.Response, content: bytes) -> _Problem:
        status, text = response.status_code, self._clean(_explanation(content))
        reason = f"the endpoint answered {status}: {text}" if text else f"the endpoint answered {status}"
        if status in TEMPORARY or status >= 500:
            pause = 0.0
            with suppress(ValueError):
                pause = min(MAX_PAUSE, max(0.0, float(response.headers.get("Retry-After", "0"))))
            return _Problem(reason, pause=pause)
        if status in PER_REQUEST:
            return _Problem(reason, final=True)
        if 300 <= status < 400:
            to = self._clean(response.headers.get("Location", "another place"))
            self.refusal = f"{self.endpoint.url}: redirects to {to} - it is not followed, write the URL that answers"
        elif status in (401, 403):
            variable = self.endpoint.api_key_env
            advice = f"correct the key in {variable}" if variable else "name the variable of its key in `api_key_env`"
            self.refusal = f"{self.endpoint.url}: {reason} - {advice}"
        else:
            self.refusal = f"{self.endpoint.url}: {reason} - correct `url` or `model` ({self.endpoint.model})"
        return _Problem(self.refusal, final=True)

    def _clean(self, text: str) -> str:
        """Return a text of the server for a message: one line, without the key."""
        text = text.replace(self.key, "***") if self.key else text
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


class _Problem(Struct, frozen=True):
    """Why an attempt has no completion; `final`: another attempt is of no use; `pause` in seconds before it."""

    reason: str
    final: bool = False
    pause: float = 0.0


def endpoint_body(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return a request as endpoints take it: with the name of the model, and without settings of no effect."""
    fields = {key: value for key, value in body.items() if key != "logprobs" and NO_EFFECT.get(key) != value}
    return {**fields, "model": model, "stream": False}


def chat_body(model: str, max_tokens: int, sampling: Sampling, template: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the requests of a chat, without messages."""
    body = request.build([], max_tokens=max_tokens, sampling=sampling.effective(), template=template)
    return endpoint_body(body, model)


def parse_reply(content: bytes) -> Completion:
    """Return the completion in a response. Raises ValueError, KeyError or TypeError if it is malformed."""
    reply = json.loads(content)  # msgspec rejects half a surrogate pair
    choice, usage = reply["choices"][0], reply.get("usage")
    message, calls = choice["message"], []
    for call in message.get("tool_calls") or ():
        name, arguments = call["function"]["name"], call["function"].get("arguments") or "{}"
        calls.append((name, arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)))
    text = message.get("content") or ""
    if not isinstance(text, str):
        text = "".join(part.get("text") or "" for part in text)
    if not all(isinstance(name, str) for name, _ in calls):
        raise ValueError("the name of a tool call is not text")
    reasoning, tokens = (
        message.get("reasoning") or message.get("reasoning_content"),
        usage.get("completion_tokens") if isinstance(usage, dict) else None,
    )
    return Completion(
        token_ids=[],
        logprobs=[],
        content=replace_surrogates(without_thoughts(text)),
        reasoning=replace_surrogates(reasoning if isinstance(reasoning, str) else ""),
        calls=[(replace_surrogates(name), replace_surrogates(arguments)) for name, arguments in calls],
        finish=str(choice.get("finish_reason") or "stop"),
        token_count=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else UNSET,
    )


def _explanation(content: bytes) -> str:
    """Return the text of an error response: of its `error` where it has one."""
    text = content[:4096].decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        reply = json.loads(content)
        error = reply.get("error", reply) if isinstance(reply, dict) else reply
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    return text


def is_local(url: str) -> bool:
    """Return whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")
