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

from punie_build.cli.evaluate import ModelUnderTest, find_model, model_options, named_model
from punie_build.cli.options import LOGS, Command, Options
from punie_build.errors import ServerError, UseError
from punie_build.evaluation import server as model_server
from punie_build.runtime import blas

if TYPE_CHECKING:
    import httpx

WORDS = ("/exit", "/quit", "/new")
SECONDS = 300.0  # between two parts of an answer


def chat(root: Path, options: Options) -> int:
    """Talk with a base, an adapter or a model in the terminal, or over a pipe."""
    model = find_model(root, options.model, options.name) if options.model else find_model(root, options.name)
    system = options.system if options.system is not None else model.system
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        _talk(root, model, system, options, on_terminal)
    except KeyboardInterrupt:
        print(f"\n{model.name}: the chat has ended", file=sys.stderr)
    return 0


def _talk(root: Path, model: ModelUnderTest, system: str | None, options: Options, on_terminal: bool) -> None:
    import httpx

    log = root / LOGS / f"chat-{model.name.replace('/', '-')}.log"
    served = named_model(model, options.max_tokens, port=None)
    if on_terminal:
        print(f"loading {model.name} ... (/new begins again, /exit ends)", file=sys.stderr)
    server = asyncio.run(model_server.start(served, log, blas.environment(root)))
    start = [{"role": "system", "content": system}] if system else []
    messages = list(start)
    settings = {} if options.temperature is None else {"temperature": options.temperature}
    try:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            for line in _lines(sys.stdin, on_terminal):
                if line in WORDS[:2]:
                    return
                if line == WORDS[2]:
                    messages = list(start)
                    continue
                messages.append({"role": "user", "content": line})
                body = {"model": model.name, "messages": messages, "stream": True, **settings}
                answer = _answer(client, server.url, body, on_terminal)
                messages.append({"role": "assistant", "content": answer})
    finally:
        server.stop()


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


def _answer(client: httpx.Client, url: str, body: dict[str, Any], on_terminal: bool) -> str:
    """Print an answer as it arrives, and return it. Raises ServerError."""
    import httpx

    parts: list[str] = []
    try:
        with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise ServerError(f"the server answered {response.status_code}: {visible(response.text[:300])}")
            for delta in deltas(response.iter_lines()):
                if on_terminal and (thought := delta.get("reasoning")):
                    print(f"\033[2m{visible(thought)}\033[0m", end="", flush=True)
                for call in delta.get("tool_calls") or ():
                    function = call.get("function") or {}
                    print(visible(f"[{function.get('name')}({function.get('arguments')})]"), flush=True)
                if text := delta.get("content"):
                    parts.append(text)
                    print(visible(text), end="", flush=True)
    except httpx.HTTPError as error:
        raise ServerError(f"the server has not answered: {type(error).__name__} - its log is in {LOGS}") from None
    print(flush=True)
    return "".join(parts)


def deltas(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the parts of an answer in the lines of an event stream."""
    for line in lines:
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            for choice in json.loads(data).get("choices") or ():
                yield choice.get("delta") or {}


def visible(text: str) -> str:
    """Return a text without characters that a terminal obeys."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\ufffd" for c in text)


def _options(command: argparse.ArgumentParser) -> None:
    model_options(command)
    command.add_argument("--system", metavar="TEXT", help="the system prompt; default: none, or that of a variant")
    command.add_argument("--temperature", type=float, metavar="T", help="default: 0, greedy, or that of a variant")


COMMANDS: dict[str, Command] = {"chat": (chat, _options)}
