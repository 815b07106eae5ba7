"""Files whose records are parts of conversations: session logs, message trees, arrays of messages."""

from __future__ import annotations

from tests.support.chat_rows import HI, LOOK, READ, Record, system, turns

CLAUDE = [
    {"type": "summary", "summary": "s", "leafUuid": "u"},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "meta"}, "isMeta": True},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "Look"}, "isSidechain": False},
    {"type": "assistant", "sessionId": "s1", "message": {
        "id": "m1", "role": "assistant", "model": "c",
        "content": [{"type": "thinking", "thinking": "T", "signature": "x"}]}},
    {"type": "assistant", "sessionId": "s1", "message": {"id": "m1", "role": "assistant", "content": [
        {"type": "tool_use", "id": "call_1", "name": "read", "input": {"path": "a"}}]}},
    {"type": "user", "sessionId": "s1", "toolUseResult": {}, "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "x = 1"}]}},
    {"type": "assistant", "sessionId": "s1", "message": {
        "id": "m2", "role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
    {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "Hi"}, "isSidechain": True},
    {"type": "assistant", "sessionId": "s1", "isSidechain": True, "message": {
        "id": "m3", "role": "assistant", "content": [{"type": "text", "text": "Hello."}]}},
]  # fmt: skip
CODEX = [
    {"timestamp": "t", "type": "session_meta", "payload": {"id": "s2", "instructions": None}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look"}]}},
    {"timestamp": "t", "type": "event_msg", "payload": {"type": "user_message", "message": "Look"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}], "encrypted_content": "x"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "function_call", "name": "read", "arguments": '{"path": "a"}', "call_id": "call_1"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "function_call_output", "call_id": "call_1", "output": "x = 1"}},
    {"timestamp": "t", "type": "response_item", "payload": {
        "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is 1."}]}},
]  # fmt: skip
PI = [
    {"type": "session", "id": "s3", "cwd": "/x", "version": 3},
    {"type": "model_change", "modelId": "m"},
    {"type": "message", "message": {"role": "user", "content": [{"type": "text", "text": "Look"}]}},
    {"type": "message", "message": {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "T"},
        {"type": "toolCall", "id": "call_1", "name": "read", "arguments": {"path": "a"}}]}},
    {"type": "message", "message": {
        "role": "toolResult", "toolCallId": "call_1", "toolName": "read",
        "content": [{"type": "text", "text": "x = 1"}]}},
    {"type": "message", "message": {"role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
]  # fmt: skip
THOUGHT = [LOOK[0], LOOK[1] | {"reasoning_content": "T"}, *LOOK[2:]]
HUB = [
    {"type": "session", "harness": "h", "id": "s4", "name": "n"},
    {"type": "message", "message": {"role": "user", "content": "Look"}},
    {"type": "message", "message": {"role": "assistant", "content": "", "reasoning": "T", "toolCalls": [
        {"id": "call_1", "function": {"name": "read", "arguments": {"path": "a"}}}]}},
    {"type": "message", "message": {"role": "tool", "toolCallId": "call_1", "content": "x = 1"}},
    {"type": "message", "message": {"role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
]  # fmt: skip
RESPONSE = {"id": "r1", "choices": [{"message": {
    "role": "assistant", "content": "", "reasoning_content": "T", "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}},
    ]}}]}  # fmt: skip
METADATA = {"function_name": "read", "tool_call_id": "call_1", "model_response": RESPONSE}
OPENHANDS = [
    {"id": 0, "source": "agent", "action": "system", "args": {"content": "S", "tools": [READ]}},
    {"id": 1, "source": "user", "action": "message", "args": {"content": "Look", "image_urls": None}},
    {"id": 2, "source": "user", "action": "recall", "args": {"query": "Look"}},
    {"id": 3, "source": "environment", "observation": "recall", "content": "Added", "extras": {}},
    {"id": 4, "source": "agent", "action": "read", "args": {"path": "/a", "thought": ""},
     "tool_call_metadata": METADATA},
    {"id": 5, "source": "agent", "observation": "read", "content": "x = 1", "tool_call_metadata": METADATA},
    {"id": 6, "source": "agent", "action": "finish", "args": {"thought": "It is 1."}},
]  # fmt: skip
OPENHANDS_TEXT = [
    {"id": 1, "source": "user", "action": "message", "args": {"content": "Look"}},
    {"id": 2, "source": "agent", "action": "read", "args": {"path": "a", "thought": "", "hidden": False}},
    {"id": 3, "source": "agent", "observation": "read", "content": "x = 1"},
    {"id": 4, "source": "agent", "action": "message", "args": {"content": "It is 1."}},
]
OPENHANDS_SDK = [
    {"kind": "SystemPromptEvent", "id": "0", "source": "agent", "system_prompt": {"type": "text", "text": "S"},
     "tools": [READ, {"kind": "TerminalTool", "description": "without a schema"}]},
    {"kind": "ConversationStateUpdateEvent", "id": "1", "source": "environment", "key": "stats", "value": {}},
    {"kind": "MessageEvent", "id": "2", "source": "user", "llm_message": {
        "role": "user", "content": [{"type": "text", "text": "Lo"}]},
     "extended_content": [{"type": "text", "text": "ok"}]},
    {"kind": "ActionEvent", "id": "3", "source": "agent", "thought": [], "reasoning_content": "T",
     "action": {"kind": "ReadAction", "path": "a"}, "tool_name": "read", "tool_call_id": "call_1",
     "tool_call": {"id": "call_1", "name": "read", "arguments": '{"path": "a"}'}, "llm_response_id": "r1"},
    {"kind": "ObservationEvent", "id": "4", "source": "environment", "tool_name": "read", "tool_call_id": "call_1",
     "observation": {"kind": "ReadObservation", "content": [{"type": "text", "text": "x = 1"}]}, "action_id": "3"},
    {"kind": "MessageEvent", "id": "5", "source": "agent", "llm_message": {
        "role": "assistant", "content": [{"type": "text", "text": "It is 1."}]}},
]  # fmt: skip
ANSWER = {"message_id": "a", "parent_id": "q", "role": "assistant", "text": "Hello.", "rank": 0}
WORSE = {"message_id": "b", "parent_id": "q", "role": "assistant", "text": "Go away.", "rank": 1}
MORE = [
    {"message_id": "c", "parent_id": "a", "role": "prompter", "text": "More?"},
    {"message_id": "d", "parent_id": "c", "role": "assistant", "text": "Yes."},
    {"message_id": "e", "parent_id": "a", "role": "prompter", "text": "Less?"},
    {"message_id": "f", "parent_id": "e", "role": "assistant", "text": "No."},
]
QUESTION = {"message_id": "q", "parent_id": None, "role": "prompter", "text": "Hi", "lang": "en"}
MESSAGES = [QUESTION, WORSE, ANSWER, *MORE, QUESTION | {"message_id": "z"}]
TREE = QUESTION | {"replies": [
    WORSE | {"replies": []},
    ANSWER | {"replies": [MORE[0] | {"replies": [MORE[1]]}, MORE[2] | {"replies": [MORE[3]]}]},
]}  # fmt: skip
OF_TREE = [
    {"messages": turns("Hi", "Hello.", "More?", "Yes."), "id": "d", "lang": "en", "skipped_messages": 1},
    {"messages": [HI[0], HI[1] | {"weight": 0}, *turns("Less?", "No.")], "id": "f", "lang": "en"},
]
THOUGHT = [LOOK[0], LOOK[1] | {"reasoning_content": "T"}, *LOOK[2:]]
OF_OPENHANDS = {"messages": [system("S"), *THOUGHT], "tools": [READ]}
NO_ANSWER = "a message tree without an answer"

# name: the records of the file, and the conversations, or the beginning of the reason why there is none
FILES: dict[str, tuple[list[Record], list[Record | str]]] = {
    "Claude Code": (CLAUDE, [
        {"messages": THOUGHT, "id": "s1", "skipped_events": {"meta": 1, "summary": 1}},
        {"messages": HI, "id": "s1 side"}]),
    "Codex": (CODEX, [{"messages": THOUGHT, "id": "s2", "skipped_events": {"event_msg: user_message": 1}}]),
    "Pi": (PI, [{"messages": THOUGHT, "id": "s3", "skipped_events": {"model_change": 1}}]),
    "session traces of the Hub": (HUB, [{"messages": THOUGHT, "id": "s4"}]),
    "OpenHands": (OPENHANDS, [OF_OPENHANDS | {"skipped_events": {"action: recall": 1, "observation: recall": 1}}]),
    "OpenHands without calls of functions": (OPENHANDS_TEXT, [{"messages": LOOK}]),
    "OpenHands SDK": (OPENHANDS_SDK, [OF_OPENHANDS | {"skipped_events": {"ConversationStateUpdateEvent": 1}}]),
    "one event": (OPENHANDS[1:2], ["one event of a session, not a conversation"]),
    "a log without messages": (CLAUDE[:1], ["a session log without a message"]),
    "a tree": ([{"message_tree_id": "q", "prompt": TREE}, {"message_tree_id": "z", "prompt": QUESTION | {
        "replies": []}}], [*OF_TREE, NO_ANSWER]),
    "a message with its replies": ([TREE], [*OF_TREE]),
    "messages of trees": (MESSAGES, [*OF_TREE, NO_ANSWER]),
    "a message without its parent": ([QUESTION, ANSWER, ANSWER | {"message_id": "g", "parent_id": "x"}], [
        "its parent x is not among", {"messages": HI, "id": "a", "lang": "en"}]),
}  # fmt: skip
