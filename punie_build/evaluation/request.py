"""Build the chat request of a case, name it in the cache, and find the problems that prevent its sending.

`model` is always `default_model`, because a server answers any other name without the adapter. A `seed` is sent with
sampling only, because it ends batching.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from punie_build.evaluation.spec import GenerationSpec, Sampling
from punie_build.schema.spec import digest

MODEL_NAME = "default_model"  # the server answers any other name without the adapter
MODEL_OBJECT = "model"  # the type of the entries that `/v1/models` lists
CACHE_VERSION = 1  # raise it when the cached parts of a response change their meaning


def build(
    messages: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int,
    tools: Sequence[Mapping[str, Any]] = (),
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    template: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return the body of a chat request. It requests all token ids, and states every setting with a server default."""
    request: dict[str, Any] = {
        "model": MODEL_NAME,
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "logprobs": True,
    }
    if sampling.repetition_penalty != 1:
        request["repetition_penalty"] = sampling.repetition_penalty
        request["repetition_context_size"] = sampling.repetition_context_size
    if sampling.stop:
        request["stop"] = list(sampling.stop)
    if tools:
        request["tools"] = list(tools)
    if template:
        request["chat_template_kwargs"] = dict(template)
    if seed is not None and not sampling.greedy:
        request["seed"] = seed
    return request


def for_turn(
    spec: GenerationSpec,
    case: str,
    epoch: int,
    messages: Sequence[Any],
    tools: Sequence[Any],
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Return the request of one turn of a case; `case` is its id. `max_tokens`: instead of those of the spec."""
    return build(
        messages,
        max_tokens=max_tokens or spec.max_tokens + spec.max_thought_tokens,
        tools=tools,
        sampling=spec.sampling.effective(),
        template=spec.serving.chat_template_args,
        seed=sampling_seed(case, epoch),
    )


def sampling_seed(case: str, epoch: int) -> int:
    """Return a seed that differs between cases and epochs and is the same in every run."""
    return int(digest([case, epoch])[:8], 16)


def cache_key(request: Mapping[str, Any], epoch: int) -> str:
    """Return the digest that names a request among all requests to the same weights."""
    return digest([CACHE_VERSION, request, epoch])


def unbatched(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request that the server generates by itself: of one request at a time, its batches cost a fifth more.

    The seed changes no greedy completion, so the request keeps its name in the cache.
    """
    return request if request.get("temperature") or "seed" in request else {**request, "seed": 0}


def problems(request: Mapping[str, Any], vocabulary_size: int | None = None) -> list[str]:
    """Return the reasons not to send a request: most of them would end the server's generation, one of them its
    process.

    Without `vocabulary_size`, which counts the tokens of the model, token ids are not limited.
    """
    return [
        *_structure_problems(request),
        *_range_problems(request, vocabulary_size or 2**31),
        *_logit_bias_problems(request.get("logit_bias"), vocabulary_size or 2**31),
    ]


def _structure_problems(request: Mapping[str, Any]) -> list[str]:
    problems = []
    if request.get("model") != MODEL_NAME:
        problems.append(f"model: the server answers {request.get('model')!r} without the adapter - use {MODEL_NAME!r}")
    if "prompt" in request:
        problems.append("prompt: a list of prompts ends the server - send messages")
    messages = request.get("messages")
    if not (isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)):
        problems.append("messages: not a list of messages, or an empty one")
    stop = request.get("stop", [])
    if not (isinstance(stop, list) and all(isinstance(text, str) and text for text in stop)):
        problems.append("stop: not a list of strings")
    if "seed" in request and not request.get("temperature"):
        problems.append("seed: greedy decoding needs none, and it ends batching - remove it")
    return problems


def _range_problems(request: Mapping[str, Any], vocabulary_size: int) -> list[str]:
    problems = []
    top_k, max_tokens = request.get("top_k", 0), request.get("max_tokens", 0)
    if not _is_integer(top_k) or not 0 <= top_k < vocabulary_size:
        problems.append(f"top_k: {top_k!r} is not a number below the {vocabulary_size} tokens of the model")
    if not _is_integer(max_tokens) or max_tokens < 1:
        problems.append(f"max_tokens: {max_tokens!r} is not a number of tokens")
    for name, maximum in (("temperature", 100.0), ("top_p", 1.0), ("min_p", 1.0)):
        value = request.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= maximum:
            problems.append(f"{name}: {value!r} is not a number from 0 to {maximum:g}")
    return problems


def _logit_bias_problems(bias: Any, vocabulary_size: int) -> list[str]:
    if bias is None:
        return []
    if not isinstance(bias, dict):
        return ["logit_bias: not a table of token ids"]
    unknown = [str(name) for name in bias if not (str(name).isdecimal() and int(name) < vocabulary_size)]
    return [f"logit_bias: {', '.join(unknown)}: not among the model's {vocabulary_size} tokens"] if unknown else []


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
