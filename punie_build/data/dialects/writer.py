"""Writer: the conversation written anew, in the one form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from punie_build.data.dialects.canonical import is_object
from punie_build.data.dialects.containers import Chat
from punie_build.data.dialects.tool_declarations import declarations, declared
from punie_build.data.dialects.turn import Turn, text_of, turn_of
from punie_build.data.tool_call_markup import (
    MEND,
    Around,
    Call,
    Reading,
    arguments_of,
    brief,
    calls_of,
    is_result,
    read,
    results,
    value_of,
)


class Writer:
    """Turns in, messages out: gives calls their ids, and results the ids of the calls they answer."""

    def __init__(self, chat: Chat, markups: frozenset[str]) -> None:
        self.markups = markups
        self.messages: list[dict[str, Any]] = []
        self.tools: dict[str, dict[str, Any]] = {}
        self.waiting: list[str] = []  # ids of calls without a result
        self.half_answered = False
        self.markup: str | None = None
        self.turns = [turn_of(turn, number) for number, turn in enumerate(chat.turns, chat.first)]
        if "glaive" in markups and any(turn.says_glaive() for turn in self.turns):
            self.markup = "glaive"
            self.turns = [part for turn in self.turns for part in turn.parts()]
        self.ids = {
            str(call.get("id"))
            for turn in self.turns
            for call in turn.message.get("tool_calls") or ()
            if isinstance(call, dict)
        }
        self.number = 0
        self.write_each = {
            "system": self._system,
            "user": self._user,
            "assistant": self._assistant,
            "tool": self._tool,
            "call": self._call,
        }
        try:
            self._declare(declarations(chat.tools or []))
        except ValueError as problem:
            raise ValueError(f"tools: {problem} - {MEND}") from None

    def write(self) -> list[dict[str, Any]]:
        followers: list[Turn | None] = [*self.turns[1:], None]
        for turn, follower in zip(self.turns, followers, strict=True):
            try:
                self.write_each[turn.role](turn, follower)
                if follower is None:
                    self._move_on()
            except ValueError as problem:
                raise ValueError(f"{turn.where}: {problem}{'' if MEND in str(problem) else f' - {MEND}'}") from None
        return self.messages

    def _declare(self, tools: Iterable[dict[str, Any]]) -> None:
        for tool in tools:
            name = tool["function"]["name"]
            if self.tools.setdefault(name, tool) != tool:
                raise ValueError(f"tool {name!r} is declared twice, differently")

    def _system(self, turn: Turn, _: Turn | None) -> None:
        self._move_on()
        tools, prompt = declared(turn.content, self.markups)
        self._declare(tools)
        if prompt or not tools:
            self.messages.append(turn.message | ({"content": prompt} if tools else {}))

    def _user(self, turn: Turn, _: Turn | None) -> None:
        if not (self.waiting and self.markups and is_result(turn.content)):
            self._move_on()
            self.messages.append(turn.message)
            return
        texts, words = results(turn.content, len(self.waiting))
        self._answer(texts, turn.message)
        if words:
            self._move_on()
            self.messages.append(turn.message | {"content": words})

    def _assistant(self, turn: Turn, follower: Turn | None) -> None:
        self._move_on()
        message = turn.message
        if message.get("tool_calls"):
            self.messages.append(message | {"tool_calls": [self._structured(call) for call in message["tool_calls"]]})
            return
        if message.get("function_call"):
            rest = {key: value for key, value in message.items() if key not in ("function_call", "tool_calls")}
            self.messages.append({"content": "", **rest, "tool_calls": [self._structured(message["function_call"])]})
            return
        reading = self._read(turn, follower) if self.markups else Reading(turn.content)
        self.markup = self.markup or reading.markup
        self.messages.append(message | {"content": reading.text} | self._calling(reading.calls))

    def _read(self, turn: Turn, follower: Turn | None) -> Reading:
        answered = follower is not None and (
            follower.role == "tool" or (follower.role == "user" and is_result(follower.content))
        )
        return read(turn.content, Around(self._properties(), answered, follower is None, self.markups))

    def _properties(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name, tool in self.tools.items():
            parameters = tool["function"].get("parameters")
            properties = parameters.get("properties") if isinstance(parameters, dict) else None
            found[name] = properties if isinstance(properties, dict) else {}
        return found

    def _call(self, turn: Turn, _: Turn | None) -> None:
        """A turn that is nothing but calls belongs to the assistant's turn before it, if there is one."""
        calls = calls_of(value_of(turn.content))
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant" and turn.message.keys() == {"role", "content"}:
            written = [*(last.get("tool_calls") or ()), *self._calling(calls)["tool_calls"]]
            self.messages[-1] = last | {"tool_calls": written}
            return
        self._move_on()
        self.messages.append(turn.message | {"role": "assistant", "content": ""} | self._calling(calls))

    def _tool(self, turn: Turn, _: Turn | None) -> None:
        said = turn.message.get("tool_call_id")
        if said is not None and said != "":
            self.waiting = [name for name in self.waiting if name != str(said)]
            self.messages.append(turn.message | {"tool_call_id": str(said)})
            return
        texts = [turn.content]
        if turn.content.lstrip().startswith("<tool_response>") and self.markups:
            texts, words = results(turn.content, len(self.waiting))
            if words:
                raise ValueError(f"words after the result: {words[:40]!r}")
        self._answer(texts, turn.message)

    def _answer(self, texts: list[str], message: dict[str, Any]) -> None:
        if len(texts) > len(self.waiting):
            raise ValueError(f"results: {len(texts)}, calls that wait for one: {len(self.waiting)}")
        for text in texts:
            self.messages.append(message | {"role": "tool", "tool_call_id": self.waiting.pop(0), "content": text})
        self.half_answered = True

    def _move_on(self) -> None:
        if self.half_answered and self.waiting:
            raise ValueError("fewer results than calls before it, so which call they answer cannot be told")
        self.waiting, self.half_answered = [], False

    def _new_id(self) -> str:
        self.number += 1
        while f"call_{self.number}" in self.ids:
            self.number += 1
        return f"call_{self.number}"

    def _calling(self, calls: Iterable[Call]) -> dict[str, Any]:
        written = [self._written(call.name, call.arguments) for call in calls]
        return {"tool_calls": written} if written else {}

    def _written(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.waiting.append(self._new_id())
        function = {"name": name, "arguments": text_of(arguments)}
        return {"id": self.waiting[-1], "type": "function", "function": function}

    def _structured(self, call: Any) -> dict[str, Any]:
        """A call that is an object already, in any of the spellings around: flat, without id, with arguments as object."""
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"a call without a name: {brief(call)}")
        text = function.get("arguments")
        if not isinstance(text, str) or not is_object(text):
            text = text_of(arguments_of(text))
        name = str(call["id"]) if call.get("id") not in (None, "") else self._new_id()
        self.waiting.append(name)
        if function is call:
            others = {key: value for key, value in call.items() if key not in ("id", "type", "name", "arguments")}
            function, call = {"name": call["name"]}, others
        return {**call, "id": name, "type": "function", "function": {**function, "arguments": text}}
