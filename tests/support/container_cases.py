"""Records in each container: (name, record, detected dialect, canonical form)."""

from __future__ import annotations

import json

from tests.support.chat_rows import (
    FUNCTION,
    GREP,
    HI,
    LOOK,
    READ,
    Record,
    assistant,
    result,
    system,
    turns,
    user,
    with_calls,
)

CONTAINERS: list[tuple[str, Record, str, Record]] = [
    ("messages", {"messages": HI}, "messages", {"messages": HI}),
    ("conversation", {"conversation": HI}, "messages", {"messages": HI}),
    ("conversations with roles", {"conversations": HI}, "messages", {"messages": HI}),
    (
        "role and key names of others",
        {
            "messages": [
                {"role": "developer", "content": "S"},
                {"role": "human", "value": "Hi"},
                {"role": "model", "content": "Hello."},
            ]
        },
        "messages",
        {"messages": [system("S"), *HI]},
    ),
    ("a system key", {"system": "S", "messages": HI}, "messages", {"messages": [system("S"), *HI]}),
    ("an empty system key", {"system": "", "messages": HI}, "messages", {"messages": HI}),
    (
        "parts of text",
        {
            "messages": [
                user("Hi"),
                {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]},
            ]
        },
        "messages",
        {"messages": HI},
    ),
    (
        "calls with objects and without ids",
        {
            "messages": [
                user("Look"),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "read", "arguments": {"path": "a"}}}],
                },
                {"role": "tool", "content": "x = 1"},
                assistant("It is 1."),
            ]
        },
        "messages",
        {"messages": LOOK},
    ),
    (
        "flat calls",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": "", "tool_calls": [{"name": "read", "arguments": {"path": "a"}}]},
                *LOOK[2:],
            ]
        },
        "messages",
        {"messages": LOOK},
    ),
    (
        "arguments written by Python",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": "", "tool_calls": [{"name": "read", "arguments": "{'path': 'a'}"}]},
                *LOOK[2:],
            ]
        },
        "messages",
        {"messages": LOOK},
    ),
    (
        "a new id is none that is there",
        {
            "messages": [
                user("Look"),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"name": "read"}, {"id": "call_1", "name": "read"}],
                },
            ]
        },
        "messages",
        {
            "messages": [
                user("Look"),
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "call_2", "type": "function", "function": {"name": "read", "arguments": "{}"}},
                        {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
                    ],
                },
            ]
        },
    ),
    (
        "OpenAI's first function calls",
        {
            "messages": [
                user("Look"),
                {"role": "assistant", "content": None, "function_call": {"name": "read", "arguments": '{"path": "a"}'}},
                {"role": "function", "name": "read", "content": "x = 1"},
            ],
            "functions": [READ["function"]],
        },
        "messages",
        {"messages": [user("Look"), LOOK[1] | {"content": None}, result("x = 1") | {"name": "read"}], "tools": [READ]},
    ),
    (
        "tools as JSON text",
        {"messages": HI, "tools": json.dumps([READ])},
        "messages",
        {"messages": HI, "tools": [READ]},
    ),
    (
        "bare functions as tools",
        {"messages": HI, "tools": [READ["function"]]},
        "messages",
        {"messages": HI, "tools": [READ]},
    ),
    (
        "a result that is an object",
        {"messages": [*LOOK[:2], {"role": "tool", "content": {"x": 1}}]},
        "messages",
        {"messages": [*LOOK[:2], result('{"x": 1}')]},
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "system", "value": "S"},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Hello."},
            ],
            "id": 7,
        },
        "sharegpt",
        {"messages": [system("S"), *HI], "id": 7},
    ),
    (
        "sharegpt with calls",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "function_call", "value": '{"name": "read", "arguments": {"path": "a"}}'},
                {"from": "observation", "value": "x = 1"},
                {"from": "gpt", "value": "It is 1."},
            ],
            "tools": json.dumps([READ["function"]]),
            "system": "S",
        },
        "sharegpt",
        {"messages": [system("S"), *LOOK], "tools": [READ]},
    ),
    (
        "sharegpt: several calls, words before",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "Both."},
                {
                    "from": "function_call",
                    "value": (
                        '[{"name": "read", "arguments": {"path": "a"}}, {"name": "read", "arguments": {"path": "b"}}]'
                    ),
                },
                {"from": "observation", "value": "A"},
                {"from": "observation", "value": "B"},
            ],
            "tools": "[]",
        },
        "sharegpt",
        {
            "messages": [
                user("Look"),
                assistant("Both.", ("read", {"path": "a"}), ("read", {"path": "b"})),
                result("A"),
                result("B", 2),
            ]
        },
    ),
    (
        "sharegpt: a call that has a weight of its own",
        {
            "conversations": [
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "Wait.", "weight": 1},
                {"from": "function_call", "value": '{"name": "read", "arguments": {"path": "a"}}', "weight": 0},
            ]
        },
        "sharegpt",
        {
            "messages": [
                user("Look"),
                assistant("Wait.") | {"weight": 1},
                assistant("", ("read", {"path": "a"})) | {"weight": 0},
            ]
        },
    ),
    (
        "sharegpt as Nous writes calls",
        {
            "conversations": [
                {"from": "system", "value": f"You call functions. <tools> [{json.dumps(READ)}] </tools> Call them."},
                {"from": "human", "value": "Look"},
                {"from": "gpt", "value": "<tool_call>\n{'name': 'read', 'arguments': {'path': 'a'}}\n</tool_call>"},
                {"from": "tool", "value": "<tool_response>\nx = 1\n</tool_response>"},
                {"from": "gpt", "value": "It is 1."},
            ]
        },
        "sharegpt",
        {"messages": [system("You call functions.\n\nCall them."), *LOOK], "tools": [READ]},
    ),
    (
        "alpaca",
        {"instruction": "Hi", "input": "", "output": "Hello.", "source": "s"},
        "alpaca",
        {"messages": HI, "source": "s"},
    ),
    (
        "alpaca with input",
        {"instruction": "Sum", "input": "1 2", "output": "3"},
        "alpaca",
        {"messages": turns("Sum\n1 2", "3")},
    ),
    (
        "alpaca with all",
        {"instruction": "c", "input": None, "output": "d", "system": "S", "history": [["a", "b"]]},
        "alpaca",
        {"messages": [system("S"), *turns("a", "b", "c", "d")]},
    ),
    ("prompt and completion", {"prompt": "Hi", "completion": "Hello."}, "prompt-completion", {"messages": HI}),
    (
        "prompt and response",
        {"prompt": "Hi", "response": "Hello.", "id": 1},
        "prompt-completion",
        {"messages": HI, "id": 1},
    ),
    ("question and answer", {"question": "Hi", "answer": "Hello."}, "prompt-completion", {"messages": HI}),
    (
        "query and response",
        {"query": "Hi", "response": "Hello.", "system": "S"},
        "prompt-completion",
        {"messages": [system("S"), *HI]},
    ),
    (
        "sides that are messages",
        {"prompt": [system("S"), user("Hi")], "completion": [assistant("Hello.")]},
        "prompt-completion",
        {"messages": [system("S"), *HI]},
    ),
    ("text", {"text": " def f(): ...\n"}, "text", {"messages": [assistant(" def f(): ...\n")]}),
    (
        "ChatML",
        {
            "text": (
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
                "Hello.<|im_end|>\n<|endoftext|>"
            )
        },
        "text",
        {"messages": [system("S"), *HI]},
    ),
    (
        "ChatML without its last mark",
        {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello."},
        "text",
        {"messages": HI},
    ),
    (
        "ChatML as Qwen writes tools",
        {
            "text": "<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with the "
            "user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
            + "\n".join(map(json.dumps, (READ, GREP)))
            + "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
            '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
            "<args-json-object>}\n</tool_call>"
            '<|im_end|>\n<|im_start|>user\nLook<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{"name": '
            '"read", "arguments": {"path": "a"}}\n'
            "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nx = 1\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\nIt is 1.<|im_end|>"
        },
        "text",
        {"messages": [system("S"), *LOOK], "tools": [READ, GREP]},
    ),
    (
        "glaive",
        {
            "system": (
                f"SYSTEM: You are a helpful assistant with access to the following functions. Use them if "
                f"required -\n{FUNCTION}\n{json.dumps(GREP['function'])}\n"
            ),
            "chat": 'USER: Look\n\n\nASSISTANT: <functioncall> {"name": "read", "arguments": \'{"path": "a"}\'} '
            "<|endoftext|>\n\n\n"
            "FUNCTION RESPONSE: x = 1\n\n\nASSISTANT: It is 1. <|endoftext|>\n\n\n",
        },
        "glaive",
        {"messages": [system("You are a helpful assistant"), *LOOK], "tools": [READ, GREP]},
    ),
    (
        "glaive without functions, on lines",
        {"system": "SYSTEM: You have no functions.", "chat": "USER: Hi\nASSISTANT: Hello."},
        "glaive",
        {"messages": [system("You have no functions."), *HI]},
    ),
    (
        "glaive keeps a label within an answer",
        {"chat": "USER: Hi\n\n\nASSISTANT: A script:\nUSER: hey\nASSISTANT: ho <|endoftext|>\n\n\nUSER: Ta"},
        "glaive",
        {"messages": turns("Hi", "A script:\nUSER: hey\nASSISTANT: ho", "Ta")},
    ),
    (
        "glaive in messages",
        {
            "messages": [
                system(
                    f"SYSTEM: You are a helpful assistant with access to the following functions. Use them if "
                    f"required -\n{FUNCTION}\n"
                ),
                user("Look"),
                assistant(
                    'Wait. <functioncall> {"name": "read", "arguments": \'{"path": "a"}\'} <|endoftext|>\n\n\n'
                    'FUNCTION RESPONSE: {"lyrics": "The'
                ),
            ]
        },
        "glaive",
        {
            "messages": [
                system("You are a helpful assistant"),
                user("Look"),
                assistant("Wait.", ("read", {"path": "a"})),
                result('{"lyrics": "The'),
            ],
            "tools": [READ],
        },
    ),
    (
        "glaive with an apostrophe in the arguments",
        {
            "messages": [
                user("Look"),
                assistant('<functioncall> {"name": "say", "arguments": \'{"text": "it\'s a cat\'s"}\'}'),
            ]
        },
        "glaive",
        with_calls("", ("say", {"text": "it's a cat's"})),
    ),
    (
        "glaive with an escaped apostrophe",
        {"messages": [user("Look"), assistant('<functioncall> {"name": "say", "arguments": \'{"text": "it\\\'s"}\'}')]},
        "glaive",
        with_calls("", ("say", {"text": "it's"})),
    ),
    (
        "glaive with arguments as an object",
        {
            "messages": [
                user("Look"),
                assistant('<functioncall> {"name": "say", "arguments": {"text": "a"}} <|endoftext|>'),
            ]
        },
        "glaive",
        with_calls("", ("say", {"text": "a"})),
    ),
]
