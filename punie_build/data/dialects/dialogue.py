"""Dialogues in one text: labels such as `### Instruction:`, `USER:` and `Human:`, read as turns or refused."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from punie_build.data.tool_call_markup.span import FIX_HINT

FOREIGN_MARKERS = (
    "<|start_header_id|>", "<start_of_turn>", "[INST]", "<|user|>", "<|assistant|>", "<|im_sep|>", "<|end_of_turn|>",
    "<|start_of_role|>", "<|turn>", "<|START_OF_TURN_TOKEN|>", "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>",
)  # fmt: skip
_END_MARKS = re.compile(r"(?:\s*(?:</s>|<s>|<\|endoftext\|>|<\|end_of_text\|>|<\|eot_id\|>))+\s*\Z|\A\s*<s>\s*")


class LabelStyle(Struct, frozen=True):
    """A way to write labels: the pattern of a label, whose group is its name, and the role of each name."""

    label: re.Pattern[str]
    roles: dict[str, str]


_STYLES = (
    LabelStyle(
        re.compile(r"^#{2,3} ?(Instruction|Instructions|Input|Response|Human|User|Assistant|System)s?:?[ \t]*$|"
                   r"^#{2,3} ?(Instruction|Input|Response|Human|User|Assistant|System):[ \t]*", re.MULTILINE),
        {
            **dict.fromkeys(("instruction", "instructions", "input", "human", "user"), "user"),
            **dict.fromkeys(("response", "assistant"), "assistant"),
            "system": "system",
        },
    ),
    LabelStyle(
        re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT|SYSTEM):(?=\s|\Z)\s?"),
        {"user": "user", "assistant": "assistant", "system": "system"},
    ),
    LabelStyle(
        re.compile(
            r"^\s*(?:\*\*|<)?(Human|User|Assistant|AI|Bot|Chatbot|GPT|ChatGPT|System)(?:\*\*|>)?:(?:\*\*)?[ \t]*",
            re.MULTILINE,
        ),
        {
            **dict.fromkeys(("human", "user"), "user"),
            **dict.fromkeys(("assistant", "ai", "bot", "chatbot", "gpt", "chatgpt"), "assistant"),
            "system": "system",
        },
    ),
)  # fmt: skip


def split_dialogue(text: str) -> list[dict[str, Any]] | None:
    """Return the turns of a dialogue, or None if the text is none. Raises ValueError for one that cannot be divided.

    Text before the first label is the system prompt. An instruction and its input are one turn.
    """
    if marker := next((marker for marker in FOREIGN_MARKERS if marker in text), None):
        raise ValueError(
            f"text holds {marker} of another chat template - use messages, or dialect 'text' to keep it as text"
        )
    for style in _STYLES:
        labels = list(style.label.finditer(text))
        roles = [style.roles[(label[1] or label[label.lastindex or 1]).lower()] for label in labels]
        if "user" in roles and "assistant" in roles:
            return _turns(text, labels, roles)
    return None


def _turns(text: str, labels: list[re.Match[str]], roles: list[str]) -> list[dict[str, Any]]:
    head = _without_end_marks(text[: labels[0].start()])
    turns = [{"role": "system", "content": head}] if head else []
    ends = [*(label.start() for label in labels), len(text)][1:]
    for label, end, role in zip(labels, ends, roles, strict=True):
        content = _without_end_marks(text[label.end() : end])
        if turns and turns[-1]["role"] == role == "user":
            turns[-1]["content"] = "\n".join(part for part in (turns[-1]["content"], content) if part)
        elif turns and turns[-1]["role"] == role:
            raise ValueError(
                f"text is a dialogue with two turns of the {role} in a row, so its turns are ambiguous"
                f" - {FIX_HINT}, or use dialect 'text' to keep it as text"
            )
        else:
            turns.append({"role": role, "content": content})
    if not turns[-1]["content"]:  # a label at the end, for the model to go on
        turns.pop()
    return turns


def _without_end_marks(text: str) -> str:
    return _END_MARKS.sub("", text).strip()
