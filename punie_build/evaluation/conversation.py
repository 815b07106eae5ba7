"""The conversation of one case in one epoch, from its first request over the results of tool calls to its answer."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from msgspec import UNSET, structs

from punie_build.data.call_formats import CallReader
from punie_build.data.example import ToolCall
from punie_build.evaluation import request
from punie_build.evaluation.base_calls import with_calls
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.completion import (
    USUAL_READER,
    Completion,
    RequestFailed,
    TextOf,
    answer_text,
    replace_surrogates,
    to_answer,
)
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import MAX_TURNS, Case, Suite
from punie_build.evaluation.tool_state import replay
from punie_build.models.rendered_row import REASONING_NAMES
from punie_build.runtime.limited_function import FunctionError


class Conversation:
    """One case in one epoch. Send `next_request()`, pass its result to `add()`, and repeat until `answer` is set.

    `timed`: the answer holds durations.
    """

    def __init__(
        self,
        spec: GenerationSpec,
        suite: Suite,
        case: Case,
        epoch: int,
        text_of: TextOf,
        reader: CallReader = USUAL_READER,
        timed: bool = False,
    ) -> None:
        if case.max_tokens:
            spec = structs.replace(spec, max_tokens=case.max_tokens)
        self.spec, self.suite, self.case, self.epoch = spec, suite, case, epoch
        self.text_of, self.reader, self.timed = text_of, reader, timed
        self.messages, self.tools = suite.messages(case), suite.tool_declarations(case)
        self.turns: list[Answer] = []
        self.seconds: list[float] = []
        self.n_tokens: list[int | None] = []
        self.user_turns, self.first_turn = suite.later_turns(case), 0
        self.state_calls: list[list[ToolCall]] = [[]]  # of stateful tools, after each message of the user
        self.state: Any = UNSET
        self.answer: Answer | None = None
        self.ends_in_thought = False
        self.max_tokens: int | None = None  # of a turn that is asked again

    @property
    def cached_epoch(self) -> int:
        """The epoch that names its requests in the cache: all epochs of greedy answers are one."""
        return 0 if self.spec.sampling.greedy else self.epoch

    def next_request(self) -> dict[str, Any] | None:
        """Return the next request to send, or None when the conversation has ended."""
        if self.answer is not None:
            return None
        return request.for_turn(self.spec, self.case.id, self.epoch, self.messages, self.tools, self.max_tokens)

    def add(self, result: Completion | RequestFailed) -> None:
        """Add the result of the request: continue with the results of its tool calls, or set `answer`."""
        if isinstance(result, RequestFailed):
            self.answer = Answer(case=self.case.id, epoch=self.epoch, error=result.error)
            return
        raw = replace_surrogates(self.text_of(result))
        self.max_tokens = None if self.max_tokens else self.own_budget(result, raw)
        if self.max_tokens:
            return
        result = with_calls(result, raw, self.reader, self.tools)
        turn = to_answer(self.case.id, raw, result, len(self.turns), self.reader)
        self.turns.append(turn)
        words = result.content if result.reasoning else answer_text(raw, "")
        has_thought = bool(result.reasoning) or len(words) < len(raw)
        self.ends_in_thought = result.finish == "length" and has_thought and not (words.strip() or result.calls)
        if self.timed and result.seconds:
            self.seconds.append(result.seconds)
        self.n_tokens.append(result.n_tokens)
        try:
            results = self.tool_results(turn)
        except FunctionError as error:
            self.answer = Answer(case=self.case.id, epoch=self.epoch, error=f"the class of the tools {error}")
            return
        tool_results = None if turn.malformed else results
        state_class = self.suite.state_of(self.case)
        max_turns = (state_class.max_turns if state_class else None) or MAX_TURNS
        if tool_results and len(self.turns) - self.first_turn < max_turns:
            self.append_turn(result, tool_results)
        elif self.user_turns and not (tool_results or turn.calls or turn.malformed) and turn.finish != "length":
            self.append_turn(result, [])
            content, tools = self.user_turns.pop(0)
            self.messages.append({"role": "user", "content": content})
            self.tools = [*self.tools, *tools]
            self.first_turn = len(self.turns)
            self.state_calls.append([])
        else:
            self.answer = self.combine("turns" if tool_results else turn.finish)

    def own_budget(self, result: Completion, raw: str) -> int | None:
        """Return the tokens to ask for again, so that the answer behind a thought has exactly `max_tokens`.

        None if it had: the thought ended within `max_thought_tokens` and the answer is short, or there is no thought.
        The same weights, prompt and seed think the same again.
        """
        answer, count = answer_text(raw, result.reasoning), len(result.token_ids)
        if not count or not answer.strip() or len(answer) == len(raw):
            return None

        def length(tokens: int) -> int:
            return len(self.text_of(structs.replace(result, token_ids=result.token_ids[:tokens])))

        thought = bisect_right(range(count + 1), len(raw) - len(answer), key=length) - 1
        own, is_cut = count - thought, result.finish == "length"
        if own > self.spec.max_tokens + (not is_cut) or (is_cut and own < self.spec.max_tokens):
            return thought + self.spec.max_tokens
        return None

    def tool_results(self, turn: Answer) -> list[str] | None:
        """Return the canned results of the called tools, or None if a tool has none: then the conversation ends."""
        if tools := self.suite.state_of(self.case):
            self.state_calls[-1] += turn.calls
            outcome = replay(tools, self.case.initial or {}, self.state_calls)
            self.state = outcome.state
            return list(outcome.results[len(outcome.results) - len(turn.calls) :]) or None
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
        message: dict[str, Any] = {"tool_calls": calls} if calls else {}
        thought = dict.fromkeys(REASONING_NAMES, completion.reasoning) if completion.reasoning else {}
        self.messages.append({"role": "assistant", "content": completion.content, **message, **thought})
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
            state=self.state,
            seconds=round(sum(self.seconds), 3) if self.seconds else None,
            n_tokens=sum(known) if self.spec.measure and len(known) == len(self.turns) else UNSET,
        )
