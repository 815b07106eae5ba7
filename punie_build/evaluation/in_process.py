"""Witness: what a model's weights say when nobody stands between. A process of its own.

    python -m punie_build.evaluation.in_process JOB.json

It loads the weights itself and writes into the book of what they said (`answered`): the greedy tokens of each canary question with
their log-probabilities, from the base and from the arm (base and adapter), and the replies to the questions it is given. A
server must say the same as the arm, or somebody else is answering.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.evaluation.canary import CANARY_PROMPTS, CANARY_TOKENS, Canary
from punie_build.evaluation.conversation import Said, reply
from punie_build.evaluation.response_cache import Answered


class Witnessing(Struct, frozen=True, kw_only=True):
    """A job: which weights, where to write, whether they must still prove who they are, and what is asked of them: key -> request."""

    model: str
    adapter: str | None
    book: str
    prove: bool = True
    asked: dict[str, dict[str, Any]] = {}
    concurrency: int = 8
    max_kv_size: int | None = None


def says(model: Any, tokenizer: Any) -> Canary:
    """The greedy answers to the canary questions: (token id, log-probability) for each token."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    out = []
    for question in CANARY_PROMPTS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        said = []
        for token, logprobs in generate_step(mx.array(prompt), model, max_tokens=CANARY_TOKENS):
            said.append((int(token), float(logprobs[int(token)])))
            if int(token) in tokenizer.eos_token_ids:
                break
        out.append(said)
    return out


class Written:
    """A reply while it is written, read as the server reads it: thoughts, words and calls apart."""

    def __init__(self, tokenizer: Any, request: Mapping[str, Any], prompt: list[int]) -> None:
        from mlx_lm.generate import make_stop_sequences, make_text_state_machine

        self.tokenizer, self.request, self.prompt = tokenizer, request, prompt
        words = list(request.get("stop", ()))
        self.stops, self.machine = make_stop_sequences(tokenizer, words), make_text_state_machine(tokenizer, words)
        self.detokenizer = tokenizer.detokenizer
        self.tokens: list[dict[str, Any]] = []

    def hear(self, token: int, logprob: float, finish: str | None) -> Said | None:
        """Take a token; the reply, if it was the last."""
        self.tokens.append({"id": token, "logprob": logprob})
        if finish != "stop":  # the token that ends a reply is no text
            self.detokenizer.add_token(token)
        return self.said(finish) if finish else None

    def said(self, finish: str) -> Said:
        from mlx_lm.server import ToolCallFormatter

        if finish == "length":
            self.detokenizer.finalize()
        text: dict[str, str] = {"normal": "", "reasoning": "", "tool": ""}
        calls = []
        last = state = self.start()
        for state, part in self.segments(finish, last):
            if state == "normal" and last == "tool":
                calls.append(text.pop("tool"))
            text[state] = text.get(state, "") + part
            last = state
        if last == "tool" and text.get("tool"):
            calls.append(text["tool"])
        parsed = ToolCallFormatter(self.tokenizer.tool_parser, self.request.get("tools"))(calls)
        message = {"content": text["normal"], "reasoning": text["reasoning"], "tool_calls": parsed}
        done = "tool_calls" if finish == "stop" and calls else finish
        return reply({"message": message, "logprobs": {"content": self.tokens}, "finish_reason": done})

    def start(self) -> str:
        """The state it begins in: a prompt may end inside a thought."""
        found = self.tokenizer
        thinks = found.has_thinking and found.rfind_think_start(self.prompt) > found.rfind_think_end(self.prompt)
        return str(found.response_initial_state or ("reasoning" if thinks else "normal"))

    def segments(self, finish: str, start: str) -> Iterator[tuple[str, str]]:
        """The text by what it is. Before a stop, what may be the beginning of a mark is dropped, as the server drops it."""
        state = self.machine.make_state(start)
        state, found = self.machine.split(state, self.detokenizer.text)
        yield from found
        if finish == "length":
            _, rest, name = self.machine.flush(state)
            yield name, rest


def answer(model: Any, tokenizer: Any, job: Witnessing, book: Answered) -> None:
    """Answer all questions, many at a time; those that are sampled one by one, each from its own seed."""
    import mlx.core as mx

    seeded = {key: request for key, request in job.asked.items() if "seed" in request}
    batch(model, tokenizer, job, {key: job.asked[key] for key in job.asked if key not in seeded}, book)
    for key, request in seeded.items():
        mx.random.seed(request["seed"])
        batch(model, tokenizer, job, {key: request}, book)


def batch(model: Any, tokenizer: Any, job: Witnessing, asked: Mapping[str, Mapping[str, Any]], book: Answered) -> None:
    from mlx_lm.generate import BatchGenerator
    from mlx_lm.sample_utils import make_logits_processors, make_sampler

    if not asked:
        return
    generator = BatchGenerator(model, completion_batch_size=job.concurrency, max_kv_size=job.max_kv_size)
    open_: dict[int, tuple[str, Written]] = {}
    for key, request in asked.items():
        written = Written(tokenizer, request, render(tokenizer, request))
        sampler = make_sampler(
            request["temperature"], top_p=request["top_p"], top_k=request["top_k"], min_p=request["min_p"]
        )
        penalties = make_logits_processors(
            None, request.get("repetition_penalty"), request.get("repetition_context_size", 20)
        )
        [uid] = generator.insert(
            [written.prompt],
            [request["max_tokens"]],
            samplers=[sampler],
            logits_processors=[penalties],
            stop_sequences=[written.stops],
        )
        open_[uid] = key, written
    while responses := generator.next_generated():
        for response in responses:
            key, written = open_[response.uid]
            said = written.hear(response.token, response.logprobs[response.token].item(), response.finish_reason)
            if said:
                book.keep(key, said)
    generator.close()


def render(tokenizer: Any, request: Mapping[str, Any]) -> list[int]:
    """The prompt of a request, as the server makes it."""
    from mlx_lm.server import process_message_content

    messages: list[dict[str, Any]] = msgspec.json.decode(
        msgspec.json.encode(request["messages"])
    )  # it is changed in place
    process_message_content(messages)
    prompt: list[int] = tokenizer.apply_chat_template(
        messages,
        tools=request.get("tools"),
        add_generation_prompt=True,
        tokenize=True,
        **request.get("chat_template_kwargs", {}),
    )
    return prompt


def main(job: Witnessing) -> None:
    from mlx_lm import load
    from mlx_lm.tuner.utils import load_adapters

    try:
        model, tokenizer, *_ = load(job.model)
    except Exception as error:
        raise SystemExit(f"punie: {job.model}: mlx-lm cannot load this model: {error}") from error
    book = Answered(Path(job.book), empty=True)
    base = arm = says(model, tokenizer) if job.prove else []
    if job.adapter:
        model = load_adapters(model, job.adapter)
        model.eval()
        arm = says(model, tokenizer) if job.prove else []
    if job.prove:
        book.prove(arm, base)
    answer(model, tokenizer, job, book)


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Witnessing))
