"""Questions: a case of a suite as the request that is sent, and what no request may say.

A request the server dies of is never sent (`objections`); `model` is always `default_model`, because any other name is
answered without the adapter; a `seed` goes with sampling only, because it ends batching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from punie_build.evaluation.spec import Asking, Sampling
from punie_build.schema.spec import digest

MODEL = "default_model"  # any other name is served without the adapter
PROTOCOL = 1  # raise when what is kept of an answer means something else


def body(
    messages: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int,
    tools: Sequence[Mapping[str, Any]] = (),
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    template: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """The request: the ids of all tokens written are asked for with it, and nothing is left to a server's defaults."""
    said: dict[str, Any] = {
        "model": MODEL,
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "logprobs": True,
    }
    if sampling.repetition_penalty != 1:
        said["repetition_penalty"] = sampling.repetition_penalty
        said["repetition_context_size"] = sampling.repetition_context_size
    if sampling.stop:
        said["stop"] = list(sampling.stop)
    if tools:
        said["tools"] = list(tools)
    if template:
        said["chat_template_kwargs"] = dict(template)
    if seed is not None and not sampling.greedy:
        said["seed"] = seed
    return said


def of(spec: Asking, case: str, epoch: int, messages: Sequence[Any], tools: Sequence[Any]) -> dict[str, Any]:
    """The request of one turn of a case."""
    return body(
        messages,
        max_tokens=spec.max_tokens,
        tools=tools,
        sampling=spec.sampling.effective(),
        template=spec.serving.chat_template_args,
        seed=seed(case, epoch),
    )


def seed(case: str, epoch: int) -> int:
    """Another one for every case and epoch, the same in every run."""
    return int(digest([case, epoch])[:8], 16)


def key(request: Mapping[str, Any], epoch: int) -> str:
    """The name of a question among those put to the same weights."""
    return digest([PROTOCOL, request, epoch])


def objections(request: Mapping[str, Any], vocabulary: int | None = None) -> list[str]:
    """Why a request must not be sent: most of these end the server's generation, one of them the process.

    `vocabulary`: how many tokens the model has, where that is known.
    """
    return [
        *_form(request),
        *_limits(request, vocabulary or 2**31),
        *_bias(request.get("logit_bias"), vocabulary or 2**31),
    ]


def _form(request: Mapping[str, Any]) -> list[str]:
    found = []
    if request.get("model") != MODEL:
        found.append(f"model: {request.get('model')!r} is answered without the adapter - use {MODEL!r}")
    if "prompt" in request:
        found.append("prompt: only conversations are asked - use messages; a list of prompts ends the server")
    messages = request.get("messages")
    if not (isinstance(messages, list) and messages and all(isinstance(each, dict) for each in messages)):
        found.append("messages: not a list of messages, or an empty one")
    stop = request.get("stop", [])
    if not (isinstance(stop, list) and all(isinstance(each, str) and each for each in stop)):
        found.append("stop: not a list of strings")
    if "seed" in request and not request.get("temperature"):
        found.append("seed: greedy answers need none, and it ends batching")
    return found


def _limits(request: Mapping[str, Any], vocabulary: int) -> list[str]:
    found = []
    top_k, most = request.get("top_k", 0), request.get("max_tokens", 0)
    if not _whole(top_k) or not 0 <= top_k < vocabulary:
        found.append(f"top_k: {top_k!r} is not a number below the {vocabulary} tokens of the model")
    if not _whole(most) or most < 1:
        found.append(f"max_tokens: {most!r} is not a number of tokens")
    for name, high in (("temperature", 100.0), ("top_p", 1.0), ("min_p", 1.0)):
        value = request.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= high:
            found.append(f"{name}: {value!r} is not a number from 0 to {high:g}")
    return found


def _bias(bias: Any, vocabulary: int) -> list[str]:
    if bias is None:
        return []
    if not isinstance(bias, dict):
        return ["logit_bias: not a table of token ids"]
    ids = [name for name in bias if not (str(name).isdecimal() and int(name) < vocabulary)]
    return [f"logit_bias: {', '.join(map(str, ids))}: no token of the model's {vocabulary}"] if ids else []


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
