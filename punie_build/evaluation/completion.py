"""The completion of one request, and its conversion to the answer of a case."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from punie_build.data.call_formats import HERMES, CallReader
from punie_build.data.example import ToolCall
from punie_build.evaluation.checks.union import Answer
from punie_build.models.thoughts import without_thoughts

USUAL_READER = CallReader((HERMES,), served=True)
_SURROGATE = re.compile("[\ud800-\udfff]")
Decode = Callable[[list[int]], str]  # token ids -> text
TextOf = Callable[["Completion"], str]  # completion -> all that was generated, with its markup


class Completion(Struct, frozen=True, kw_only=True):
    """One completion as the server returned it.

    `token_ids` are all generated tokens, `logprobs` their log-probabilities in nats. `calls` are (name, arguments as
    JSON text) of the tool calls that the server could parse; it drops the others. `seconds` is the duration, where
    measured; `token_count` the number that an endpoint states, which shows no token ids.
    """

    token_ids: list[int] = field(name="ids")
    logprobs: list[float]
    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = []
    finish: str = "stop"
    seconds: float | None = None
    token_count: int | UnsetType = UNSET

    @property
    def n_tokens(self) -> int | None:
        """The number of generated tokens, if it is known."""
        return self.token_count if isinstance(self.token_count, int) else len(self.token_ids) or None


class RequestFailed(Struct, frozen=True):
    """A request without a completion, and the reason. It counts as an error, never as a wrong answer."""

    error: str


def parse_choice(choice: dict[str, Any]) -> Completion:
    """Return the completion in a choice of a chat response. Raise ValueError, KeyError or TypeError if malformed."""
    message, tokens = choice["message"], choice["logprobs"]["content"]
    calls = [
        (call["function"]["name"], call["function"]["arguments"] or "{}") for call in message.get("tool_calls") or ()
    ]
    if not all(isinstance(name, str) and isinstance(arguments, str) for name, arguments in calls):
        raise ValueError("the name or the arguments of a tool call are not text")
    return Completion(
        token_ids=[int(token["id"]) for token in tokens],
        logprobs=[round(float(token["logprob"]), 4) for token in tokens],
        content=replace_surrogates(message.get("content") or ""),
        reasoning=replace_surrogates(message.get("reasoning") or ""),
        calls=[(replace_surrogates(name), replace_surrogates(arguments)) for name, arguments in calls],
        finish=str(choice["finish_reason"]),
    )


def replace_surrogates(text: str) -> str:
    """Replace half a surrogate pair, which JSON can express and UTF-8 cannot, by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def answer_text(raw: str, reasoning: str) -> str:
    """Return the text of all tokens without the thoughts: a call that a model considers is none."""
    return without_thoughts(raw.replace(reasoning, "", 1) if reasoning else raw)


def to_answer(case: str, raw: str, completion: Completion, turn: int = 0, reader: CallReader = USUAL_READER) -> Answer:
    """Return a completion as the answer to a case, with its tool calls decoded.

    `raw` is the text of all tokens. In it, `reader` finds calls that the server dropped because it could not parse
    them: then the answer is `malformed`.
    """
    calls, malformed = [], False
    for name, text in completion.calls:
        try:
            arguments = json.loads(text)
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            calls.append(ToolCall(name, arguments, turn))
        else:
            malformed = True
    read = reader.read(answer_text(raw, completion.reasoning))
    dropped = len(read.calls) + read.malformed > len(completion.calls) or (
        completion.finish == "tool_calls" and not completion.calls
    )
    return Answer(
        case=case,
        raw=raw,
        content=completion.content,
        calls=tuple(calls),
        malformed=malformed or dropped,
        finish=completion.finish,
    )
