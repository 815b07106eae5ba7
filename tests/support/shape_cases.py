"""Records of formats that are no container: (name, record, canonical form)."""

from __future__ import annotations

import json

from tests.support.chat_rows import GREP, HI, LOOK, READ, Record, assistant, result, system, turns, user
from tests.support.file_cases import OF_OPENHANDS, OPENHANDS

SCHEMA = READ["function"]["parameters"]
DONE = [*LOOK[:2], *LOOK[2:]]
CALL = {"name": "read", "arguments": {"path": "a"}}


def with_id(call_id: str) -> list[Record]:
    """Return the messages of LOOK with another id of the call."""
    text = json.dumps(LOOK).replace('"call_1"', json.dumps(call_id))
    return json.loads(text)


def second_call(arguments: Record) -> Record:
    """Return a second call of read, whose id follows that of the first one."""
    function = {"name": "read", "arguments": json.dumps(arguments)}
    call = {"id": "call_2", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


ANTHROPIC = [
    {"role": "user", "content": "Look"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "a"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x = 1"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "It is 1."}]},
]
FUNCTION = READ["function"]
SHAPES: list[tuple[str, Record, Record]] = [
    ("Dolly", {"instruction": "Who?", "context": "Ann.", "response": "Ann", "category": "qa"},
     {"messages": turns("Who?\nAnn.", "Ann"), "category": "qa"}),
    ("Dolly without context", {"instruction": "Hi", "context": "", "response": "Hello."}, {"messages": HI}),
    ("GPTeacher", {"instruction": "Sum", "input": "1 2", "response": "3"}, {"messages": turns("Sum\n1 2", "3")}),
    ("instruction and response", {"instruction": "Hi", "response": "Hello."}, {"messages": HI}),
    ("OpenOrca", {"id": "x", "system_prompt": "S", "question": "Hi", "response": "Hello."},
     {"messages": [system("S"), *HI], "id": "x"}),
    ("OpenOrca without a prompt", {"system_prompt": "", "question": "Hi", "response": "Hello."}, {"messages": HI}),
    ("KodCode", {"question": "Hi", "solution": "Hello.", "difficulty": "easy"}, {"messages": HI, "difficulty": "easy"}),
    ("Magicoder", {"problem": "Hi", "solution": "Hello.", "lang": "python"}, {"messages": HI, "lang": "python"}),
    ("HumanEval", {"task_id": "0", "prompt": "Hi", "canonical_solution": "Hello."}, {"messages": HI, "task_id": "0"}),
    ("UltraChat", {"id": "0", "data": ["Hi", "Hello."]}, {"messages": HI, "id": "0"}),
    ("xLAM", {"id": 0, "query": "Look", "answers": json.dumps([CALL]),
              "tools": json.dumps([{"name": "read", "description": "read it.", "parameters": {
                  "path": {"type": "string", "description": "The path.", "required": True}}}])},
     {"messages": LOOK[:2], "tools": [READ], "id": 0}),
    ("ToolACE", {"system": "You are an expert. Here is a list of functions in JSON format that you can invoke:\n"
                 + json.dumps([{**FUNCTION, "parameters": {**SCHEMA, "type": "dict"}}]) + ". \nReturn calls.",
                 "conversations": [{"from": "user", "value": "Look"},
                                   {"from": "assistant", "value": '[read(path="a")]'},
                                   {"from": "tool", "value": "x = 1"}, {"from": "assistant", "value": "It is 1."}]},
     {"messages": [system("You are an expert."), *LOOK], "tools": [READ]}),
    ("BFCL", {"id": "simple_0", "question": [[user("Look")]], "function": [FUNCTION],
              "ground_truth": [{"read": {"path": ["a"]}}]},
     {"messages": LOOK[:2], "tools": [READ], "id": "simple_0"}),
    ("Anthropic blocks",
     {"messages": ANTHROPIC, "tools": [{"name": "read", "description": "read it.", "input_schema": SCHEMA}]},
     {"messages": with_id("t1"), "tools": [READ]}),
    ("Anthropic thinking", {"messages": [user("Hi"), {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "T", "signature": "s"}, {"type": "text", "text": "Hello."}]}]},
     {"messages": [HI[0], HI[1] | {"reasoning_content": "T"}]}),
    ("parts with value", {"messages": [
        {"role": "user", "content": [{"type": "text", "value": "Hi"}]},
        {"role": "assistant", "content": [{"type": "text", "value": "Hello."}], "loss_weight": 0.0}]},
     {"messages": [HI[0], HI[1] | {"weight": 0}]}),
    ("Gemini", {"systemInstruction": {"parts": [{"text": "S"}]}, "contents": [
        {"role": "user", "parts": [{"text": "Look"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "read", "args": {"path": "a"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "read", "response": {"x": 1}}}]},
        {"role": "model", "parts": [{"text": "It is 1."}]}],
        "tools": [{"functionDeclarations": [{**FUNCTION, "parameters": {**SCHEMA, "type": "OBJECT"}}]}]},
     {"messages": [system("S"), *LOOK[:2], result('{"x": 1}'), LOOK[3]], "tools": [READ]}),
    ("Gemini, with its answer beside", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hello."}]}}]}, {"messages": HI}),
    ("a log of Gemini", {"request": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, "response": {
        "candidates": [{"content": {"parts": [{"text": "Hello."}]}}]}}, {"messages": HI}),
    ("Bedrock", {"system": [{"text": "S"}], "messages": [
        {"role": "user", "content": [{"text": "Look"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "read", "input": {"path": "a"}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "x = 1"}]}}]},
        {"role": "assistant", "content": [{"text": "It is 1."}]}], "toolConfig": {"tools": [{"toolSpec": {
            "name": "read", "description": "read it.", "inputSchema": {"json": SCHEMA}}}]}},
     {"messages": [system("S"), *with_id("t")], "tools": [READ]}),
    ("a refusal", {"messages": [user("Hi"), {"role": "assistant", "content": [
        {"type": "refusal", "refusal": "Hello."}]}]}, {"messages": HI}),
    ("roles in capitals", {"messages": [{"role": "User", "content": "Hi"}, {"role": "AI", "content": "Hello."}]},
     {"messages": HI}),
    ("LangChain", {"messages": [{"type": "human", "content": "Hi"}, {"type": "ai", "content": "Hello."}]},
     {"messages": HI}),
    ("speakers", {"messages": [{"speaker": "user", "text": "Hi"}, {"speaker": "bot", "text": "Hello."}]},
     {"messages": HI}),
    ("custom calls", {"input": "Look", "output": [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "f", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "y"}]},
     {"messages": [user("Look"), assistant("", ("f", {"input": "x"})), result("y")]}),
    ("OpenAI Responses", {"instructions": "S", "input": [{"role": "user", "content": "Look"}], "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "T"}]},
        {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"path": "a"}'},
        {"type": "function_call_output", "call_id": "c", "output": "x = 1"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is 1."}]}]},
     {"messages": [system("S"), user("Look"), with_id("c")[1] | {"reasoning_content": "T"}, *with_id("c")[2:]]}),
    ("a batch log", {"custom_id": "1", "body": {"model": "m", "messages": [user("Hi")]},
                     "response": {"status_code": 200, "body": {"choices": [{"message": assistant("Hello.")}]}}},
     {"messages": HI, "id": "1"}),
    ("a log with choices", {"messages": [user("Hi")], "choices": [{"message": assistant("Hello.")}]}, {"messages": HI}),
    ("tau-bench", {"task_id": 1, "reward": 1.0, "traj": LOOK}, {"messages": LOOK, "task_id": 1, "reward": 1.0}),
    ("SWE-agent", {"history": HI, "trajectory": [{"query": HI}], "info": {"exit_status": "submitted"}},
     {"messages": HI, "info": {"exit_status": "submitted"}}),
    ("SWE-agent with calls and a demonstration", {"history": [
        {"role": "user", "content": "Hi", "agent": "main", "is_demo": True},
        {"role": "assistant", "content": "Hello.", "agent": "main", "is_demo": True},
        {"role": "user", "content": "Look", "agent": "main", "message_type": "observation"},
        {**LOOK[1], "thought": "", "action": "read a", "message_type": "action"},
        {"role": "tool", "content": "x = 1", "tool_call_ids": ["call_1"], "agent": "main"}, LOOK[3]]},
     {"messages": [HI[0] | {"weight": 0}, HI[1] | {"weight": 0}, *LOOK]}),
    ("a trajectory of the Hub", {"instance_id": "i", "trajectory": [
        {"role": "system", "system_prompt": "S", "text": None, "mask": False},
        {"role": "user", "system_prompt": None, "text": "Hi"}, {"role": "ai", "text": "Hello."}]},
     {"messages": [system("S"), *HI], "instance_id": "i"}),
    ("a trajectory with calls", {"trajectory_id": "t", "trajectory": LOOK, "tools": [READ]},
     {"messages": LOOK, "tools": [READ], "trajectory_id": "t"}),
    ("a thread of Open Assistant", {"thread_id": "t", "thread": [
        {"message_id": "a", "text": "Hi", "role": "prompter"}, {"text": "Hello.", "role": "assistant"}]},
     {"messages": [HI[0] | {"message_id": "a"}, HI[1]], "thread_id": "t"}),
    ("a run of OpenHands", {"instance_id": "i", "history": OPENHANDS}, OF_OPENHANDS | {
        "instance_id": "i", "skipped_events": {"action: recall": 1, "observation: recall": 1}}),
    ("a run of OpenHands in pairs", {"history": [OPENHANDS[:2], OPENHANDS[4:6], OPENHANDS[6:]]}, OF_OPENHANDS),
    ("BFCL with several rounds", {"id": "multi_turn_0", "question": [[user("Look")], [user("And b")]],
                                  "function": [FUNCTION], "ground_truth": [["read(path='a')"], ["read('b')"]]},
     {"messages": [*LOOK[:2], user("And b"), second_call({"path": "b"})], "tools": [READ], "id": "multi_turn_0"}),
    ("BFCL with nested values", {"question": [[user("Look")]], "ground_truth": [
        {"read": {"path": [{"a": [1, 2], "b": ["", 3]}], "size": [[{"c": [4]}]], "d": ["", 5], "e": []}}]},
     {"messages": [user("Look"), assistant("", ("read", {"path": {"a": 1}, "size": [{"c": 4}]}))]}),
    ("history beside query and response", {"query": "c", "response": "d", "history": [["a", "b"]]},
     {"messages": turns("a", "b", "c", "d")}),
    ("rounds of human and assistant", {"system": "S", "conversation": [{"human": "a", "assistant": "b"},
                                                                       {"human": "c", "assistant": "d"}]},
     {"messages": [system("S"), *turns("a", "b", "c", "d")]}),
    ("rounds of input and output", {"conversation": [{"system": "S", "input": "a", "output": "b"},
                                                     {"input": "c", "output": "d"}]},
     {"messages": [system("S"), *turns("a", "b", "c", "d")]}),
    ("messages as JSON text", {"messages": json.dumps(LOOK), "tools": json.dumps([READ])},
     {"messages": LOOK, "tools": [READ]}),
    ("a log with its response", {"messages": [user("Hi")], "response": {"choices": [{"message": assistant("Hello.")}]}},
     {"messages": HI}),
    ("grep, to have two tools", {"messages": HI, "tools": [GREP["function"]]}, {"messages": HI, "tools": [GREP]}),
]  # fmt: skip
DIALOGUES: list[tuple[str, str, list[Record]]] = [
    ("Alpaca", "Below is an instruction.\n\n### Instruction:\nHi\n\n### Response:\nHello.",
     [system("Below is an instruction."), *HI]),
    ("Alpaca with input", "### Instruction:\nSum\n\n### Input:\n1 2\n\n### Response:\n3</s>", turns("Sum\n1 2", "3")),
    ("Vicuna", "A chat. USER: Hi ASSISTANT: Hello.</s>", [system("A chat."), *HI]),
    ("Vicuna, two rounds", "USER: a ASSISTANT: b</s>USER: c ASSISTANT: d</s>", turns("a", "b", "c", "d")),
    ("Anthropic", "\n\nHuman: Hi\n\nAssistant: Hello.", HI),
    ("hashes", "### Human: Hi\n### Assistant: Hello.", HI),
    ("names", "User: Hi\nAssistant: Hello.\nmore", turns("Hi", "Hello.\nmore")),
    ("bold", "**User:** Hi\n\n**Assistant:** Hello.", HI),
    ("Guanaco", "### Human: Hi### Assistant: Hello.", HI),
    ("capitals", "### INSTRUCTION:\nHi\n### RESPONSE:\nHello.", HI),
    ("angles", "<human>: Hi\n<bot>: Hello.", HI),
    ("no blanks", "USER:Hi\nASSISTANT:Hello.", HI),
    ("small letters", "user: Hi\nassistant: Hello.", HI),
    ("question and answer", "Question: Hi\nAnswer: Hello.", HI),
    ("Q and A", "Q: Hi\n\nA: Hello.", HI),
    ("a title", "FAQ\nQ: Hi\nA: Hello.\nQ: a\nA: b", [system("FAQ"), *turns("Hi", "Hello.", "a", "b")]),
    ("a context", "Context: c\nQuestion: Hi\nAnswer: Hello.", [system("Context: c"), *HI]),
    ("a bold question", "FAQ\n\n**Q: Hi**\n\nA: Hello.", [system("FAQ"), *HI]),
    ("headings", "### Q: Hi\n\n### A: Hello.", HI),
    ("numbers", "Q1: Hi\nA1: Hello.\nQ2: a\nA2: b", turns("Hi", "Hello.", "a", "b")),
    ("a list", "1. Question: Hi\n   Answer: Hello.", HI),
    ("French", "Question\u00a0: Hi\nR\u00e9ponse : Hello.", HI),
    ("Russian", "\u0412\u043e\u043f\u0440\u043e\u0441: Hi\n\u041e\u0442\u0432\u0435\u0442: Hello.", HI),
    ("Japanese", "\u8cea\u554f\uff1aHi\n\u56de\u7b54\uff1aHello.", HI),
    ("German speakers", "Benutzer: Hi\nAssistent: Hello.", HI),
    ("an end mark before it", "<|endoftext|>User: Hi\n\nAssistant: Hello.<|endoftext|>", HI),
    ("Chinese", "\u95ee\uff1aHi\n\u7b54\uff1aHello.", HI),
    ("Chinese headings", "### \u6307\u4ee4\uff1a\nHi\n### \u56de\u7b54\uff1a\nHello.", HI),
    ("a prompt at the end", "Human: Hi\n\nAssistant: Hello.\n\nHuman: a\n\nAssistant:", [*HI, user("a")]),
]  # fmt: skip
