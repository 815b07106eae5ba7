"""Events of OpenHands as messages: actions and observations, or the events of its SDK.

An evaluation stores the events of a run under `history`, other files under `trajectory` or `events`. Events that say
nothing to the model (changes of state, recalled knowledge) are counted by their kind under `skipped_events`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from punie_build.data.dialects.turn import to_text
from punie_build.data.tool_call_markup.span import FIX_HINT

Record = dict[str, Any]
_LIST_KEYS = ("history", "trajectory", "events")
_CALLS = {  # actions of the agent that are calls of a tool
    "run", "run_ipython", "read", "write", "edit", "browse", "browse_interactive", "call_tool_mcp", "think", "delegate",
    "task_tracking",
}  # fmt: skip
_NO_ARGUMENTS = {"thought", "blocking", "hidden", "confirmation_state", "security_risk", "is_confirmed", "keep_prompt"}
_RESULT_TEXTS = {"AgentErrorEvent": "error", "UserRejectObservation": "rejection_reason"}


def openhands(record: Record) -> Record | None:
    """Return the conversation of a record that holds the events of a run, or None for another record."""
    key = next((key for key in _LIST_KEYS if (events := record.get(key)) and are_events(_flat(events))), None)
    if key is None:
        return None
    run = _Run()
    for event in _flat(record[key]):
        run.add(event)
    if not any(message["role"] == "user" for message in run.messages):
        raise ValueError(f"no message of the user among the {len(record[key])} events of OpenHands - {FIX_HINT}")
    others = {name: value for name, value in record.items() if name != key}
    tools = {"tools": run.tools} if run.tools else {}
    skipped = {"skipped_events": dict(sorted(run.skipped.items()))} if run.skipped else {}
    return {"messages": run.messages, **tools, **others, **skipped}


def are_events(items: Any) -> bool:
    """Whether a list holds events of OpenHands: each has a source, and is of one kind, an action or an observation."""
    return isinstance(items, list) and all(isinstance(item, dict) and is_event(item) for item in items)


def is_event(item: Record) -> bool:
    """Whether an object is an event of OpenHands."""
    if not isinstance(item.get("source"), str):
        return False
    kind = item.get("kind")
    if isinstance(kind, str):
        return kind.endswith(("Event", "Observation", "Condensation", "CondensationRequest")) and "id" in item
    return isinstance(item.get("action"), str) != isinstance(item.get("observation"), str)


def _flat(events: Any) -> Any:
    """Return events that older files pair as [action, observation] in one list."""
    if not isinstance(events, list) or not all(isinstance(item, list) for item in events):
        return events
    return [event for pair in events for event in pair]


class _Run:
    """The messages and tools of a run, from its events in order."""

    def __init__(self) -> None:
        self.messages: list[Record] = []
        self.tools: list[Any] = []
        self.skipped: Counter[str] = Counter()
        self.answers: dict[str, Record] = {}  # messages of the assistant, by the id of the model's response
        self.open_calls = 0  # without an id, and without a result

    def add(self, event: Record) -> None:
        if "kind" in event:
            self._add_sdk_event(event)
        elif isinstance(event.get("action"), str):
            self._add_action(event)
        else:
            self._add_observation(event)

    def _skip(self, name: str) -> None:
        self.skipped[name] += 1

    def _say(self, role: str, content: Any, **keys: Any) -> None:
        self.messages.append({"role": role, "content": content, **{key: value for key, value in keys.items() if value}})

    def _answer(self, response: Any, content: Any, calls: list[Record], **keys: Any) -> None:
        """Add a message of the assistant; further calls of one response of the model belong to its first message."""
        if response and (first := self.answers.get(str(response))):
            first["tool_calls"] = [*first.get("tool_calls", ()), *calls]
            return
        self._say("assistant", content, tool_calls=calls, **keys)
        if response:
            self.answers[str(response)] = self.messages[-1]

    def _add_action(self, event: Record) -> None:
        action, arguments = event["action"], event.get("args") or {}
        if arguments.get("image_urls"):
            raise ValueError("a message of OpenHands with images: bases here read text only - remove the row")
        if action == "system":
            self._say("system", arguments.get("content"))
            self.tools += arguments.get("tools") or ()
        elif action == "message":
            self._say("user" if event["source"] == "user" else "assistant", arguments.get("content"))
        elif event["source"] != "agent" or not (action in _CALLS or action == "finish"):
            self._skip(f"action: {action}")
        elif metadata := event.get("tool_call_metadata"):
            self._add_call(event, metadata)
        elif action == "finish":
            self._say("assistant", arguments.get("final_thought") or arguments.get("thought") or event.get("message"))
        else:
            self.open_calls += 1
            self._say("assistant", arguments.get("thought") or "", tool_calls=[_own_call(action, arguments)])

    def _add_call(self, event: Record, metadata: Record) -> None:
        """Add the response of the model that an action is a part of, or the action itself without the response."""
        response = metadata.get("model_response") or {}
        choices = response.get("choices") or ()
        if not choices:
            call = _own_call(metadata.get("function_name") or event["action"], event.get("args") or {})
            thought = (event.get("args") or {}).get("thought") or ""
            self._answer(response.get("id"), thought, [call | {"id": metadata.get("tool_call_id")}])
        elif str(response.get("id")) not in self.answers:
            message = choices[0]["message"]
            keys = {"reasoning_content": message.get("reasoning_content")}
            self._answer(response.get("id"), message.get("content"), message.get("tool_calls") or [], **keys)

    def _add_observation(self, event: Record) -> None:
        if metadata := event.get("tool_call_metadata"):
            self._say("tool", event.get("content"), tool_call_id=metadata.get("tool_call_id"))
        elif self.open_calls and event["source"] == "agent":
            self.open_calls -= 1
            self._say("tool", event.get("content"))
        else:
            self._skip(f"observation: {event['observation']}")

    def _add_sdk_event(self, event: Record) -> None:
        kind = event["kind"]
        if kind == "SystemPromptEvent":
            parts = [part["text"] for key in ("system_prompt", "dynamic_context") if (part := event.get(key))]
            self._say("system", "\n\n".join(parts))
            self.tools += [tool for tool in event.get("tools") or () if _is_declared(tool)]
        elif kind == "MessageEvent":
            message = event["llm_message"]
            parts = [*message["content"], *(event.get("extended_content") or ())]
            self._say(message["role"], parts, reasoning_content=message.get("reasoning_content"))
        elif kind == "ActionEvent":
            content = to_text(event.get("thought"))
            keys = {"reasoning_content": event.get("reasoning_content")}
            self._answer(event.get("llm_response_id"), content, [_sdk_call(event)], **keys)
        elif kind == "ObservationEvent":
            observation = {key: value for key, value in event["observation"].items() if key != "kind"}
            self._say("tool", to_text(observation.get("content", observation)), tool_call_id=event["tool_call_id"])
        elif kind in _RESULT_TEXTS:
            self._say("tool", event.get(_RESULT_TEXTS[kind]), tool_call_id=event["tool_call_id"])
        else:
            self._skip(kind)


def _own_call(name: str, arguments: Record) -> Record:
    """Return an action as a call, without the keys that are no arguments."""
    given = {key: value for key, value in arguments.items() if key not in _NO_ARGUMENTS and value is not None}
    return {"name": name, "arguments": given}


def _sdk_call(event: Record) -> Record:
    call = event["tool_call"]
    function = call.get("function", call)
    return {"id": event["tool_call_id"], "name": function["name"], "arguments": function.get("arguments")}


def _is_declared(tool: Any) -> bool:
    return isinstance(tool, dict) and ("function" in tool or ("name" in tool and "parameters" in tool))
