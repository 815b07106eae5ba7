"""Dialect: a way to write a conversation down; all of them normalised to one, OpenAI chat.

`{"messages": [...], "tools": [...], ...}` with the roles system, user, assistant and tool; calls as
`{"id", "type": "function", "function": {"name", "arguments": JSON text}}`; results as `tool` messages with `tool_call_id`.
Keys that belong to no dialect are kept as they are.

    messages            role and content; also under conversation or conversations
    sharegpt            conversations with from and value; tools as JSON text
    alpaca              instruction, input, output; system and history if there are any
    prompt-completion   also prompt and response, question and answer ...; a side may be a list of messages
    text                ChatML becomes its messages, any other text one assistant message (`mask = "all"` trains on it)
    glaive              system and chat, or its texts in messages: SYSTEM:, <functioncall>, FUNCTION RESPONSE:
    hermes qwen3-coder fenced-json code-mode       messages whose calls stand in the text, see calls_in_text.py

Calls without an id are call_1, call_2 ... in the order of the conversation. Results without one answer the waiting calls in
order; fewer results than calls is an error, none at all is not. Words around a call stay as the content of its message.

To add a container: a row in `_KEYS` and a function in `_OPENERS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.calls_in_text import (
    MARKUPS,
    MEND,
    Around,
    Call,
    Reading,
    arguments_of,
    calls_of,
    is_result,
    read,
    results,
    value_at,
    value_of,
)

NAMES = (
    "messages",
    "sharegpt",
    "alpaca",
    "prompt-completion",
    "text",
    "glaive",
    "hermes",
    "qwen3-coder",
    "fenced-json",
    "code-mode",
)
_LISTS = ("messages", "conversation", "conversations")
_PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"), ("query", "response"))
_KEYS = (
    ("glaive", ("chat",)),
    ("alpaca", ("instruction", "output")),
    *(("prompt-completion", pair) for pair in _PAIRS),
    ("text", ("text",)),
)
_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
}
_READ_WITHIN = {"messages": ()} | {name: (name,) for name in MARKUPS}


class _Chat(Struct):
    """A container opened: its turns as they stand, declared tools, keys that are not its own, the number of its first turn."""

    turns: list[Any]
    rest: dict[str, Any]
    tools: Any = None
    first: int = 1


# --- the interface


def detect(record: dict[str, Any]) -> str:
    """The name of the record's dialect. Raises ValueError if none fits."""
    container = _container(record)
    if container != "messages" or _is_normal(record):
        return container
    chat = _OPENERS[container](record)
    writer = _Writer(chat, frozenset(MARKUPS))
    with suppress(ValueError):  # a call that cannot be read is normalise's to tell
        writer.write()
    return writer.markup or container


def normalise(record: dict[str, Any], dialect: str = "auto") -> dict[str, Any]:
    """The record in the one form: the same object if it already is, else a new one. Raises ValueError with a reason.

    A dialect's name restricts: a container's name to that container, a markup's to calls in that markup, and `messages`
    takes no text for a call. `auto` reads them all.
    """
    if dialect != "auto" and dialect not in NAMES:
        raise ValueError(f"no dialect '{dialect}' - use auto or one of {', '.join(NAMES)}")
    container = _container(record)
    if dialect not in ("auto", container) and (dialect not in MARKUPS or container == "glaive"):
        raise ValueError(f"not {dialect}: the keys are those of {container} - say dialect '{container}' or auto")
    if container == "messages" and _is_normal(record):
        return record
    chat = _OPENERS[container](record)
    mark = next((mark for mark in _FOREIGN if mark in record["text"]), None) if container == "text" else None
    if mark and dialect == "auto":
        raise ValueError(f"text holds {mark}, another chat template - bring messages, or say dialect 'text' to keep it")
    writer = _Writer(chat, frozenset(_READ_WITHIN.get(dialect, MARKUPS)))
    messages = writer.write()
    done = {"messages": messages} | ({"tools": list(writer.tools.values())} if writer.tools else {}) | chat.rest
    return record if done == record else done


def _container(record: Any) -> str:
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__}, not an object - one JSON object a line")
    for key in _LISTS:
        if isinstance(turns := record.get(key), list):
            return "sharegpt" if any(isinstance(turn, dict) and "from" in turn for turn in turns) else "messages"
    if record.get("messages") is not None:
        raise ValueError(f"messages is {type(record['messages']).__name__}, not a list - one object for each message")
    for name, keys in _KEYS:
        if all(key in record for key in keys):
            return name
    found = ", ".join(map(str, record)) or "none"
    raise ValueError(
        f"no dialect fits the keys {found} - bring messages, or the keys of one of {', '.join(NAMES[1:6])}"
    )


