"""Specs of arms without weights of their own: endpoints, answers that exist, and variants of other arms."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from punie_build.errors import UseError
from punie_build.evaluation.spec import Sampling
from punie_build.schema.spec import Spec

Text = Annotated[str, Meta(min_length=1)]
UNPROVEN = "identity not proven"


class Endpoint(Spec, frozen=True, kw_only=True):
    """A server that speaks the protocol of OpenAI: Ollama, LM Studio, vLLM, or a service.

    `url`: the base URL as clients take it, such as `http://localhost:11434/v1`. `model`: its name there. `api_key_env`:
    the environment variable with the key. Its weights cannot be verified, so results are marked.
    """

    url: Text
    model: Text
    api_key_env: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            sound = False
        if not sound or not self.url.isprintable() or " " in self.url:
            raise ValueError(f"url {self.url!r} - write the base URL, such as http://localhost:11434/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("url: has a user, a query or a fragment - name the variable of the key in `api_key_env`")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            raise ValueError("api_key_env: not the name of an environment variable - never write the key itself")

    @property
    def base_url(self) -> str:
        """The URL that the paths of the protocol are joined to; `/v1` stands for an empty path."""
        url = self.url.rstrip("/").removesuffix("/chat/completions")
        return url if urlsplit(url).path else f"{url}/v1"

    def key(self) -> str:
        """Return the key from the environment, "" if the endpoint needs none. Raises UseError."""
        if self.api_key_env is None:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UseError(f"{self.url}: the environment has no {self.api_key_env} - export it before the build")
        if not (key.isascii() and key.isprintable()):
            raise UseError(f"{self.url}: {self.api_key_env} has a character that no HTTP header can have - export it")
        return key


class RecordedAnswers(Spec, frozen=True, kw_only=True):
    """Answers that exist, such as those of another harness: a JSONL file with the id of a case on each line.

    `id`, `text`: the keys of the id of the case and of the text, if they are not among the usual ones.
    """

    path: Text
    id: Text | None = None
    text: Text | None = None
    description: str = ""


class Variant(Spec, frozen=True, kw_only=True):
    """An arm with settings of its own, so that prompts and settings are compared without a training.

    `arm`: a base, adapter, model or endpoint. `system` replaces the system prompt of the suite, "" removes it;
    `sampling` and `chat_template_args` replace those of the eval.
    """

    arm: Text
    system: str | None = None
    sampling: Sampling | None = None
    chat_template_args: dict[str, Any] = msgspec.field(default_factory=dict)
    description: str = ""

    def __post_init__(self) -> None:
        if self.system is None and self.sampling is None and not self.chat_template_args:
            raise ValueError("changes nothing - set `system`, `sampling` or `chat_template_args`")


def identity(canary: str) -> str:
    """Return how the weights of an arm are known: their canary, or the mark of an arm without one."""
    return f"canary {canary}" if canary else UNPROVEN
