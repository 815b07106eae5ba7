"""Filters on what a conversation is made of: its messages, roles and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from punie_build.data.chat_template import counter, identity
from punie_build.data.example import Example, Function
from punie_build.data.filters.filter import Context, Filter, Scored


class MinMessages(Filter, frozen=True, kw_only=True, tag="min-messages"):
    """Keep examples of at least `messages` messages."""

    messages: Annotated[int, Meta(ge=1)] = 2

    def keep(self, example: Example) -> bool:
        return len(example.messages) >= self.messages


class MaxMessages(Filter, frozen=True, kw_only=True, tag="max-messages"):
    """Keep examples of at most `messages` messages."""

    messages: Annotated[int, Meta(ge=1)] = 50

    def keep(self, example: Example) -> bool:
        return len(example.messages) <= self.messages


class Counted(Scored, frozen=True, kw_only=True):
    """A filter by the number of `tokens`, as the chat template and the tokenizer of `base` make them. A row that the template
    refuses has no number: it could not be trained on, and is dropped."""

    TOOLS: ClassVar = ("transformers",)
    tokens: Annotated[int, Meta(ge=1)]
    base: str

    def reads(self, context: Context) -> str:
        return identity(context.bases[self.base])

    def scorer(self, context: Context) -> Callable[[Example], int | None]:
        count = counter(context.bases[self.base])

        def score(example: Example) -> int | None:
            try:
                return count(example)
            except (ValueError, msgspec.DecodeError, RecursionError):
                return None

        return score


class MinTokens(Counted, frozen=True, kw_only=True, tag="min-tokens"):
    """Keep examples of at least `tokens` tokens, by the chat template of `base`."""

    def decide(self, score: Any) -> bool:
        return score is not None and score >= self.tokens


class MaxTokens(Counted, frozen=True, kw_only=True, tag="max-tokens"):
    """Keep examples of at most `tokens` tokens, by the chat template of `base`.

    Training cuts longer rows at `max_seq_length`, and with them the answer that was to be learnt.
    """

    def decide(self, score: Any) -> bool:
        return score is not None and score <= self.tokens


class ContentQuality(Filter, frozen=True, kw_only=True, tag="content-quality"):
    """Keep examples in which every message says something: `min_chars` characters or a tool call.

    The default asks for one character: short answers such as `Line 20` are right answers.
    """

    min_chars: Annotated[int, Meta(ge=1)] = 1

    def keep(self, example: Example) -> bool:
        least = self.min_chars
        for message in example.messages:
            said = message.content
            if (not said or len(said.strip()) < least) and not message.tool_calls and message.role != "tool":
                return False
        return True


class EndsWithAssistant(Filter, frozen=True, kw_only=True, tag="ends-with-assistant"):
    """Keep examples whose last message is the assistant's: there is nothing to learn from a question alone."""

    def keep(self, example: Example) -> bool:
        return example.messages[-1].role == "assistant"


class ValidTools(Filter, frozen=True, kw_only=True, tag="valid-tools"):
    """Keep examples whose calls fit their declarations: a declared name, arguments that are a JSON object, all that are
    required, none that is unknown where the declaration forbids others, and of the declared type.

    Rows without declared tools are judged by their arguments alone. Every result answers a call that was made.
    """

    def keep(self, example: Example) -> bool:
        functions = [tool.get("function", tool) for tool in example.tools or ()]
        declared = {_name(function): function for function in functions}
        made = {call.id for message in example.messages for call in message.tool_calls or () if call.id}
        answered = {message.tool_call_id for message in example.messages if message.tool_call_id}
        return answered <= made and all(_fits(call, declared) for call in example.calls())


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _name(function: Any) -> str | None:
    """What a declaration calls its function; None for what is no declaration."""
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _fits(call: Function, declared: dict[str | None, dict[str, Any]]) -> bool:
    try:
        given = msgspec.json.decode(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except (msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(given, dict) or (declared and call.name not in declared):
        return False
    schema = _object(declared.get(call.name), "parameters")
    known, required = _object(schema, "properties"), schema.get("required")
    if isinstance(required, list) and not all(name in given for name in required if isinstance(name, str)):
        return False
    if schema.get("additionalProperties") is False and not set(given) <= set(known):
        return False
    return all(_typed(value, known.get(name)) for name, value in given.items())


def _object(holder: dict[str, Any] | None, key: str) -> dict[str, Any]:
    """The object under a key; an empty one for anything else that a data set wrote there."""
    value = (holder or {}).get(key)
    return value if isinstance(value, dict) else {}


def _typed(value: Any, schema: Any) -> bool:
    """Whether a value has a declared type; what is not declared, or in no simple way, fits."""
    wanted = schema.get("type") if isinstance(schema, dict) else None
    names = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else []
    types = [kind for name in names for kind in _TYPES.get(str(name), (object,))]
    if isinstance(value, bool):
        return not types or bool in types or object in types
    return not types or isinstance(value, tuple(types))
