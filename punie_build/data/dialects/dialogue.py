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

    `only_first`: such labels are also common in other texts, which do not begin with one. After a title, only questions
    that are answered in turn count.
    """

    label: re.Pattern[str]
    only_first: bool = False


_QUESTIONS = (
    "question", "q", "问题", "问", "質問", "질문", "pregunta", "frage", "вопрос", "domanda", "pergunta", "vraag",
    "pytanie", "soru", "سؤال", "प्रश्न"
)  # fmt: skip
_ANSWERS = (
    "answer", "a", "回答", "答案", "答", "답변", "답", "respuesta", "antwort", "ответ", "risposta", "resposta",
    "réponse", "antwoord", "odpowiedź", "cevap", "جواب", "उत्तर"
)  # fmt: skip
_PEOPLE = (
    "human", "user", "用户", "ユーザー", "사용자", "benutzer", "nutzer", "utilisateur", "usuario", "usuário", "utente",
    "пользователь"
)  # fmt: skip
_ASSISTANTS = (
    "assistant", "ai", "bot", "chatbot", "gpt", "chatgpt", "助手", "アシスタント", "어시스턴트", "assistent",
    "assistente", "asistente", "ассистент", "бот"
)  # fmt: skip


_ROLES = {
    **dict.fromkeys((*_QUESTIONS, *_PEOPLE, "instruction", "input", "prompt", "query", "problem", "指令", "输入"), "user"),
    **dict.fromkeys((*_ANSWERS, *_ASSISTANTS, "response", "completion", "output", "solution", "输出"), "assistant"),
    "system": "system",
    "系统": "system",
}  # fmt: skip
_SPEAKERS = "|".join(
    ("AI", "GPT", "ChatGPT", "System", "system", "系统", *_PEOPLE, *map(str.capitalize, (*_PEOPLE, *_ASSISTANTS)),
     "assistant", "bot", "assistent", "assistente", "asistente", "ассистент")
)  # fmt: skip
_PAIR_NAMES = "|".join(
    sorted({*map(str.capitalize, (*_QUESTIONS, *_ANSWERS)), "QUESTION", "ANSWER"}, key=len, reverse=True)
)
_LINE = r"^[ \t]*(?:#{1,6} |[-*] |\d{1,3}[.)] )?"  # a line, perhaps of a heading or a list
MAX_TITLE = 200  # letters before the first question of a list of questions and answers
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
            rf"{_LINE}(?:\*\*)?({_PAIR_NAMES}|Instruction|Input|Prompt|Query|Problem|指令|输入"
            r"|Response|Output|Completion|Solution|输出)(?: ?\d{1,3})?(?:\*\*)?[ \u00a0]?[:\uff1a](?:\*\*)?[ \t]*",
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
            title = text[: labels[0].start()].strip() if style.only_first else ""
            if len(title) > MAX_TITLE:
                raise ValueError(
                    f"text holds questions and answers after {len(title)} other characters - "
                    f"{FIX_HINT}, or use dialect 'text' to keep it as text"
                )
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
        if style.only_first and labels and text[: labels[0].start()].strip():
            return None
        if "user" in roles and roles[-1] == "assistant" and not text[labels[-1].end() :].strip():
            return _turns(text, labels, roles)
    return None


def _labels(style: LabelStyle, text: str) -> tuple[list[re.Match[str]], list[str]]:
    """Return the labels of a style in a text, and their roles."""
    labels = list(style.label.finditer(text))
    if not style.only_first or not labels or not text[: labels[0].start()].strip():
        return labels, [_ROLES[str(label[label.lastindex or 1]).lower()] for label in labels]
    labels = [label for label in labels if label[1].lower() in (*_QUESTIONS, *_ANSWERS)]
    roles = [_ROLES[label[1].lower()] for label in labels]
    return (labels, roles) if roles == ["user", "assistant"] * (len(roles) // 2) else ([], [])


def _turns(text: str, labels: list[re.Match[str]], roles: list[str]) -> list[dict[str, Any]]:
    head = without_end_marks(text[: labels[0].start()])
    turns = [{"role": "system", "content": head}] if head else []
    ends = [*(label.start() for label in labels), len(text)][1:]
    for label, end, role in zip(labels, ends, roles, strict=True):
        content = without_end_marks(text[label.end() : end])
        if label[0].count("**") == 1:  # `**Q: How?**`
            content = content.replace("**", "", 1)
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
