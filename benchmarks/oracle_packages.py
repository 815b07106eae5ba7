"""The packages that render conversations on their own: what each asks a base with, and what it trains of each turn.

Three packages of the extra `oracles`, none of which the program needs: renderers (Prime Intellect), mistral-common
(Mistral AI) and openai-harmony (OpenAI), all under Apache-2.0. An oracle returns the prompt and the trained part of an
assistant turn, as token ids of the tokenizer that it shares with us, or as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from punie_build.storage import paths

MISTRAL_FILES = {  # version of the tokenizers of mistral-common -> its file in the package
    "v1": "tokenizer.model.v1",
    "v3": "mistral_instruct_tokenizer_240323.model.v3",
    "tekken": "tekken_240718.json",
    "v7": "mistral_instruct_tokenizer_241114.model.v7",
}
Messages = Sequence[Mapping[str, Any]]
MARK = re.compile(r"<[|｜/]?[^\s<>{}'\"\\]+>|\]~b\]|\]~!b\[|\[e~\[|\[gMASK\]|｜DSML｜")


class Turn(NamedTuple):
    """What an assistant turn is asked with, and what of it is trained: token ids or text."""

    prompt: Any
    trained: Any


Oracle = Callable[[Messages, Any, int], Turn]  # conversation, tools, index of the assistant turn


def marked_tokenizer(model: str, marks: Iterable[str] = ()) -> Any:
    """Return nano's tokenizer under the name of a model, with marks, and those that a renderer asks for, as tokens."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    class MarkedTokenizer(PreTrainedTokenizerFast):
        def encode(self, text: Any, *arguments: Any, **keywords: Any) -> Any:
            if isinstance(text, str) and MARK.fullmatch(text):
                self.convert_tokens_to_ids(text)
            return super().encode(text, *arguments, **keywords)

        def convert_tokens_to_ids(self, tokens: Any) -> Any:
            if isinstance(tokens, str) and tokens not in self.get_vocab():
                self.add_tokens([AddedToken(tokens, special=True, normalized=False)])
            return super().convert_tokens_to_ids(tokens)

    file = str(paths.nano() / "tokenizer.json")
    tokenizer = MarkedTokenizer(tokenizer_file=file, eos_token="<|im_end|>")  # noqa: S106
    tokenizer.name_or_path = model
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return tokenizer


def renderer(name: str, tokenizer: Any, **fields: Any) -> tuple[Oracle, tuple[str, ...]]:
    """Return the oracle of a renderer of `renderers`, and the marks at which it ends generation."""
    from renderers import base, configs

    base._populate_registry()
    kind = next(
        each for each in vars(configs).values()
        if isinstance(each, type) and getattr(each, "model_fields", {}).get("name") is not None
        and each.model_fields["name"].default == name
    )  # fmt: skip
    made = base.RENDERER_REGISTRY[name](tokenizer, kind(**fields))

    def turn(messages: Messages, tools: Any, index: int) -> Turn:
        functions = [tool["function"] for tool in tools] if tools else None
        asked = made.render(list(messages[:index]), tools=functions, add_generation_prompt=True)
        alone = made.render(list(messages[: index + 1]), tools=functions)
        whole = made.render(list(messages), tools=functions)
        trained = _sampled(alone, index)
        later = _sampled(whole, index)  # the end may be the mark that begins the next turn
        return Turn(asked.token_ids, later if later[: len(trained)] == trained else trained)

    stops = tuple(tokenizer.convert_ids_to_tokens(number) for number in made.get_stop_token_ids())
    return turn, stops


def _sampled(rendered: Any, index: int) -> list[int]:
    if not rendered.sampled_mask:
        raise ValueError("this renderer has no mask")
    owners = zip(rendered.token_ids, rendered.message_indices, rendered.sampled_mask, strict=True)
    return [number for number, owner, sampled in owners if sampled and owner == index]


def mistral(version: str) -> Oracle:
    """Return the oracle of mistral-common for a version of its tokenizers: v1, v3, tekken or v7."""
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    file = str(MistralTokenizer._data_path() / MISTRAL_FILES[version])
    modes = (ValidationMode.serving, ValidationMode.finetuning)
    tokenizers = {mode: MistralTokenizer.from_file(file, mode=mode) for mode in modes}

    def text(messages: Messages, tools: Any, mode: Any) -> str:
        request = ChatCompletionRequest.from_openai(
            [_with_text_arguments(each) for each in messages], tools=tools, model="any"
        )
        encoded = tokenizers[mode].encode_chat_completion(request)
        return str(encoded.text)

    def turn(messages: Messages, tools: Any, index: int) -> Turn:
        prompt = text(messages[:index], tools, ValidationMode.serving)
        whole = text(messages[: index + 1], tools, ValidationMode.finetuning)
        if not whole.startswith(prompt):
            raise ValueError("the text does not begin with its prompt")
        return Turn(prompt, whole[len(prompt) :])

    return turn


def _with_text_arguments(message: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in message.items() if key not in ("reasoning_content", "thinking")}
    if calls := message.get("tool_calls"):
        known["tool_calls"] = [
            {**call, "function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}}
            for call in calls
        ]
    return known


def harmony() -> Oracle:
    """Return the oracle of openai-harmony. `TIKTOKEN_ENCODINGS_BASE` names a folder with o200k_base.tiktoken."""
    import openai_harmony as package

    encoding = package.load_harmony_encoding(package.HarmonyEncodingName.HARMONY_GPT_OSS)

    def turn(messages: Messages, tools: Any, index: int) -> Turn:
        before = [part for message in messages[:index] for part in _harmony_parts(package, message)]
        own = _harmony_parts(package, messages[index])
        asked = encoding.render_conversation_for_completion(
            package.Conversation.from_messages(before), package.Role.ASSISTANT
        )
        whole = encoding.render_conversation_for_training(
            package.Conversation.from_messages(own), package.RenderConversationConfig(auto_drop_analysis=False)
        )
        return Turn(encoding.decode(asked), encoding.decode(whole).removeprefix("<|start|>assistant"))

    return turn


def _harmony_parts(package: Any, message: Mapping[str, Any]) -> list[Any]:
    """Return a message as harmony has it: the thought, the words and each call of a turn are messages of their own."""
    role = package.Role
    if message["role"] == "tool":
        author = package.Author(role=role.TOOL, name=f"functions.{message['name']}")
        result = package.Message.from_author_and_content(author, message["content"])
        return [result.with_channel("commentary").with_recipient("assistant")]
    if message["role"] != "assistant":
        name = role.DEVELOPER if message["role"] == "system" else role.USER
        content: Any = message["content"]
        if name is role.DEVELOPER:
            content = package.DeveloperContent.new().with_instructions(content)
        return [package.Message.from_role_and_content(name, content)]
    made = []
    if thought := message.get("thinking"):
        made.append(package.Message.from_role_and_content(role.ASSISTANT, thought).with_channel("analysis"))
    if words := message.get("content"):
        made.append(package.Message.from_role_and_content(role.ASSISTANT, words).with_channel("final"))
    for call in message.get("tool_calls") or ():
        text = json.dumps(call["function"]["arguments"])
        made.append(
            package.Message.from_role_and_content(role.ASSISTANT, text).with_channel("commentary")
            .with_recipient(f"functions.{call['function']['name']}").with_content_type("json")
        )  # fmt: skip
    return made