# --- what already is the one form

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TAKEN = {"conversation", "conversations", "functions", "system"}


def _is_normal(record: dict[str, Any]) -> bool:
    """Whether nothing is to be done, as far as that is quickly told: True is sure."""
    messages, tools = record.get("messages"), record.get("tools")
    return (
        isinstance(messages, list)
        and bool(messages)
        and not _TAKEN & record.keys()
        and (tools is None or (isinstance(tools, list) and all(_is_declared(tool) for tool in tools)))
        and all(_is_plain(message) for message in messages)
    )


def _is_declared(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "function" and isinstance(tool.get("function"), dict)


def _is_plain(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content, role = message.get("content"), message.get("role")
    calls = message.get("tool_calls")
    if not isinstance(content, str):
        return content is None and role == "assistant" and bool(calls) and _are_calls(calls)
    if role == "assistant":
        if calls:
            return _are_calls(calls)
        return not message.get("function_call") and not _may_call(content)
    if role == "user":
        return not is_result(content)
    if role == "tool":
        return isinstance(message.get("tool_call_id"), str)
    return role == "system" and "<tools>" not in content and not _glaive_prompt(content)


def _may_call(text: str) -> bool:
    fenced = "```" in text and ("arguments" in text or "parameters" in text)
    return fenced or "<tool_call>" in text or "<function" in text


def _are_calls(calls: Any) -> bool:
    try:
        for call in calls:
            if call["type"] != "function" or not isinstance(call["id"], str) or not call["function"]["name"]:
                return False
            if not _is_object(call["function"]["arguments"]):
                return False
    except (KeyError, TypeError):
        return False
    return isinstance(calls, list)


def _is_object(text: str) -> bool:
    """Whether it is the text of a JSON object."""
    try:
        _decode_object(text)
    except msgspec.MsgspecError:
        return False
    return True


# --- containers: their keys -> turns


def _open_messages(record: dict[str, Any]) -> _Chat:
    key = next(key for key in _LISTS if isinstance(record.get(key), list))
    own = (key, *(name for name in ("tools", "functions") if record.get(name)))
    rest = {name: value for name, value in record.items() if name not in own}
    if not record[key]:
        raise ValueError("no messages - a conversation needs at least one")
    chat = _Chat(record[key], rest, _one_of(record, "tools", "functions"))
    if isinstance(prompt := rest.get("system"), str):
        del rest["system"]
        if prompt.strip():
            chat.turns, chat.first = [{"role": "system", "content": prompt}, *chat.turns], 0
    return chat


def _open_alpaca(record: dict[str, Any]) -> _Chat:
    parts = {key: _said(record, key) for key in ("system", "instruction", "input", "output")}
    asked = "\n".join(part for part in (parts["instruction"], parts["input"]) if part)
    if not asked:
        raise ValueError(f"instruction and input are empty - {MEND}")
    history = record.get("history") or []
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise ValueError("history is no list of [question, answer] pairs - make it one")
    said = [side for pair in history for side in pair] + [asked, parts["output"]]
    turns = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(said)]
    return _beside(record, turns, "instruction", "input", "output", "history")


def _open_pair(record: dict[str, Any]) -> _Chat:
    asked, answered = next(pair for pair in _PAIRS if all(key in record for key in pair))
    for key in ("context", "input", "history"):
        if record.get(key):
            raise ValueError(f"'{key}' beside {asked} and {answered}: how to join them is not known - bring messages")
    turns: list[Any] = []
    for key, role in ((asked, "user"), (answered, "assistant")):
        side = record[key]
        turns += side if isinstance(side, list) else [{"role": role, "content": _said(record, key)}]
    return _beside(record, turns, asked, answered)


def _open_text(record: dict[str, Any]) -> _Chat:
    text = _said(record, "text")
    if _IM_START not in text:
        return _beside(record, [{"role": "assistant", "content": text}], "text")
    turns = []
    head, *pieces = re.sub(r"(?:\s*<\|endoftext\|>)+\s*\Z", "", text).split(_IM_START)
    if head.strip():
        raise ValueError(f"text before the first {_IM_START}: {head.strip()[:40]!r} - {MEND}")
    for number, piece in enumerate(pieces, 1):
        role, _, content = piece.partition("\n")
        content, end, after = content.partition(_IM_END)
        if after.strip() or (not end and number < len(pieces)):
            raise ValueError(f"message {number} ({role}): no {_IM_END} at its end - {MEND}")
        turns.append({"role": role.strip(), "content": content})
    return _beside(record, turns, "text")


def _open_glaive(record: dict[str, Any]) -> _Chat:
    chat = _said(record, "chat")
    turns = _labelled(chat, "")
    if not turns:
        raise ValueError(f"chat has no 'USER:' or 'ASSISTANT:' - {MEND}")
    return _beside(record, turns, "chat")


def _beside(record: dict[str, Any], turns: list[Any], *own: str) -> _Chat:
    """A chat of these turns, with the system prompt and the tools that stand beside them."""
    rest = {key: value for key, value in record.items() if key not in (*own, "messages", "tools", "system")}
    if prompt := _said(record, "system"):
        turns = [{"role": "system", "content": prompt}, *turns]
    return _Chat(turns, rest, record.get("tools"), 0 if prompt else 1)


def _said(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {type(value).__name__}, not text - {MEND}")
    return value or ""


def _one_of(record: dict[str, Any], *keys: str) -> Any:
    found = [key for key in keys if record.get(key)]
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} both declare tools - keep one")
    return record[found[0]] if found else None


_OPENERS: dict[str, Callable[[dict[str, Any]], _Chat]] = {
    "messages": _open_messages,
    "sharegpt": _open_messages,
    "alpaca": _open_alpaca,
    "prompt-completion": _open_pair,
    "text": _open_text,
    "glaive": _open_glaive,
}
_IM_START, _IM_END = "<|im_start|>", "<|im_end|>"
_FOREIGN = ("<|start_header_id|>", "<start_of_turn>", "[INST]", "### Human:", "<|user|>")

# --- glaive's labels

_LABEL = r"(USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*"
_LABELS = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_APART = re.compile(rf"(?:\A\s*|\n[ \t]*\n\s*|<\|endoftext\|>\s*){_LABEL}")
_AT_LINES = re.compile(rf"(?:\A\s*|\n\s*){_LABEL}")
_SYSTEM = re.compile(r"\s*(?:SYSTEM:\s*)+")
_GLAIVE = re.compile(r"[\s,]*with access to the following functions\.?\s*Use them if required\s*-?\s*(?=\{)")
_EOT = re.compile(r"(?:\s*<\|endoftext\|>)+\s*\Z")


def _glaive_prompt(text: str) -> bool:
    announces = "Use them if required" in text and _GLAIVE.search(text) is not None
    return announces or _SYSTEM.match(text) is not None


def _labelled(text: str, role: str) -> list[dict[str, Any]]:
    """The turns of a text with labels. Labels stand after blank lines, or, if that gives no second turn, at line starts."""
    pieces = _APART.split(text)
    if len(pieces) <= 3:
        pieces = _AT_LINES.split(text)
    if pieces[0].strip() and not role:
        raise ValueError(f"chat starts with {pieces[0].strip()[:40]!r}, not with a label - {MEND}")
    turns = [{"role": role, "content": pieces[0]}] if role and pieces[0].strip() else []
    turns += [{"role": _LABELS[label], "content": said} for label, said in zip(pieces[1::2], pieces[2::2], strict=True)]
    return [turn | {"content": _EOT.sub("", turn["content"]).rstrip()} for turn in turns]


# --- declarations


def _declarations(value: Any) -> list[dict[str, Any]]:
    """Tools in OpenAI's form, from a list of them, of bare functions, or its JSON text."""
    if isinstance(value, str):
        value = value_of(value) if value.strip() else []
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list of tools belongs")
    return [_declaration(item) for item in value]


def _declaration(item: Any) -> dict[str, Any]:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"a tool without a name: {json.dumps(item)[:60]}")
    if function is not item:
        return item if "type" in item else {"type": "function", **item}
    return {
        "type": "function",
        "function": {key: value for key, value in item.items() if (key, value) != ("type", "function")},
    }


