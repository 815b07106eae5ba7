"""Writer of canonical messages: matches calls, ids and results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from punie_build.data.dialects.canonical import is_json_object
from punie_build.data.dialects.containers import RawConversation
from punie_build.data.dialects.tool_declarations import extract_tools, to_declarations
from punie_build.data.dialects.turn import Turn, to_json, to_turn
from punie_build.data.example import ToolCall
from punie_build.data.tool_call_markup.json_values import parse_value, preview, to_arguments, to_calls
from punie_build.data.tool_call_markup.parse import ParsedText, parse_text
from punie_build.data.tool_call_markup.span import FIX_HINT, ParseContext
from punie_build.data.tool_call_markup.tool_results import is_tool_result, split_results


class MessageWriter:
    """Converts turns to messages: gives calls their ids, and results the ids of the calls they answer."""

    def __init__(self, raw: RawConversation, markups: frozenset[str]) -> None:
        self.markups = markups
        self.messages: list[dict[str, Any]] = []
        self.tools: dict[str, dict[str, Any]] = {}
        self.open_ids: list[str] = []  # ids of calls without a result
        self.has_results = False  # of the last calls
        self.markup: str | None = None
        self.turns = [to_turn(turn, number) for number, turn in enumerate(raw.turns, raw.first)]
        if "glaive" in markups and any(turn.is_glaive() for turn in self.turns):
            self.markup = "glaive"
            self.turns = [part for turn in self.turns for part in turn.split_glaive()]
        self.input_ids = {
            str(call.get("id"))
            for turn in self.turns
            for call in turn.message.get("tool_calls") or ()
            if isinstance(call, dict)
        }
        self.call_number = 0
        self.write_turn = {
            "system": self._write_system,
            "user": self._write_user,
            "assistant": self._write_assistant,
            "tool": self._write_tool,
            "call": self._write_call,
        }
        try:
            self._declare(to_declarations(raw.tools or []))
        except ValueError as problem:
            raise ValueError(f"tools: {problem} - {FIX_HINT}") from None

    def write(self) -> list[dict[str, Any]]:
        """Return the messages. Raises ValueError with the number and the role of the message."""
        followers: list[Turn | None] = [*self.turns[1:], None]
        for turn, follower in zip(self.turns, followers, strict=True):
            try:
                self.write_turn[turn.role](turn, follower)
                if follower is None:
                    self._close_calls()
            except ValueError as problem:
                hint = "" if FIX_HINT in str(problem) else f" - {FIX_HINT}"
                raise ValueError(f"{turn.where}: {problem}{hint}") from None
        return self.messages

    def _declare(self, tools: Iterable[dict[str, Any]]) -> None:
        for tool in tools:
            name = tool["function"]["name"]
            if self.tools.setdefault(name, tool) != tool:
                raise ValueError(f"tool {name!r} is declared twice, differently")

    def _write_system(self, turn: Turn, _: Turn | None) -> None:
        self._close_calls()
        tools, prompt = extract_tools(turn.content, self.markups)
        self._declare(tools)
        if prompt or not tools:
            self.messages.append(turn.message | ({"content": prompt} if tools else {}))

    def _write_user(self, turn: Turn, _: Turn | None) -> None:
        if not (self.open_ids and self.markups and is_tool_result(turn.content)):
            self._close_calls()
            self.messages.append(turn.message)
            return
        results, text = split_results(turn.content, len(self.open_ids))
        self._write_results(results, turn.message)
        if text:
            self._close_calls()
            self.messages.append(turn.message | {"content": text})

    def _write_assistant(self, turn: Turn, follower: Turn | None) -> None:
        self._close_calls()
        message = turn.message
        if message.get("tool_calls"):
            self.messages.append(message | {"tool_calls": [self._to_entry(call) for call in message["tool_calls"]]})
            return
        if message.get("function_call"):
            others = {key: value for key, value in message.items() if key not in ("function_call", "tool_calls")}
            self.messages.append({**others, "tool_calls": [self._to_entry(message["function_call"])]})
            return
        parsed = self._parse(turn, follower) if self.markups else ParsedText(turn.content)
        self.markup = self.markup or parsed.markup
        self.messages.append(message | {"content": parsed.text} | self._tool_calls(parsed.calls))

    def _parse(self, turn: Turn, follower: Turn | None) -> ParsedText:
        has_result = follower is not None and (
            follower.role == "tool" or (follower.role == "user" and is_tool_result(follower.content))
        )
        return parse_text(turn.content, ParseContext(self._properties(), has_result, follower is None, self.markups))

    def _properties(self) -> dict[str, dict[str, Any]]:
        """Return the properties of the declared tools, by the tool's name."""
        properties_of = {}
        for name, tool in self.tools.items():
            parameters = tool["function"].get("parameters")
            properties = parameters.get("properties") if isinstance(parameters, dict) else None
            properties_of[name] = properties if isinstance(properties, dict) else {}
        return properties_of

    def _write_call(self, turn: Turn, _: Turn | None) -> None:
        """Write a turn that has only calls: they belong to the assistant's message before it, if there is one."""
        calls = to_calls(parse_value(turn.content))
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant" and turn.message.keys() == {"role", "content"}:
            entries = [*(last.get("tool_calls") or ()), *self._tool_calls(calls)["tool_calls"]]
            self.messages[-1] = last | {"tool_calls": entries}
            return
        self._close_calls()
        self.messages.append(turn.message | {"role": "assistant", "content": ""} | self._tool_calls(calls))

    def _write_tool(self, turn: Turn, _: Turn | None) -> None:
        call_id = turn.message.get("tool_call_id")
        if call_id is not None and call_id != "":
            self.open_ids = [open_id for open_id in self.open_ids if open_id != str(call_id)]
            self.messages.append(turn.message | {"tool_call_id": str(call_id)})
            return
        results = [turn.content]
        if turn.content.lstrip().startswith("<tool_response>") and self.markups:
            results, text = split_results(turn.content, len(self.open_ids))
            if text:
                raise ValueError(f"text after the result: {text[:40]!r}")
        self._write_results(results, turn.message)

    def _write_results(self, results: list[str], message: dict[str, Any]) -> None:
        if len(results) > len(self.open_ids):
            raise ValueError(f"results: {len(results)}, calls without a result: {len(self.open_ids)}")
        for text in results:
            self.messages.append(message | {"role": "tool", "tool_call_id": self.open_ids.pop(0), "content": text})
        self.has_results = True

    def _close_calls(self) -> None:
        """End the results of the last calls. Raises ValueError if only some of the calls have one."""
        if self.has_results and self.open_ids:
            raise ValueError("fewer results than calls before it, so they cannot be assigned to the calls")
        self.open_ids, self.has_results = [], False

    def _new_id(self) -> str:
        self.call_number += 1
        while f"call_{self.call_number}" in self.input_ids:
            self.call_number += 1
        return f"call_{self.call_number}"

    def _tool_calls(self, calls: Iterable[ToolCall]) -> dict[str, Any]:
        entries = [self._new_entry(call) for call in calls]
        return {"tool_calls": entries} if entries else {}

    def _new_entry(self, call: ToolCall) -> dict[str, Any]:
        self.open_ids.append(self._new_id())
        function = {"name": call.name, "arguments": to_json(call.arguments)}
        return {"id": self.open_ids[-1], "type": "function", "function": function}

    def _to_entry(self, call: Any) -> dict[str, Any]:
        """Convert a call that is an object to canonical form: it may be flat, have no id, or arguments as an object."""
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"a call without a name: {preview(call)}")
        arguments = function.get("arguments")
        if not isinstance(arguments, str) or not is_json_object(arguments):
            arguments = to_json(to_arguments(arguments))
        call_id = str(call["id"]) if call.get("id") not in (None, "") else self._new_id()
        self.open_ids.append(call_id)
        if function is call:
            others = {key: value for key, value in call.items() if key not in ("id", "type", "name", "arguments")}
            function, call = {"name": call["name"]}, others
        return {**call, "id": call_id, "type": "function", "function": {**function, "arguments": arguments}}
