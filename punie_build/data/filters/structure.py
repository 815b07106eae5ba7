"""Filters that test the structure of a conversation: number of messages and tokens, roles, tool calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from punie_build.data.double_keys import double_key
from punie_build.data.example import Example, Function
from punie_build.data.filters.filter import Filter, FilterContext, ScoredFilter


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

    PACKAGES: ClassVar = ("mlx-lm", "transformers")
    tokens: Annotated[int, Meta(ge=1)]
    base: str

    def input_digest(self, context: FilterContext) -> str:
        from punie_build.data.chat_template import tokenizer_digest

        return tokenizer_digest(context.bases[self.base])

    def scorer(self, context: FilterContext) -> Callable[[Example], int | None]:
        from punie_build.data.chat_template import token_counter

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
            if (text is None or len(text.strip()) < min_chars) and not message.has_calls and message.role != "tool":
                return False
        return True


class EndsWithAssistant(Filter, frozen=True, kw_only=True, tag="ends-with-assistant"):
    """Keep examples whose last message is the assistant's: a question without an answer has no token to train on."""

    def keep(self, example: Example) -> bool:
        return example.messages[-1].role == "assistant"


class ValidTools(Filter, frozen=True, kw_only=True, tag="valid-tools"):
    """Keep examples whose calls match the declarations of their tools, and whose results have the id of a call.

    A call must have a declared name, and arguments that are a JSON object and valid by the JSON Schema of the
    declaration. With `unknown = false` arguments that are not declared are not valid, where JSON Schema allows them. In
    rows without declared tools only the arguments are checked.
    """

    PACKAGES: ClassVar = ("jsonschema-rs",)
    unknown: bool = True

    def keep(self, example: Example) -> bool:
        functions = [tool.get("function", tool) for tool in example.tools or ()]
        declared = {_function_name(function): function for function in functions}
        call_ids = {call.id for message in example.messages for call in message.tool_calls or () if call.id}
        result_ids = {message.tool_call_id for message in example.messages if message.tool_call_id}
        return result_ids <= call_ids and all(_matches(call, declared, self.unknown) for call in example.calls())


_PARAMETER_KEYS = ("parameters", "input_schema", "inputSchema")  # of OpenAI, Anthropic and MCP


def _function_name(function: Any) -> str | None:
    """Return the name in a declaration, None if the value is not a declaration."""
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _matches(call: Function, declared: dict[str | None, dict[str, Any]], unknown: bool) -> bool:
    """Return whether a call matches the declaration of its tool."""
    from punie_build.data.filters.tool_schemas import argument_validator

    try:
        arguments = msgspec.json.decode(call.arguments) if isinstance(call.arguments, str) else call.arguments
        if not isinstance(arguments, dict) or (declared and call.name not in declared):
            return False
        if isinstance(call.arguments, str) and double_key(call.arguments.encode()):
            return False
        function = declared.get(call.name) or {}
        parameters = next((function[key] for key in _PARAMETER_KEYS if key in function), None)
        return argument_validator(parameters, unknown)(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
