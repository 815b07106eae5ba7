"""Preference data: a prompt with a wanted and a rejected answer, or an answer with a label."""

from __future__ import annotations

from typing import Any

from punie_build.data.answer_pair import COUNT, prompt_problem
from punie_build.data.dialects.dialogue import split_dialogue
from punie_build.data.dialects.keys import CHOSEN, LABELS, REJECTED
from punie_build.data.dialects.normalize import to_canonical
from punie_build.data.tool_call_markup.span import FIX_HINT

Record = dict[str, Any]
_QUESTIONS = ("prompt", "question", "query", "instruction")


def preference_row(record: Record, dialect: str) -> Record:
    """Return a row of preference data in canonical form. Raises ValueError for other data.

    `messages` is the conversation with the wanted answer, `rejected` are the messages of the other answer, and
    `answer_messages` counts those of the wanted one where it has more or fewer; a row with a label keeps its answer in
    `messages` and the label as `label`. `form` is "preference".
    """
    if record.get("form") == "preference":
        if not (isinstance(rejected := record.get("rejected"), list) and rejected) and not isinstance(
            record.get("label"), bool
        ):
            raise ValueError(f"neither messages under `rejected` nor a label that is true or false - {FIX_HINT}")
        return record
    label = next((key for key in LABELS if isinstance(record.get(key), bool)), None)
    rejected = next((key for key in REJECTED if record.get(key)), None)
    if rejected is None:
        if label is None:
            raise ValueError(f"{_missing(record)} - {FIX_HINT}")
        canonical = to_canonical({key: value for key, value in record.items() if key not in LABELS}, dialect)
        return canonical | {"label": record[label], "form": "preference"}
    chosen = next((key for key in CHOSEN if record.get(key)), None)
    prompt, others = _prompt({key: value for key, value in record.items() if key not in (chosen, rejected)})
    if chosen is None:  # the conversation ends with the wanted answer
        if not prompt or (prompt[-1].get("role", prompt[-1].get("from"))) not in ("assistant", "gpt"):
            raise ValueError(f"{rejected} without a wanted answer - {FIX_HINT}")
        answers = [[prompt.pop()], _turns(record[rejected])]
    else:
        answers = [_turns(record[key]) for key in (chosen, rejected)]
    systems = [turn for turn in prompt if turn.get("role") == "system"]
    whole = [[*(systems if _repeats_prompt(turns) else prompt), *turns] for turns in answers]
    wanted, unwanted = (to_canonical({"messages": turns, **others}, dialect) for turns in whole)
    pairs = zip(wanted["messages"], unwanted["messages"], strict=False)
    common = next((index for index, (one, two) in enumerate(pairs) if one != two), None)
    if common is None:
        raise ValueError(f"the wanted and the rejected answer are the same, or one continues the other - {FIX_HINT}")
    answers = [canonical["messages"][common:] for canonical in (wanted, unwanted)]
    if problem := prompt_problem(*(turns[0]["role"] for turns in answers)):
        raise ValueError(problem)
    if not common:
        raise ValueError(f"no prompt before the answers - {FIX_HINT}")
    count = {} if len(answers[0]) == len(answers[1]) else {COUNT: len(answers[0])}
    return wanted | {"rejected": answers[1], **count, "form": "preference"}


def _missing(record: Record) -> str:
    """Return the missing part of a record without a rejected answer and a label."""
    if empty := next((key for key in REJECTED if key in record), None):
        return f"{empty} is empty, so there is no rejected answer"
    return f"no pair and no label, its keys are {', '.join(map(str, record)) or 'none'}"


def _prompt(record: Record) -> tuple[list[Record], Record]:
    """Return the turns before the answers, and the other keys."""
    key = next(
        (key for key in ("messages", "conversations", "conversation") if isinstance(record.get(key), list)), None
    )
    if key:
        return _turns(record[key]), {name: value for name, value in record.items() if name != key}
    key = next((key for key in _QUESTIONS if record.get(key)), None)
    if key is None:
        return [], record
    others = {name: value for name, value in record.items() if name not in (key, "input")}
    if isinstance(record[key], list):
        return _turns(record[key]), others
    text = "\n".join(str(part) for part in (record[key], record.get("input")) if part)
    return [{"role": "user", "content": text}], others


def _turns(answer: Any) -> list[Record]:
    """Return an answer as messages: text, a message, or a list of messages. Text may be a whole dialogue."""
    if isinstance(answer, str):
        return split_dialogue(answer) or [{"role": "assistant", "content": answer}]
    if isinstance(answer, dict):
        return [answer]
    if isinstance(answer, list) and all(isinstance(turn, dict) for turn in answer):
        return list(answer)
    raise ValueError(f"an answer is {type(answer).__name__}, not text or messages - {FIX_HINT}")


def _repeats_prompt(turns: list[Record]) -> bool:
    """Return whether an answer is a whole conversation."""
    first = next((turn.get("role", turn.get("from")) for turn in turns), None)
    return first in ("user", "human", "system")