def _in_a_row(text: str) -> tuple[list[Any], str]:
    """The JSON values at the start of a text, and what follows them."""
    found: list[Any] = []
    at = 0
    while opening := _NEXT_VALUE.match(text, at):
        value, at = value_at(text, opening.end())
        found += value if isinstance(value, list) else [value]
    return found, text[at:].strip()


_NEXT_VALUE = re.compile(r"[\s,]*(?=[{\[])")
_TOOLS = r"<tools>(?!\s*</tools>)(.*?)</tools>"
_PROMPTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (  # as Qwen's templates write them: the next template writes its own
        r"\s*# Tools\n\nYou may call one or more functions[^<]*<tools></tools> XML tags:\n"
        + _TOOLS
        + r"\n\nFor each function call, return a json object[^<]*<tool_call></tool_call> XML tags:\n<tool_call>\n[^\n]*\n</tool_call>",
        r"\s*# Tools\n\nYou have access to the following (?:functions|tools):\n\n"
        + _TOOLS
        + r"\n\nIf you choose to call a function ONLY reply.*?</IMPORTANT>",
        _TOOLS,
    )
)


def _declared(prompt: str, markups: frozenset[str]) -> tuple[list[dict[str, Any]], str]:
    """The tools a system prompt declares, and the prompt without them and without the wording that announces them."""
    if "glaive" in markups and (announced := _GLAIVE.search(prompt)):
        tools, after = _in_a_row(prompt[announced.end() :])
        return [_declaration(tool) for tool in tools], "\n\n".join(filter(None, (prompt[: announced.start()], after)))
    found: list[dict[str, Any]] = []
    for pattern in _PROMPTS if "<tools>" in prompt and markups & {"hermes", "qwen3-coder", "code-mode"} else ():
        while (block := pattern.search(prompt)) and block[1].strip()[0] in "{[<":
            found += _block(block[1].strip())
            prompt = (prompt[: block.start()].rstrip() + "\n\n" + prompt[block.end() :].lstrip()).strip()
    return found, prompt


