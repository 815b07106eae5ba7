"""The conversation of one case in one epoch, from its first request over the results of tool calls to its answer."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, structs

from punie_build.data.call_formats import CallReader
from punie_build.evaluation import request
from punie_build.evaluation.base_calls import with_calls
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.completion import (
    USUAL_READER,
    Completion,
    RequestFailed,
    TextOf,
    replace_surrogates,
    to_answer,
)
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import MAX_TURNS, Case, Suite, measures_latency
from punie_build.models.rendered_row import REASONING_NAMES


class Conversation:
    """One case in one epoch. Send `next_request()`, pass its result to `add()`, and repeat until `answer` is set."""

    def __init__(
        self,
        spec: GenerationSpec,
        suite: Suite,
        case: Case,
        epoch: int,
        text_of: TextOf,
        reader: CallReader = USUAL_READER,
    ) -> None:
        if case.max_tokens:
            spec = structs.replace(spec, max_tokens=case.max_tokens)
        self.spec, self.suite, self.case, self.epoch = spec, suite, case, epoch
        self.text_of, self.reader = text_of, reader
        self.messages, self.tools = suite.messages(case), suite.tool_declarations(case)
        self.turns: list[Answer] = []
        self.seconds: list[float] = []
        self.n_tokens: list[int | None] = []
        self.answer: Answer | None = None
        self.ends_in_thought = False

    @property
    def cached_epoch(self) -> int:
        """The epoch that names its requests in the cache: all epochs of greedy answers are one."""
        return 0 if self.spec.sampling.greedy else self.epoch

    def next_request(self) -> dict[str, Any] | None:
        """Return the next request to send, or None when the conversation has ended."""
        if self.answer is not None:
            return None
        return request.for_turn(self.spec, self.case.id, self.epoch, self.messages, self.tools)

    def add(self, result: Completion | RequestFailed) -> None:
        """Add the result of the request: continue with the results of its tool calls, or set `answer`."""
        if isinstance(result, RequestFailed):
            self.answer = Answer(case=self.case.id, epoch=self.epoch, error=result.error)
            return
        raw = replace_surrogates(self.text_of(result))
        result = with_calls(result, raw, self.reader, self.tools)
        turn = to_answer(self.case.id, raw, result, len(self.turns), self.reader)
        self.turns.append(turn)
        self.ends_in_thought = bool(
            result.finish == "length" and result.reasoning and not (result.content.strip() or result.calls)
        )
        if result.seconds and (self.spec.measure or measures_latency(self.suite)):
            self.seconds.append(result.seconds)
        self.n_tokens.append(result.n_tokens)
        tool_results = None if turn.malformed else self.tool_results(turn)
        if tool_results and len(self.turns) < MAX_TURNS:
            self.append_turn(result, tool_results)
        else:
            self.answer = self.combine("turns" if tool_results else turn.finish)

    def tool_results(self, turn: Answer) -> list[str] | None:
        """Return the canned results of the called tools, or None if a tool has none: then the conversation ends."""
        earlier = [call.name for past in self.turns[:-1] for call in past.calls]
        names = [call.name for call in turn.calls]
        results = [
            self.case.canned_result(name, earlier.count(name) + names[:index].count(name))
            for index, name in enumerate(names)
        ]
        return [text for text in results if text is not None] if results and None not in results else None

    def append_turn(self, completion: Completion, tool_results: list[str]) -> None:
        """Append the assistant message with its tool calls, and a tool message for each result.

        Its thought stays: a chat template drops it where the base does not want it.
        """
        ids = [f"call_{len(self.turns)}_{index}" for index in range(len(tool_results))]
        calls = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, (name, arguments) in zip(ids, completion.calls, strict=True)
        ]
        thought = dict.fromkeys(REASONING_NAMES, completion.reasoning) if completion.reasoning else {}
        self.messages.append({"role": "assistant", "content": completion.content, "tool_calls": calls, **thought})
        self.messages += [
            {"role": "tool", "tool_call_id": id_, "name": name, "content": text}
            for id_, (name, _), text in zip(ids, completion.calls, tool_results, strict=True)
        ]

    def combine(self, finish: str) -> Answer:
        """Return all turns as one answer."""
        known = [count for count in self.n_tokens if count is not None]
        return structs.replace(
            self.turns[-1],
            raw="\n\n".join(turn.raw for turn in self.turns),
            calls=tuple(call for turn in self.turns for call in turn.calls),
            malformed=any(turn.malformed for turn in self.turns),
            finish=finish,
            epoch=self.epoch,
            turns=len(self.turns),
            seconds=round(sum(self.seconds), 3) if self.seconds else None,
            n_tokens=sum(known) if self.spec.measure and len(known) == len(self.turns) else UNSET,
        )
