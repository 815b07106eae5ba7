"""Filters that test the structure of a conversation: number of messages and tokens, roles, tool calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from punie_build.data.chat_template import token_counter, tokenizer_digest
from punie_build.data.example import Example, Function
from punie_build.data.filters.filter import Filter, FilterContext, ScoredFilter
from punie_build.data.json_schema import JSON_TYPES


class MinMessages(Filter, frozen=True, kw_only=True, tag="min-messages"):
    """Keep examples with at least `messages` messages."""

    messages: Annotated[int, Meta(ge=1)] = 2

    def keep(self, example: Example) -> bool:
        return len(example.messages) >= self.messages


class MaxMessages(Filter, frozen=True, kw_only=True, tag="max-messages"):
    """Keep examples with at most `messages` messages."""

    messages: Annotated[int, Meta(ge=1)] = 50

    def keep(self, example: Example) -> bool:
        return len(example.messages) <= self.messages


class TokenCountFilter(ScoredFilter, frozen=True, kw_only=True):
    """A filter on the number of tokens, by the chat template and tokenizer of `base`.

    A row that the template refuses has no number. It cannot be trained on, and is dropped.
    """

    PACKAGES: ClassVar = ("transformers",)
    tokens: Annotated[int, Meta(ge=1)]
    base: str

    def input_digest(self, context: FilterContext) -> str:
        return tokenizer_digest(context.bases[self.base])

    def scorer(self, context: FilterContext) -> Callable[[Example], int | None]:
        count = token_counter(context.bases[self.base])

        def score(example: Example) -> int | None:
            try:
                return count(example)
            except (ValueError, msgspec.DecodeError, RecursionError):
                return None

        return score


class MinTokens(TokenCountFilter, frozen=True, kw_only=True, tag="min-tokens"):
    """Keep examples with at least `tokens` tokens, by the chat template of `base`."""

    def accepts(self, score: Any) -> bool:
        return score is not None and score >= self.tokens


class MaxTokens(TokenCountFilter, frozen=True, kw_only=True, tag="max-tokens"):
    """Keep examples with at most `tokens` tokens, by the chat template of `base`.

    Training cuts longer rows at `max_seq_length`, which removes the end of the answer.
    """

    def accepts(self, score: Any) -> bool:
        return score is not None and score <= self.tokens


class ContentQuality(Filter, frozen=True, kw_only=True, tag="content-quality"):
    """Keep examples in which every message has at least `min_chars` characters or a tool call; results may be empty.

    The default is one character, because short answers such as `Line 20` can be right.
    """

    min_chars: Annotated[int, Meta(ge=1)] = 1

    def keep(self, example: Example) -> bool:
        min_chars = self.min_chars
        for message in example.messages:
            text = message.content
            if (not text or len(text.strip()) < min_chars) and not message.tool_calls and message.role != "tool":
                return False
        return True


class EndsWithAssistant(Filter, frozen=True, kw_only=True, tag="ends-with-assistant"):
    """Keep examples whose last message is the assistant's: a question without an answer has no token to train on."""

    def keep(self, example: Example) -> bool:
        return example.messages[-1].role == "assistant"


class ValidTools(Filter, frozen=True, kw_only=True, tag="valid-tools"):
    """Keep examples whose calls match the declarations of their tools, and whose results have the id of a call.

    A call must have a declared name and arguments that are a JSON object, with every required argument, with no
    unknown argument if the declaration forbids them, and with values of the declared types. In rows without declared
    tools only the arguments are checked.
    """

    def keep(self, example: Example) -> bool:
        functions = [tool.get("function", tool) for tool in example.tools or ()]
        declared = {_function_name(function): function for function in functions}
        call_ids = {call.id for message in example.messages for call in message.tool_calls or () if call.id}
        result_ids = {message.tool_call_id for message in example.messages if message.tool_call_id}
        return result_ids <= call_ids and all(_matches(call, declared) for call in example.calls())


def _function_name(function: Any) -> str | None:
    """Return the name in a declaration, None if the value is not a declaration."""
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _matches(call: Function, declared: dict[str | None, dict[str, Any]]) -> bool:
    """Return whether a call matches the declaration of its tool."""
    try:
        arguments = msgspec.json.decode(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except (msgspec.DecodeError, RecursionError):
        return False
    if not isinstance(arguments, dict) or (declared and call.name not in declared):
        return False
    schema = _object(declared.get(call.name), "parameters")
    properties, required = _object(schema, "properties"), schema.get("required")
    if isinstance(required, list) and not all(name in arguments for name in required if isinstance(name, str)):
        return False
    if schema.get("additionalProperties") is False and not set(arguments) <= set(properties):
        return False
    return all(_has_type(value, properties.get(name)) for name, value in arguments.items())


def _object(parent: dict[str, Any] | None, key: str) -> dict[str, Any]:
    """Return the object under a key; an empty one if the value is missing or has another type."""
    value = (parent or {}).get(key)
    return value if isinstance(value, dict) else {}


def _has_type(value: Any, schema: Any) -> bool:
    """Return whether a value has the declared type. True if the schema declares no simple type."""
    declared = schema.get("type") if isinstance(schema, dict) else None
    names = [declared] if isinstance(declared, str) else declared if isinstance(declared, list) else []
    types = [kind for name in names for kind in JSON_TYPES.get(str(name), (object,))]
    if isinstance(value, bool):
        return not types or bool in types or object in types
    return not types or isinstance(value, tuple(types))