def _block(text: str) -> list[dict[str, Any]]:
    if text.startswith("<"):
        return [_from_xml(body) for body in re.findall(r"<function>(.*?)</function>", text, re.DOTALL)]
    try:
        tools, after = _in_a_row(text)
    except ValueError:
        tools, after = _declarations(text), ""
    if after:
        raise ValueError(f"more than tools within <tools>: {after[:40]!r}")
    return [_declaration(tool) for tool in tools]


def _from_xml(body: str) -> dict[str, Any]:
    """A tool as the template of Qwen3-Coder writes it."""
    head, _, tail = body.partition("<parameters>")
    inner, _, tail = tail.rpartition("</parameters>")
    properties = {}
    for fields in re.findall(r"<parameter>(.*?)</parameter>", inner, re.DOTALL):
        schema = _fields(fields)
        properties[schema.pop("name")] = schema
    parameters = {"type": "object", "properties": properties} | _fields(
        re.sub(r"<parameter>.*</parameter>", "", inner, flags=re.DOTALL)
    )
    return _declaration(_fields(head) | {"parameters": parameters} | _fields(tail))


def _fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in re.findall(r"<(\w+)>(.*?)</\1>", text, re.DOTALL):
        as_text = key in ("name", "description") or (key == "type" and not value.startswith("["))
        found[key] = value if as_text else value_of(value)
    return found


# --- the conversation written anew


class _Turn(Struct):
    """A message as far as it is known: `role` is one of ours or `call`, for what ShareGPT calls function_call."""

    where: str
    role: str
    message: dict[str, Any]

    @property
    def content(self) -> str:
        return self.message.get("content") or ""

    def says_glaive(self) -> bool:
        if self.role == "system":
            return _glaive_prompt(self.content)
        return self.role == "assistant" and _FUNCTIONCALL.search(self.content) is not None

    def parts(self) -> list[_Turn]:
        """A turn of glaive without its labels and end-of-text marks: an assistant's may hold the result, too."""
        if self.role == "system":
            return [_Turn(self.where, self.role, self.message | {"content": _SYSTEM.sub("", self.content, count=1)})]
        if self.role == "assistant" and "FUNCTION RESPONSE:" in self.content:
            first, *others = _labelled(self.content, "assistant")
            return [_Turn(self.where, turn["role"], turn) for turn in (self.message | first, *others)]
        if self.role in ("assistant", "tool") and _EOT.search(self.content):
            return [_Turn(self.where, self.role, self.message | {"content": _EOT.sub("", self.content)})]
        return [self]


_FUNCTIONCALL = re.compile(r"^\s*<functioncall>|<functioncall>\s*\{", re.MULTILINE)


