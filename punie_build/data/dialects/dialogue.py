"""Dialogues in one text: labels such as `### Instruction:`, `USER:` and `Human:`, read as turns or refused."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from punie_build.data.tool_call_markup.span import FIX_HINT

FOREIGN_MARKERS = re.compile(
    r"<\|start_header_id\|>|<start_of_turn>|\[/?INST\]|<\|im_sep\|>|<\|end_of_turn\|>|<\|start_of_role\|>|<\|turn>"
    r"|<\|START_OF_TURN_TOKEN\|>|<\uff5c(?:User|Assistant)\uff5c>|<reserved_10[26]>"
    r"|<\|(?i:user|human|prompter|assistant|bot|model)\|>|\[\|(?:Human|User|AI|Assistant)\|\]"
    r"|(?s:<(?:user|human|question)>(?!:).*<(?:assistant|bot|gpt|answer)>)"
)
OPEN_TURN = re.compile(  # the end of a prompt that another chat template has rendered
    r"(?:\[/INST\]|<\|(?i:assistant|bot|model)\|>|<start_of_turn>model|<\|im_start\|>assistant|<\uff5cAssistant\uff5c>"
    r"|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|CHATBOT_TOKEN\|>|<\|start\|>assistant)\s*\Z"
)
_START_MARKS = r"<s>|<\|endoftext\|>|<\|begin_of_text\|>"
_END_MARKS = re.compile(
    rf"(?:\s*(?:</s>|<\|end_of_text\|>|<\|eot_id\|>|<\|im_end\|>|{_START_MARKS}))+\s*\Z|\A\s*(?:{_START_MARKS})\s*"
)


class LabelStyle(Struct, frozen=True):
    """A way to write labels: the pattern of a label, whose group is its name.

    `only_first`: such labels are also common in other texts, which do not begin with one.
    """

    label: re.Pattern[str]
    only_first: bool = False


_ROLES = {
    **dict.fromkeys(
        ("instruction", "input", "human", "user", "question", "prompt", "query", "problem", "q",
         "用户", "问题", "问", "指令", "输入"), "user"
    ),
    **dict.fromkeys(
        ("response", "assistant", "ai", "bot", "chatbot", "gpt", "chatgpt", "answer", "completion", "output",
         "solution", "a", "助手", "回答", "答案", "答", "输出"), "assistant"
    ),
    "system": "system",
    "系统": "system",
}  # fmt: skip
_SPEAKERS = "Human|User|Assistant|AI|Bot|Chatbot|GPT|ChatGPT|System|human|user|assistant|bot|system|用户|助手|系统"
_STYLES = (
    LabelStyle(
        re.compile(
            r"^#{2,3} ?(Instruction|Input|Response|Human|User|Assistant|System)s?:?[ \t]*$"
            r"|#{2,3} ?(?i:(Instruction|Input|Response|Human|User|Assistant|System|Question|Prompt|Query|Answer"
            r"|Completion|Output|AI|Bot|指令|输入|问题|用户|回答|答案|输出|助手)s?)[:\uff1a][ \t]*", re.MULTILINE),
    ),
    LabelStyle(
        re.compile(
            r"(?:(?:^|(?<=[.!?:\"'\n>]\s)|(?<=</s>))(USER|HUMAN)"
            r"|(?:^|(?<=\s)|(?<=</s>))(ASSISTANT|SYSTEM|GPT|AI|BOT)):[ \t]?\s?", re.MULTILINE),
    ),
    LabelStyle(
        re.compile(rf"^\s*(?:\*\*|[<\[])?({_SPEAKERS})(?:\*\*|[>\]])?[:\uff1a](?:\*\*)?[ \t]*", re.MULTILINE),
    ),
    LabelStyle(
        re.compile(
            r"^[ \t]*(?:\*\*)?(Question|Q|Instruction|Input|Prompt|Query|Problem|问题|问|指令|输入"
            r"|Answer|A|Response|Output|Completion|Solution|回答|答案|答|输出)(?:\*\*)?[:\uff1a](?:\*\*)?[ \t]*",
            re.MULTILINE),
        only_first=True,
    ),
)  # fmt: skip


def split_dialogue(text: str) -> list[dict[str, Any]] | None:
    """Return the turns of a dialogue, or None if the text is none. Raises ValueError for one that cannot be divided.

    Text before the first label is the system prompt. An instruction and its input are one turn.
    """
    if marker := FOREIGN_MARKERS.search(text):
        raise ValueError(
            f"text holds {marker[0][:30]} of another chat template - use messages, or dialect 'text' to keep it as text"
        )
    text = without_end_marks(text)
    for style in _STYLES:
        labels, roles = _labels(style, text)
        if "user" in roles and "assistant" in roles:
            return _turns(text, labels, roles)
        first = labels[0][0].strip() if labels and not text[: labels[0].start()].strip() else ""
        if roles[:1] == ["user"] and not style.only_first and first.rstrip("*").endswith((":", "\uff1a")):
            raise ValueError(
                f"text begins with '{first}' and has no answer: a model would learn the question - "
                f"{FIX_HINT}, or use dialect 'text' to keep it as text"
            )
    return None


def split_prompt(text: str) -> list[dict[str, Any]] | None:
    """Return the turns of a prompt that ends with the label of its answer, or None. Raises ValueError for a prompt
    that another chat template has rendered."""
    if OPEN_TURN.search(text):
        raise ValueError(f"the prompt ends as another chat template renders it, {text.strip()[-20:]!r} - use messages")
    for style in _STYLES:
        labels, roles = _labels(style, text)
        if "user" in roles and roles[-1] == "assistant" and not text[labels[-1].end() :].strip():
            return _turns(text, labels, roles)
    return None


def _labels(style: LabelStyle, text: str) -> tuple[list[re.Match[str]], list[str]]:
    """Return the labels of a style in a text, and their roles."""
    labels = list(style.label.finditer(text))
    if style.only_first and labels and text[: labels[0].start()].strip():
        return [], []
    return labels, [_ROLES[str(label[label.lastindex or 1]).lower()] for label in labels]


def _turns(text: str, labels: list[re.Match[str]], roles: list[str]) -> list[dict[str, Any]]:
    head = without_end_marks(text[: labels[0].start()])
    turns = [{"role": "system", "content": head}] if head else []
    ends = [*(label.start() for label in labels), len(text)][1:]
    for label, end, role in zip(labels, ends, roles, strict=True):
        content = without_end_marks(text[label.end() : end])
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


def without_end_marks(text: str) -> str:
    """Return a text without blanks and end-of-text marks at its ends."""
    return _END_MARKS.sub("", text).strip()
