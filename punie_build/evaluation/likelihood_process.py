"""The process that computes log-probabilities of choices: `python -m punie_build.evaluation.likelihood_process
JOB.json`."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
from mlx_lm.models.cache import can_trim_prompt_cache, make_prompt_cache, trim_prompt_cache

from punie_build.evaluation import loaded_files
from punie_build.evaluation.continuations import ChoiceQuestion
from punie_build.evaluation.likelihood import LikelihoodJob, Measured
from punie_build.models.precision import add_adapter, load_computed

STEP = 512  # tokens of a context at a time
Encode = Callable[[str], list[int]]


def main(job: LikelihoodJob) -> None:
    """Load the weights, compute the log-probability of each choice, and write them."""
    model, tokenizer, config = load_computed(job.model)
    if job.adapter:
        model = add_adapter(model, job.adapter)
    loaded_files.require_unchanged(job.stamps, (job.model, job.adapter))
    positions = config.get("max_position_embeddings") or (config.get("text_config") or {}).get(
        "max_position_embeddings"
    )
    contexts = Contexts(model)
    measured = [measure(contexts, tokenizer, question, job.chat, positions or 2**31) for question in job.questions]
    Path(job.result).write_bytes(msgspec.json.encode(measured))


class Contexts:
    """The contexts of questions, computed one after the other. Tokens at the start of a context that the one before it
    had too, such as examples, are not computed again."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tokens: list[int] = []
        self.cache: list[Any] = make_prompt_cache(model)
        self.computed = 0  # tokens of all contexts

    def after(self, tokens: list[int]) -> list[Any]:
        """Return the cache after these tokens. It is valid until the next call, and must be copied to be extended."""
        pairs = zip(self.tokens, tokens, strict=False)
        shared = next(
            (index for index, (old, new) in enumerate(pairs) if old != new), min(len(self.tokens), len(tokens))
        )
        extra = len(self.tokens) - shared
        if extra and can_trim_prompt_cache(self.cache):
            trim_prompt_cache(self.cache, extra)
        elif extra:
            self.cache, shared = make_prompt_cache(self.model), 0
        for start in range(shared, len(tokens), STEP):
            self.model(mx.array([tokens[start : start + STEP]]), cache=self.cache)
            mx.eval([layer.state for layer in self.cache])
        self.tokens, self.computed = tokens, self.computed + len(tokens) - shared
        return self.cache


def measure(contexts: Contexts, tokenizer: Any, question: ChoiceQuestion, chat: bool, positions: int) -> Measured:
    """Return the log-probability of each choice after the context, in nats."""
    context, delimiter = question.context, question.delimiter
    if chat:
        message = [{"role": "user", "content": context}]
        context, delimiter = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True), ""

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=not chat))

    pairs = [encode_pair(encode, tokenizer, context, delimiter + choice) for choice in question.choices]
    if not all(continuation for _, continuation in pairs):
        raise SystemExit(f"punie: question {question.id}: a choice has no token of its own - change its text")
    before = pairs[0][0]
    room = positions + 1 - max(len(continuation) for _, continuation in pairs)
    if room < 1:
        raise SystemExit(f"punie: question {question.id}: a choice has more than {positions} tokens - leave it out")
    window = before[-room:]
    model, cache = contexts.model, contexts.after(window[:-1])
    logprobs = [_logprob(model, copy.deepcopy(cache), window[-1], continuation) for _, continuation in pairs]
    return Measured(tuple(round(value, 6) for value in logprobs), len(before) - len(window))


def encode_pair(encode: Encode, tokenizer: Any, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Return the tokens of a context and of its continuation, as lm-eval separates them.

    Blanks at the end of the context belong to the continuation, and both are read as one text."""
    text = context.rstrip()
    if not text:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return [start], list(tokenizer.encode(context + continuation, add_special_tokens=False))
    before = encode(text)
    return before, encode(context + continuation)[len(before) :]


def _logprob(model: Any, cache: Any, last: int, continuation: list[int]) -> float:
    logits = model(mx.array([[last, *continuation[:-1]]]), cache=cache)[0].astype(mx.float32)
    chosen = mx.take_along_axis(logits, mx.array(continuation)[:, None], axis=-1)[:, 0]
    return float((chosen - mx.logsumexp(logits, axis=-1)).sum())


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=LikelihoodJob))
