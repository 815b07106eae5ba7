"""The command `chat`: talk with an arm in the terminal, or over a pipe.

punie-build chat v1                      each line is a message; /new begins again, /exit ends
echo "Hello" | punie-build chat v1       answers alone on stdout
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from msgspec import Struct, structs

from punie_build.cli.evaluate import endpoint_of, find_model, model_options, named_model
from punie_build.cli.options import LOGS, Command, Options
from punie_build.errors import ServerError, UseError
from punie_build.evaluation import server as model_server
from punie_build.evaluation.arm_spec import UNPROVEN, Endpoint, Variant
from punie_build.evaluation.endpoint import chat_body, is_local
from punie_build.evaluation.spec import Sampling
from punie_build.runtime import blas

if TYPE_CHECKING:
    import httpx

WORDS = ("/exit", "/quit", "/new")
SECONDS = 300.0  # between two parts of an answer


class Partner(Struct, frozen=True, kw_only=True):
    """Who answers: the base URL of its protocol, the fields of each request, and the messages before the first.

    `key`: the key of an endpoint, which no message may show. `log`: where the log of a local server is.
    """

    name: str
    url: str
    body: dict[str, Any]
    start: tuple[dict[str, Any], ...] = ()
    key: str = ""
    log: str = ""

    def problem(self, text: str) -> ServerError:
        """Return an error with a text of the server, without the key and without control characters."""
        text = text.replace(self.key, "***") if self.key else text
        return ServerError(f"{self.name}: {visible(text)}{f' - its log is in {self.log}' if self.log else ''}")


def chat(root: Path, options: Options) -> int:
    """Talk with a base, an adapter, a model or an endpoint in the terminal, or over a pipe."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    far = endpoint_of(root, options.name) if not options.model else None
    try:
        if far is not None:
            partner = _endpoint_partner(options, *far)
            print(f"{partner.name}: {UNPROVEN}, answered by {far[0].url}", file=sys.stderr)
            _talk(partner, on_terminal, trust_env=not is_local(far[0].base_url))
        else:
            _talk_with_weights(root, options, on_terminal)
    except KeyboardInterrupt:
        print(f"\n{options.name}: the chat has ended", file=sys.stderr)
    return 0


def _talk_with_weights(root: Path, options: Options, on_terminal: bool) -> None:
    """Serve a model until the chat ends."""
    model = find_model(root, options.model, options.name) if options.model else find_model(root, options.name)
    log = root / LOGS / f"chat-{model.name.replace('/', '-')}.log"
    served = named_model(model, options.max_tokens, port=None)
    if on_terminal:
        print(f"loading {model.name} ... (/new begins again, /exit ends)", file=sys.stderr)
    server = asyncio.run(model_server.start(served, log, blas.environment(root)))
    settings = {} if options.temperature is None else {"temperature": options.temperature}
    partner = Partner(
        name=model.name,
        url=f"{server.url}/v1",
        body={"model": model.name, "stream": True, **settings},
        start=_start(options.system if options.system is not None else model.system),
        log=str(LOGS),
    )
    try:
        _talk(partner, on_terminal)
    finally:
        server.stop()


def _endpoint_partner(options: Options, endpoint: Endpoint, variant: Variant | None) -> Partner:
    """Return an endpoint, asked as an eval asks it: greedily, unless a variant or an option says otherwise."""
    sampling = (variant.sampling if variant else None) or Sampling()
    if options.temperature is not None:
        sampling = structs.replace(sampling, temperature=options.temperature)
    template = variant.chat_template_args if variant else {}
    system = options.system if options.system is not None else variant.system if variant else None
    return Partner(
        name=options.name,
        url=endpoint.base_url,
        body=chat_body(endpoint.model, options.max_tokens, sampling, template),
        start=_start(system),
        key=endpoint.key(),
    )


def _start(system: str | None) -> tuple[dict[str, Any], ...]:
    return ({"role": "system", "content": system},) if system else ()


def _talk(partner: Partner, on_terminal: bool, trust_env: bool = False) -> None:
    import httpx

    messages = list(partner.start)
    headers = {"Authorization": f"Bearer {partner.key}"} if partner.key else {}
    with httpx.Client(timeout=SECONDS, trust_env=trust_env, headers=headers, follow_redirects=False) as client:
        for line in _lines(sys.stdin, on_terminal):
            if line in WORDS[:2]:
                return
            if line == WORDS[2]:
                messages = list(partner.start)
                continue
            messages.append({"role": "user", "content": line})
            answer = _answer(client, partner, messages, on_terminal)
            messages.append({"role": "assistant", "content": answer})


def _lines(stream: TextIO, on_terminal: bool) -> Iterator[str]:
    """Yield the messages: lines that are not blank, until the end of the input."""
    if on_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401 - keys of the line editor
    with suppress(EOFError):
        while True:
            try:
                line = input("> ") if on_terminal else next(stream)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise UseError("chat: a message is not UTF-8 - convert it") from None
            if text := line.strip():
                yield text.encode("utf-8", "replace").decode()


def _answer(client: httpx.Client, partner: Partner, messages: list[dict[str, Any]], on_terminal: bool) -> str:
    """Print an answer as it arrives, and return it. Raises ServerError."""
    import httpx

    parts: list[str] = []
    body = {**partner.body, "messages": messages, "stream": True}
    try:
        with client.stream("POST", f"{partner.url}/chat/completions", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise partner.problem(f"the server answered {response.status_code}: {response.text[:300]}")
            for delta in deltas(response.iter_lines()):
                if on_terminal and (thought := delta.get("reasoning") or delta.get("reasoning_content")):
                    print(f"\033[2m{visible(str(thought))}\033[0m", end="", flush=True)
                for call in delta.get("tool_calls") or ():
                    function = call.get("function") or {}
                    print(visible(f"[{function.get('name')}({function.get('arguments')})]"), flush=True)
                if text := delta.get("content"):
                    parts.append(str(text))
                    print(visible(str(text)), end="", flush=True)
    except httpx.HTTPError as error:
        raise partner.problem(f"the server has not answered: {type(error).__name__}") from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise partner.problem(f"the server sent what is no answer: {type(error).__name__}") from None
    print(flush=True)
    return "".join(parts)


def deltas(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the parts of an answer in the lines of an event stream; of a server that does not stream, its message."""
    message_lines: list[str] = []
    for line in lines:
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:"):
            message_lines += [line] if message_lines or line.startswith("{") else []
        elif data != "[DONE]":
            for choice in json.loads(data).get("choices") or ():
                yield choice.get("delta") or {}
    if message_lines:
        for choice in json.loads("\n".join(message_lines)).get("choices") or ():
            yield choice.get("message") or {}


def visible(text: str) -> str:
    """Return a text without characters that a terminal obeys."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


def _options(command: argparse.ArgumentParser) -> None:
    model_options(command)
    command.add_argument("--system", metavar="TEXT", help="the system prompt; default: none, or that of a variant")
    command.add_argument("--temperature", type=float, metavar="T", help="default: 0, greedy, or that of a variant")


COMMANDS: dict[str, Command] = {"chat": (chat, _options)}
