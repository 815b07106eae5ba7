"""Records of other shapes, rewritten to keys that a container knows: one function for each format.

To add a shape: a function from a record to the rewritten record, or None if the record has another shape; its name in
`_SHAPES`; a row in the table of `tests/unit/data/dialects/test_shapes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from punie_build.data.dialects.bfcl import bfcl, bfcl_tool
from punie_build.data.dialects.content_blocks import bedrock, convert_blocks, gemini_contents, responses_items
from punie_build.data.dialects.keys import SYSTEM_KEYS
from punie_build.data.dialects.openhands import openhands
from punie_build.data.dialects.python_calls import parse_calls
from punie_build.data.dialects.trajectory import trajectory
from punie_build.data.tool_call_markup.json_values import parse_value, parse_value_at
from punie_build.data.tool_call_markup.span import FIX_HINT

Record = dict[str, Any]
_LIST_KEYS = ("messages", "conversation", "conversations")
_OTHER_LIST_KEYS = ("turns", "dialog", "dialogue", "chat", "chat_history", "items")  # of messages with roles
_QUESTIONS = ("instruction", "question", "problem", "prompt", "query")
_ANSWERS = ("response", "solution", "answer", "completion", "canonical_solution", "output")
_RARE_QUESTIONS = ("inputs", "input_text", "user", "human")  # where no other key is a question
_RARE_ANSWERS = ("targets", "output_text", "assistant", "gpt", "bot")
_INPUTS = ("context", "input")
_NAMES = frozenset((*_LIST_KEYS, *_OTHER_LIST_KEYS, *_QUESTIONS, *_ANSWERS, *_INPUTS, *SYSTEM_KEYS, "text", "tools"))


def as_record(value: Any) -> Any:
    """Return a list of messages as a record with these messages, and any other value unchanged."""
    is_chat = isinstance(value, list) and all(
        isinstance(item, dict) and {"role", "from"} & item.keys() for item in value
    )
    return {"messages": value} if value and is_chat else value


def to_known_shape(record: Record) -> Record:
    """Return a record with the keys of a container: the same object if it has them already. Raises ValueError."""
    record = _with_lists(_with_known_names(record))
    prompt = next((key for key in SYSTEM_KEYS[1:] if isinstance(record.get(key), str)), None)
    if prompt and "system" not in record and not isinstance(record.get("messages"), list):
        record = {("system" if key == prompt else key): value for key, value in record.items()}
    for shape in (_toolace, _exchanges, _blocks) if _has_messages(record) else _SHAPES:
        try:
            known = shape(record)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            name = shape.__name__.strip("_")
            raise ValueError(
                f"its keys are those of {name}, but a part has another type: {error} - {FIX_HINT}"
            ) from None
        except ValueError as error:
            raise ValueError(str(error) if " - " in str(error) else f"{error} - {FIX_HINT}") from None
        if known is not None:
            return known
    return record


def _with_known_names(record: Record) -> Record:
    """Return a record whose known keys have no capitals and blanks (`Question`); the same object if no key has."""
    if not _NAMES.isdisjoint(record):
        return record
    names = {key: known for key in record if (known := key.strip().lower()) in _NAMES}
    if len(set(names.values())) < len(names):
        return record  # two spellings of one name
    return {names.get(key, key): value for key, value in record.items()} if names else record


def _with_lists(record: Record) -> Record:
    """Return a record whose messages are a list of objects under a known key; the same object if they are already.

    They may be JSON text, columns (`{"role": [...], "content": [...]}`), or stand under another key.
    """
    changed = {}
    for key in _LIST_KEYS:
        value = record.get(key)
        if isinstance(value, str) and value.lstrip()[:1] == "[":
            try:
                changed[key] = parse_value(value)
            except ValueError as error:
                raise ValueError(f"{key}: not JSON: {error} - write the list as JSON text") from None
        elif isinstance(value, dict) and (messages := _rows_of(value)):
            changed[key] = messages
    if changed or any(isinstance(record.get(key), list) for key in _LIST_KEYS):
        return record | changed if changed else record
    if other := next((key for key in _OTHER_LIST_KEYS if as_record(record.get(key)) is not record.get(key)), None):
        return {"messages": record[other], **_others(record, other, "messages")}
    return record


def _rows_of(columns: Record) -> list[Record] | None:
    """Return the objects whose keys have the values of equally long lists, as `datasets` stores a list of objects."""
    lists = list(columns.values())
    if not {"role", "from"} & columns.keys() or not all(isinstance(column, list) for column in lists):
        return None
    if len({len(column) for column in lists}) > 1:
        raise ValueError("messages as columns of different lengths - write one object for each message")
    return [
        {key: value for key, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*lists, strict=True)
    ]


def _has_messages(record: Record) -> bool:
    return any(isinstance(record.get(key), list) and record[key] for key in _LIST_KEYS)


def _others(record: Record, *own_keys: str) -> Record:
    return {key: value for key, value in record.items() if key not in own_keys}


def _blocks(record: Record) -> Record | None:
    """Anthropic's and Bedrock's content blocks, and parts of type reasoning and tool_call."""
    known = bedrock(record)
    key = next((key for key in _LIST_KEYS if isinstance(record.get(key), list)), None)
    if key is None:
        return None
    messages = convert_blocks(record[key])
    tools = [_anthropic_tool(tool) for tool in known["tools"]] if isinstance(known.get("tools"), list) else None
    if messages is record[key] and tools == record.get("tools"):
        return _logged(record)
    return {**known, key: messages} | ({"tools": tools} if tools is not None else {})


def _anthropic_tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or "input_schema" not in tool:
        return tool
    return {("parameters" if key == "input_schema" else key): value for key, value in tool.items()}


def _logged(record: Record) -> Record | None:
    """Messages beside the `choices` of an answer, or beside a `response` that has them, as API logs write it."""
    response = record.get("response")
    choices = record.get("choices", response.get("choices") if isinstance(response, dict) else None)
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    if len(choices) > 1:
        raise ValueError(f"{len(choices)} choices: which of them to learn is unknown - keep one")
    if not isinstance(message := choices[0].get("message"), dict):
        raise ValueError(f"choices without a message - {FIX_HINT}")
    return {"messages": [*record["messages"], message], **_others(record, "messages", "choices", "response")}


def _batch(record: Record) -> Record | None:
    """A line of a batch or of a log: the request under `body` or `request`, the answer under `response`."""
    request = record.get("body", record.get("request"))
    response = record.get("response")
    if request is None and "custom_id" in record and isinstance(response, dict):
        raise ValueError("a response without its request: its question is unknown - join the two files by custom_id")
    if not isinstance(request, dict) or _has_messages(record):
        return None
    answer = response.get("body", response) if isinstance(response, dict) else None
    if not isinstance(answer, dict):
        raise ValueError("a request without its response: there is nothing to learn - join the two files by custom_id")
    if any(isinstance(part, dict) and part.get("error") for part in (response, answer, record)):
        raise ValueError("the response is an error: there is nothing to learn - remove the row")
    keys = ("messages", "input", "instructions", "system", "tools", "contents", "systemInstruction")
    known = {key: request[key] for key in keys if key in request}
    ids = {"id": record["custom_id"]} if "custom_id" in record else {}
    if "choices" in answer and "messages" in known:
        return _blocks(known | {"choices": answer["choices"]} | ids)
    if "candidates" in answer and "contents" in known:
        return gemini_contents(known | {"candidates": answer["candidates"]} | ids)
    if "output" in answer:
        return responses_items(known | {"output": answer["output"]} | ids)
    if isinstance(answer.get("content"), list) and "messages" in known:
        reply = {"role": "assistant", "content": answer["content"]}
        return _blocks(known | {"messages": [*known["messages"], reply]} | ids)
    return None


def _of_agent(record: Record) -> Record | None:
    """The messages of an agent under a key of its own, with blocks of any kind."""
    if isinstance(record.get("history"), list) and any(pair <= record.keys() for pair in _KNOWN_PAIRS):
        return None  # the turns before a question
    known = trajectory(record)
    return known and (_blocks(known) or known)


def _ultrachat(record: Record) -> Record | None:
    """Texts of user and assistant in turn, under `data`."""
    texts = record.get("data")
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        return None
    turns = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    return {"messages": turns, **_others(record, "data")}


def _xlam(record: Record) -> Record | None:
    """xLAM: `query`, `tools` and `answers`, of which the last two are JSON text."""
    if not isinstance(record.get("query"), str) or not ({"answers", "tools"} <= record.keys()):
        return None
    tools, answers = (parse_value(v) if isinstance(v := record[key], str) else v for key in ("tools", "answers"))
    if not isinstance(tools, list) or not isinstance(answers, list):
        raise ValueError(f"tools or answers are not a list - {FIX_HINT}")
    messages = [
        {"role": "user", "content": record["query"]},
        {"role": "assistant", "content": "", "tool_calls": answers},
    ]
    return {
        "messages": messages,
        "tools": [_with_schema(tool) for tool in tools],
        **_others(record, "query", "tools", "answers"),
    }


def _with_schema(tool: Any) -> Any:
    """Return a tool whose parameters are JSON Schema; xLAM writes the properties only, some of them as optional."""
    if not isinstance(tool, dict) or not isinstance(parameters := tool.get("parameters"), dict):
        return tool
    if "properties" in parameters or parameters.get("type") == "object":
        return tool
    required = [
        name for name, schema in parameters.items() if isinstance(schema, dict) and schema.get("required") is True
    ]
    schemas = {
        name: {key: value for key, value in schema.items() if key != "required"} if isinstance(schema, dict) else schema
        for name, schema in parameters.items()
    }
    return {**tool, "parameters": {"type": "object", "properties": schemas, "required": required}}


def _toolace(record: Record) -> Record | None:
    """ToolACE: tools as JSON in the system prompt, calls as `[name(key=value)]`."""
    prompt = record.get("system")
    if not isinstance(prompt, str) or not isinstance(turns := record.get("conversations"), list):
        return None
    start = prompt.find("[{")
    if start < 0 or "list of functions" not in prompt[:start]:
        return None
    tools, _ = parse_value_at(prompt, start)
    known = [_toolace_turn(turn) for turn in turns]
    head = prompt[:start].rstrip()
    head = head[: head.rfind("Here is a list of functions")].strip() if "Here is a list of functions" in head else head
    tools = [bfcl_tool({k: v for k, v in tool.items() if k != "required" or v is not None}) for tool in tools]
    return {"system": head, "conversations": known, "tools": tools, **_others(record, "system", "conversations")}


def _toolace_turn(turn: Any) -> Any:
    text = turn.get("value") if isinstance(turn, dict) else None
    if isinstance(text, str) and turn.get("from") == "assistant" and (calls := parse_calls(text)):
        return {"role": "assistant", "content": "", "tool_calls": calls}
    if isinstance(text, str):
        return {"role": turn.get("from"), "content": text} | _others(turn, "from", "value")
    return turn


def _exchanges(record: Record) -> Record | None:
    """Rounds that are objects: of `human` and `assistant` as in Firefly, of `input` and `output` as in XTuner."""
    key = next((key for key in _LIST_KEYS if isinstance(record.get(key), list)), "")
    for question, answer in (("human", "assistant"), ("input", "output")):
        if all(isinstance(turn, dict) and {question, answer} <= turn.keys() for turn in record[key]):
            turns: list[Record] = []
            for turn in record[key]:
                turns += [{"role": "system", "content": turn["system"]}] if turn.get("system") else []
                turns.append({"role": "user", "content": turn[question]})
                others = _others(turn, "system", question, answer)
                turns.append({"role": "assistant", "content": turn[answer], **others})
            return {**record, key: turns}
    return None


def _pair(record: Record) -> Record | None:
    """A question and its answer under other names: Dolly, GPTeacher, OpenOrca, KodCode, Magicoder, HumanEval."""
    if _has_messages(record) or {"instruction", "output"} <= record.keys() or "chat" in record:
        return None
    questions = _texts(record, _QUESTIONS) or _texts(record, _RARE_QUESTIONS)
    questions = [key for key in questions if record[key].strip()]
    answers = _texts(record, _ANSWERS) or _texts(record, _RARE_ANSWERS)
    if not questions and answers == ["output"]:
        questions = _texts(record, ("input",))
    if len(questions) != 1 or len(answers) != 1:
        is_known = "text" in record or any(pair <= record.keys() for pair in _KNOWN_PAIRS)
        if questions and len(answers) > 1 and not is_known:
            raise ValueError(
                f"{' and '.join(answers)} beside {questions[0]}: which of them to learn is unknown - name it: columns ="
                f' {{ {questions[0]} = "user", {answers[0]} = "assistant" }}'
            )
        return None
    question, answer = questions[0], answers[0]
    if question == "instruction":
        inputs = [key for key in _INPUTS if record.get(key)]
        if len(inputs) > 1:
            raise ValueError(f"{' and '.join(inputs)} beside instruction: their order is unknown - use `columns`")
        known = {
            "instruction": record[question],
            "input": record[inputs[0]] if inputs else "",
            "output": record[answer],
        }
        return {**known, **_others(record, question, answer, *_INPUTS)}
    if {question, answer} in _KNOWN_PAIRS:
        return None
    return {"prompt": record[question], "completion": record[answer], **_others(record, question, answer)}


def _texts(record: Record, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if isinstance(record.get(key), str)]


_KNOWN_PAIRS = [{"prompt", "completion"}, {"prompt", "response"}, {"question", "answer"}, {"query", "response"}]
_SHAPES = (_batch, openhands, _of_agent, gemini_contents, responses_items, _ultrachat, _xlam, bfcl, _pair)
