"""Hold what is trained against the training templates of TRL, marked by hand; `oracle_table.py` prints the table.

    pip download --no-deps trl && unzip trl-*.whl 'trl/chat_templates/*'

Each `X_training.jinja` (Apache-2.0, fetched, not kept here) marks the text that TRL trains of a conversation;
`X.jinja` is the template as published, which punie-build renders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from punie_build.models.served_template import ChatTemplate

TOOLS = [
    {
        "type": "function",
        "function": {"name": "read_file", "description": "Read", "parameters": {"type": "object", "properties": {}}},
    }
]
ENDS = {  # beginning of a family -> the marks that end generation, by the published generation_config.json
    "glm": ("<|user|>", "<|observation|>", "<|endoftext|>"),
    "gptoss": ("<|return|>", "<|call|>"),
    "gemma4": ("<turn|>", "<|tool_response>"),
    "diffusion": ("<turn|>", "<|tool_response>"),
    "gemma": ("<end_of_turn>",),
    "llama3": ("<|eot_id|>", "<|eom_id|>"),
    "phi": ("<|endoftext|>", "<|end|>"),
    "deepseek": ("<｜end▁of▁sentence｜>",),
    "cohere": ("<|END_OF_TURN_TOKEN|>",),
    "muse": ("<|eot|>",),
    "idefics": ("<end_of_utterance>",),
    "smolvlm": ("<end_of_utterance>",),
    "llava": ("</s>",),
}
SAME, PROMPT, OTHER = "same", "TRL also trains what the prompt holds", "differ"


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def answer(text: str, thought: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text} | (
        {"reasoning_content": thought, "thinking": thought} if thought else {}
    )


def call(path: str) -> dict[str, Any]:
    function = {"name": "read_file", "arguments": {"path": path}}
    return answer("") | {"tool_calls": [{"id": "call12345", "type": "function", "function": function}]}


RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "read_file", "content": "x = 1"}
OPENED = [user("Open a.py"), call("a.py"), RESULT, answer("It sets x.")]
CASES: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "one": ([user("Hi"), answer("Hello.")], None),
    "two turns": ([user("Hi"), answer("Hello."), user("Bye"), answer("See you.")], None),
    "system": ([{"role": "system", "content": "Be brief."}, user("Hi"), answer("Hello.")], None),
    "call": (OPENED, TOOLS),
    "call, then more": ([*OPENED, user("And b.py"), call("b.py"), RESULT, answer("The same.")], TOOLS),
    "thought": ([user("2+2?"), answer("4", "Add two and two."), user("3+3?"), answer("6", "Add threes.")], None),
}


class Tokenizer:
    """The part of mlx-lm's tokenizer that renders a chat template."""

    def __init__(self, template: str, family: str) -> None:
        self.chat_template = template
        self.marks = next((marks for name, marks in ENDS.items() if family.startswith(name)), ("<|im_end|>",))
        self.eos_token, self.eos_token_ids = self.marks[0], range(len(self.marks))

    def convert_ids_to_tokens(self, number: int) -> str:
        return self.marks[number]

    def apply_chat_template(self, messages: Any, tools: Any = None, tokenize: bool = False, **arguments: Any) -> str:
        texts, _ = self.marked(messages, tools, **arguments)
        return texts[0]

    def marked(self, messages: Any, tools: Any, **arguments: Any) -> tuple[list[str], Any]:
        """Return the text of a conversation, and the ranges that the template marks for training."""
        return render_jinja_template(
            conversations=[messages],
            tools=tools,
            bos_token="<s>",  # noqa: S106
            eos_token=self.eos_token,
            pad_token="<pad>",  # noqa: S106
            **{"chat_template": self.chat_template} | arguments,
        )


def compare(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (family, case, result) for each template and conversation."""
    for training in sorted(folder.glob("*_training.jinja")):
        family = training.stem.removesuffix("_training")
        marked = Tokenizer(training.read_text(), family)
        template = ChatTemplate(Tokenizer((folder / f"{family}.jinja").read_text(), family))
        for name, (messages, tools) in CASES.items():
            yield family, name, _compare(marked, template, messages, tools)


def _compare(marked: Tokenizer, template: ChatTemplate, messages: Any, tools: Any) -> str:
    try:
        texts, ranges = marked.marked(messages, tools, return_assistant_tokens_mask=True)
    except Exception:  # templates are code: they can raise any error
        return "TRL refuses"
    theirs = "".join(texts[0][first:last] for first, last in ranges[0])
    try:
        row = template.render(messages, tools)
    except Exception:
        return "punie-build refuses"
    turns = row.turns()
    ours = "".join(text.text[turn.start : turn.end] for text, turn in turns)
    if _bare(ours) == _bare(theirs):
        return SAME
    for text, turn in turns:  # longer by what the prompt holds
        full, prompt = text.text[turn.start : turn.end], text.prompt(turn)
        theirs = next((_without(theirs, prompt[start:] + full) for start in _starts(prompt, full, theirs)), theirs)
    return OTHER if _bare(theirs) else PROMPT


def _starts(prompt: str, turn: str, text: str) -> Iterator[int]:
    """Yield the starts of ends of the prompt, the longest first, that a text has before a turn."""
    ends = range(max(len(prompt) - 40, 0), len(prompt) + 1)
    return (start for start in ends if _bare(prompt[start:] + turn) in _bare(text))


def _without(text: str, part: str) -> str:
    return _bare(text).replace(_bare(part), "", 1)


def _bare(text: str) -> str:
    return "".join(text.split())