def _turn(raw: Any, number: int) -> _Turn:
    if not isinstance(raw, dict):
        raise ValueError(f"message {number}: {type(raw).__name__}, not an object - {MEND}")
    said = raw.get("role", raw.get("from"))
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise ValueError(f"message {number}: unknown role {said!r} - use system, user, assistant or tool")
    where = f"message {number} ({said})"
    key = "content" if "content" in raw else "value"
    message = {"role": role, "content": _words(raw.get(key), role, where)}
    if message["content"] is None:
        if not raw.get("tool_calls") and not raw.get("function_call"):
            others = ", ".join(name for name in raw if name not in ("role", "from", key)) or "nothing"
            raise ValueError(f"{where}: no content, but {others} - give it a content or leave the row out")
        if key not in raw:
            del message["content"]
    return _Turn(where, role, message | {name: raw[name] for name in raw if name not in ("role", "from", key)})


def _words(content: Any, role: str, where: str) -> str | None:
    """Content as text: its parts one after another; a tool's object as JSON."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return "".join(str(text) for text in texts)
    if role in ("tool", "call"):
        return _json(content)
    raise ValueError(f"{where}: content is {type(content).__name__} and not only text - {MEND}")


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"half a surrogate pair in {text[:40]!a} - {MEND}") from None
    return text


class _Writer:
    """Turns in, messages out: gives calls their ids, and results the ids of the calls they answer."""

    def __init__(self, chat: _Chat, markups: frozenset[str]) -> None:
        self.markups = markups
        self.messages: list[dict[str, Any]] = []
        self.tools: dict[str, dict[str, Any]] = {}
        self.waiting: list[str] = []  # ids of calls without a result
        self.half_answered = False
        self.markup: str | None = None
        self.turns = [_turn(turn, number) for number, turn in enumerate(chat.turns, chat.first)]
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
            self._declare(_declarations(chat.tools or []))
        except ValueError as problem:
            raise ValueError(f"tools: {problem} - {MEND}") from None

    def write(self) -> list[dict[str, Any]]:
        followers: list[_Turn | None] = [*self.turns[1:], None]
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

    def _system(self, turn: _Turn, _: _Turn | None) -> None:
        self._move_on()
        tools, prompt = _declared(turn.content, self.markups)
        self._declare(tools)
        if prompt or not tools:
            self.messages.append(turn.message | ({"content": prompt} if tools else {}))

    def _user(self, turn: _Turn, _: _Turn | None) -> None:
        if not (self.waiting and self.markups and is_result(turn.content)):
            self._move_on()
            self.messages.append(turn.message)
            return
        texts, words = results(turn.content, len(self.waiting))
        self._answer(texts, turn.message)
        if words:
            self._move_on()
            self.messages.append(turn.message | {"content": words})

    def _assistant(self, turn: _Turn, follower: _Turn | None) -> None:
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

    def _read(self, turn: _Turn, follower: _Turn | None) -> Reading:
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

    def _call(self, turn: _Turn, _: _Turn | None) -> None:
        """A turn that is nothing but calls belongs to the assistant's turn before it, if there is one."""
        calls = calls_of(value_of(turn.content))
        last = self.messages[-1] if self.messages else {}
        if last.get("role") == "assistant" and turn.message.keys() == {"role", "content"}:
            written = [*(last.get("tool_calls") or ()), *self._calling(calls)["tool_calls"]]
            self.messages[-1] = last | {"tool_calls": written}
            return
        self._move_on()
        self.messages.append(turn.message | {"role": "assistant", "content": ""} | self._calling(calls))

    def _tool(self, turn: _Turn, _: _Turn | None) -> None:
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
        function = {"name": name, "arguments": _json(arguments)}
        return {"id": self.waiting[-1], "type": "function", "function": function}

    def _structured(self, call: Any) -> dict[str, Any]:
        """A call that is an object already, in any of the spellings around: flat, without id, with arguments as object."""
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise ValueError(f"a call without a name: {json.dumps(call)[:60]}")
        text = function.get("arguments")
        if not isinstance(text, str) or not _is_object(text):
            text = _json(arguments_of(text))
        name = str(call["id"]) if call.get("id") not in (None, "") else self._new_id()
        self.waiting.append(name)
        if function is call:
            others = {key: value for key, value in call.items() if key not in ("id", "type", "name", "arguments")}
            function, call = {"name": call["name"]}, others
        return {**call, "id": name, "type": "function", "function": {**function, "arguments": text}}
