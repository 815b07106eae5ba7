"""Answers: what came back, from the tokens as they came to what they mean, and the conversation that goes on from it.

Said     one reply, as it came: token ids, log-probabilities, and what the server made of them
Proof    which weights gave the answers of a folder
Talk     one case in one epoch: the next request, what came back, and in the end its Answer
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from punie_build.data.example import ToolCall
from punie_build.evaluation import request as questions
from punie_build.evaluation.checks.union import Answer, Latency
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import MAX_TURNS, Case, Suite
from punie_build.schema.spec import structs as parts

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|\Z)", re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
Decode = Callable[[list[int]], str]


class Said(Struct, frozen=True, kw_only=True):
    """One reply as it came. `ids` are all tokens written, `logprobs` how likely each was (nats); `calls` are (name, arguments as
    text), as the server read them: it drops what it cannot read. `seconds` is how long it took, where that means something."""

    ids: list[int]
    logprobs: list[float]
    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = []
    finish: str = "stop"
    seconds: float | None = None


class Lost(Struct, frozen=True):
    """A reply that never came, and why: nobody's answer, and never a wrong one."""

    error: str


class Proof(Struct, frozen=True, kw_only=True):
    """`proof.json` of answers: which weights gave them. `base_canary` is what the base says, without an adapter."""

    arm: str
    canary: str
    base_canary: str
    errors: int = 0
    parse_failures: int = 0


def reply(choice: dict[str, Any]) -> Said:
    """A choice of a chat completion as a reply. Raises ValueError, KeyError or TypeError where it is none."""
    message, tokens = choice["message"], choice["logprobs"]["content"]
    calls = [
        (call["function"]["name"], call["function"]["arguments"] or "{}") for call in message.get("tool_calls") or ()
    ]
    if not all(isinstance(name, str) and isinstance(arguments, str) for name, arguments in calls):
        raise ValueError("a tool call whose name or arguments are no text")
    return Said(
        ids=[int(token["id"]) for token in tokens],
        logprobs=[round(float(token["logprob"]), 4) for token in tokens],
        content=whole(message.get("content") or ""),
        reasoning=whole(message.get("reasoning") or ""),
        calls=[(whole(name), whole(arguments)) for name, arguments in calls],
        finish=str(choice["finish_reason"]),
    )


def whole(text: str) -> str:
    """Text that can be written down: half a surrogate pair, which JSON can say and UTF-8 cannot, becomes U+FFFD."""
    return _HALF.sub("\ufffd", text)


def read(case: str, raw: str, said: Said, turn: int = 0) -> Answer:
    """What one reply says. The raw text decides whether there was a call: the server drops those it cannot parse."""
    calls, malformed = [], False
    for name, text in said.calls:
        try:
            arguments = json.loads(text)
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            calls.append(ToolCall(name, arguments, turn))
        else:
            malformed = True
    lost = len(_CALL.findall(raw)) > len(said.calls) or (said.finish == "tool_calls" and not said.calls)
    return Answer(
        case=case,
        raw=raw,
        content=said.content,
        calls=tuple(calls),
        malformed=malformed or lost,
        finish=said.finish,
    )


def timed(suite: Suite) -> bool:
    """Whether it asks how long an answer took. Only then is that in the answers: their bytes are else the same everywhere."""
    return any(isinstance(value, Latency) for value in parts(suite))


class Talk:
    """One case in one epoch. `request` is what to send now, None when it is over; `hear` takes what came back."""

    def __init__(self, spec: GenerationSpec, suite: Suite, case: Case, epoch: int, decode: Decode) -> None:
        if case.max_tokens:
            spec = structs.replace(spec, max_tokens=case.max_tokens)
        self.spec, self.case, self.epoch, self.decode = spec, case, epoch, decode
        self.messages, self.tools = suite.conversation(case), suite.declarations(case)
        self.turns: list[Answer] = []
        self.seconds: list[float] = []
        self.suite = suite
        self.answer: Answer | None = None

    def request(self) -> dict[str, Any] | None:
        if self.answer is not None:
            return None
        return questions.for_turn(self.spec, self.case.id, self.epoch, self.messages, self.tools)

    def hear(self, said: Said | Lost) -> None:
        if isinstance(said, Lost):
            self.answer = Answer(case=self.case.id, epoch=self.epoch, error=said.error)
            return
        turn = read(self.case.id, whole(self.decode(said.ids)), said, len(self.turns))
        self.turns.append(turn)
        self.seconds += [said.seconds] if said.seconds and timed(self.suite) else []
        results = None if turn.malformed else self.results(turn)
        if results and len(self.turns) < MAX_TURNS:
            self.go_on(said, results)
        else:
            self.answer = self.together("turns" if results else turn.finish)

    def results(self, turn: Answer) -> list[str] | None:
        """What the called tools give back; None if one of them has nothing to give: then the conversation is over."""
        earlier = [call.name for each in self.turns[:-1] for call in each.calls]
        names = [call.name for call in turn.calls]
        found = [
            self.case.result(name, earlier.count(name) + names[:index].count(name)) for index, name in enumerate(names)
        ]
        return [text for text in found if text is not None] if found and None not in found else None

    def go_on(self, said: Said, results: list[str]) -> None:
        """The conversation after the calls were made: what the arm said, and what each call gave back."""
        ids = [f"call_{len(self.turns)}_{index}" for index in range(len(results))]
        calls = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, (name, arguments) in zip(ids, said.calls, strict=True)
        ]
        self.messages.append({"role": "assistant", "content": said.content, "tool_calls": calls})
        self.messages += [
            {"role": "tool", "tool_call_id": id_, "name": name, "content": text}
            for id_, (name, _), text in zip(ids, said.calls, results, strict=True)
        ]

    def together(self, finish: str) -> Answer:
        """All turns as one answer."""
        return structs.replace(
            self.turns[-1],
            raw="\n\n".join(turn.raw for turn in self.turns),
            calls=tuple(call for turn in self.turns for call in turn.calls),
            malformed=any(turn.malformed for turn in self.turns),
            finish=finish,
            epoch=self.epoch,
            turns=len(self.turns),
            seconds=round(sum(self.seconds), 3) if self.seconds else None,
        )
