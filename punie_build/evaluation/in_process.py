"""Run inference in a process of its own that loads the weights itself.

    python -m punie_build.evaluation.in_process JOB.json

It writes into the cache of completions: the canaries of the base and of the model under test (base and adapter), and
the completions of the requests in its job. A server must give the same canary, or another model is answering.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from punie_build.evaluation import loaded_files, tool_parser
from punie_build.evaluation.canary import CANARY_PROMPTS, CANARY_TOKENS, Canary, CanaryNoise
from punie_build.evaluation.completion import Completion, parse_choice
from punie_build.evaluation.response_cache import ResponseCache

Requests = Mapping[str, Mapping[str, Any]]  # cache key -> body


class InferenceJob(Struct, frozen=True, kw_only=True):
    """The job file: the weights, the cache file to write, whether it lacks canaries, and the requests by cache key.

    `stamps`: those of the files of the weights, by folder.
    """

    model: str
    adapter: str | None
    cache_file: str = field(name="book")
    needs_canaries: bool = field(name="prove", default=True)
    requests: dict[str, dict[str, Any]] = field(name="asked", default_factory=dict)
    concurrency: int = 8
    max_kv_size: int | None = None
    stamps: dict[str, str] = field(default_factory=dict)


def canary_completions(model: Any, tokenizer: Any) -> Canary:
    """Return the canary of loaded weights: their greedy completions of the canary prompts."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    completions = []
    for text in CANARY_PROMPTS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        tokens = []
        for token, logprobs in generate_step(mx.array(prompt), model, max_tokens=CANARY_TOKENS):
            tokens.append((int(token), float(logprobs[int(token)])))
            if int(token) in tokenizer.eos_token_ids:
                break
        completions.append(tokens)
    return completions


def canary_noise(model: Any, tokenizer: Any, canary: Canary) -> CanaryNoise:
    """Measure how exactly a canary of these weights can be compared: by one pass over each prompt and its completion,
    which adds up in another order than decoding does."""
    import mlx.core as mx

    gaps, margins = [0.0], []
    for text, completion in zip(CANARY_PROMPTS, canary, strict=True):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
        )
        tokens = [token for token, _ in completion]
        logits = model(mx.array([[*prompt, *tokens[:-1]]]))[0, len(prompt) - 1 :]
        logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        gaps += [abs(float(logprobs[k, token]) - logprob) for k, (token, logprob) in enumerate(completion)]
        ordered = mx.sort(logprobs, axis=-1)
        margins.append([float(ordered[k, -1]) - float(ordered[k, -2]) for k in range(len(tokens))])
    tolerance = CanaryNoise(nats=max(gaps)).tolerance
    certain = [next((k for k, margin in enumerate(row) if margin < tolerance), len(row)) for row in margins]
    return CanaryNoise(nats=max(gaps), certain=tuple(certain))


class StreamedReply:
    """The state of a completion during decoding. It separates reasoning, content and tool calls as the server does."""

    def __init__(self, tokenizer: Any, request: Mapping[str, Any]) -> None:
        from mlx_lm.generate import make_stop_sequences, make_text_state_machine

        self.tokenizer, self.request, self.prompt = tokenizer, request, render_prompt(tokenizer, request)
        stop = list(request.get("stop", ()))
        self.stop_sequences = make_stop_sequences(tokenizer, stop)
        self.state_machine = make_text_state_machine(tokenizer, stop)
        self.detokenizer = tokenizer.detokenizer
        self.tokens: list[dict[str, Any]] = []

    def add_token(self, token: int, logprob: float, finish: str | None) -> Completion | None:
        """Add a generated token, and return the completion if it was the last one: then `finish` is the reason."""
        self.tokens.append({"id": token, "logprob": logprob})
        if finish != "stop":  # the text excludes the token that ends a reply
            self.detokenizer.add_token(token)
        return self.complete(finish) if finish else None

    def complete(self, finish: str) -> Completion:
        """Return the completion of all tokens so far."""
        from mlx_lm.server import ToolCallFormatter

        if finish == "length":
            self.detokenizer.finalize()
        texts: dict[str, str] = {"normal": "", "reasoning": "", "tool": ""}
        calls = []
        previous = state = self.initial_state()
        for state, text in self.segments(finish, previous):
            if state == "normal" and previous == "tool":
                calls.append(texts.pop("tool"))
            texts[state] = texts.get(state, "") + text
            previous = state
        if previous == "tool" and texts.get("tool"):
            calls.append(texts["tool"])
        parsed = ToolCallFormatter(self.tokenizer.tool_parser, self.request.get("tools"))(calls)
        message = {"content": texts["normal"], "reasoning": texts["reasoning"], "tool_calls": parsed}
        finish = "tool_calls" if finish == "stop" and calls else finish
        return parse_choice({"message": message, "logprobs": {"content": self.tokens}, "finish_reason": finish})

    def initial_state(self) -> str:
        """Return the state in which the reply begins: a prompt may end inside reasoning."""
        tokenizer, prompt = self.tokenizer, self.prompt
        reasons = tokenizer.has_thinking and tokenizer.rfind_think_start(prompt) > tokenizer.rfind_think_end(prompt)
        return str(tokenizer.response_initial_state or ("reasoning" if reasons else "normal"))

    def segments(self, finish: str, initial_state: str) -> Iterator[tuple[str, str]]:
        """Yield (state, text) in order. Before a stop, drop text that may begin a mark, as the server drops it."""
        state = self.state_machine.make_state(initial_state)
        state, segments = self.state_machine.split(state, self.detokenizer.text)
        yield from segments
        if finish == "length":
            _, text, name = self.state_machine.flush(state)
            yield name, text


def generate_all(model: Any, tokenizer: Any, job: InferenceJob, cache: ResponseCache) -> None:
    """Complete all requests in one batch; requests with a seed one by one, each from its own seed."""
    import mlx.core as mx

    seeded = {key: request for key, request in job.requests.items() if "seed" in request}
    generate_batch(model, tokenizer, job, {key: body for key, body in job.requests.items() if key not in seeded}, cache)
    for key, request in seeded.items():
        mx.random.seed(request["seed"])
        generate_batch(model, tokenizer, job, {key: request}, cache)


def generate_batch(model: Any, tokenizer: Any, job: InferenceJob, requests: Requests, cache: ResponseCache) -> None:
    """Complete requests at the same time, and add each completion to the cache as soon as it is ready."""
    from mlx_lm.generate import BatchGenerator
    from mlx_lm.sample_utils import make_logits_processors, make_sampler

    if not requests:
        return
    generator = BatchGenerator(model, completion_batch_size=job.concurrency, max_kv_size=job.max_kv_size)
    replies: dict[int, tuple[str, StreamedReply]] = {}
    for key, request in requests.items():
        reply = StreamedReply(tokenizer, request)
        sampler = make_sampler(
            request["temperature"], top_p=request["top_p"], top_k=request["top_k"], min_p=request["min_p"]
        )
        penalties = make_logits_processors(
            None, request.get("repetition_penalty"), request.get("repetition_context_size", 20)
        )
        [uid] = generator.insert(
            [reply.prompt],
            [request["max_tokens"]],
            samplers=[sampler],
            logits_processors=[penalties],
            stop_sequences=[reply.stop_sequences],
        )
        replies[uid] = key, reply
    while responses := generator.next_generated():
        for response in responses:
            key, reply = replies[response.uid]
            logprob = response.logprobs[response.token].item()
            if completion := reply.add_token(response.token, logprob, response.finish_reason):
                cache.add(key, completion)
    generator.close()


def render_prompt(tokenizer: Any, request: Mapping[str, Any]) -> list[int]:
    """Return the prompt tokens of a request, as the server makes them."""
    from mlx_lm.server import process_message_content

    copy = msgspec.json.encode(request["messages"])  # process_message_content changes its argument
    messages: list[dict[str, Any]] = msgspec.json.decode(copy)
    process_message_content(messages)
    prompt: list[int] = tokenizer.apply_chat_template(
        messages,
        tools=request.get("tools"),
        add_generation_prompt=True,
        tokenize=True,
        **request.get("chat_template_kwargs", {}),
    )
    return prompt


def load_verified(
    folder: str, adapter: str | None, cache: ResponseCache | None, stamps: Mapping[str, str], **options: Any
) -> tuple[Any, Any, dict[str, Any]]:
    """Return a model with its adapter, its tokenizer and its config. Exits if it cannot be loaded, or if the files of
    its folders do not have these `stamps` then.

    Canaries of these weights, before and after the adapter, are written to `cache`, if there is one.
    """
    from punie_build.models.precision import add_adapter, load_computed

    try:
        model, tokenizer, config = load_computed(folder, **options)
        tool_parser.make_safe(tokenizer)
        base_canary = model_canary = canary_completions(model, tokenizer) if cache else []
        if adapter:
            model = add_adapter(model, adapter)
            model_canary = canary_completions(model, tokenizer) if cache else []
    except Exception as error:
        raise SystemExit(f"punie: {folder}: mlx-lm cannot load this model: {error}") from error
    loaded_files.require_unchanged(stamps, (folder, adapter))
    if cache:
        cache.add_canaries(model_canary, base_canary, canary_noise(model, tokenizer, model_canary))
    return model, tokenizer, config


def main(job: InferenceJob) -> None:
    """Load the weights and run the job."""
    cache = ResponseCache(Path(job.cache_file), skip_existing=True)
    model, tokenizer, _ = load_verified(job.model, job.adapter, cache if job.needs_canaries else None, job.stamps)
    generate_all(model, tokenizer, job, cache)


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=InferenceJob))
