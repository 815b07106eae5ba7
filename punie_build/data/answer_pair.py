"""Pairs of answers: the two conversations of a row of preference data.

    {"form": "preference", "messages": [..., wanted answer], "rejected": [rejected answer], "answer_messages": 1}

`answer_messages` counts the messages of the wanted answer, at the end of `messages`; without it there are as many as in
`rejected`.
"""

from __future__ import annotations

from msgspec import Struct, structs

from punie_build.data.example import Example

COUNT = "answer_messages"


class AnswerPair(Struct, frozen=True):
    """Two conversations that have their first `prompt` messages in common, and end with different answers."""

    wanted: Example
    rejected: Example
    prompt: int


def answer_pair(example: Example) -> AnswerPair:
    """Return the pair of a row. Raises ValueError with the reason if it has none."""
    if example.form != "preference":
        raise ValueError(
            'one answer and no rejected one: this loss compares two - use a dataset of form = "preference", or leave '
            "out the loss"
        )
    rejected, count = example.rejected, example.answer_messages
    if not rejected:
        raise ValueError("no rejected answer: a label is no pair - add `rejected`, or remove the row")
    prompt = len(example.messages) - (len(rejected) if count is None else count)
    answers = example.messages[max(prompt, 0) :], rejected
    if prompt == 0 and "assistant" not in (answers[0][0].role, rejected[0].role):
        raise ValueError(prompt_problem(answers[0][0].role, rejected[0].role))
    if prompt < 1 or not answers[0]:
        raise ValueError(f"no prompt before the answers - write in `{COUNT}` how many messages the wanted answer has")
    if problem := prompt_problem(answers[0][0].role, rejected[0].role):
        raise ValueError(f"{problem}; `{COUNT}` is the number of messages of the wanted one")
    if answers[0] == rejected:
        raise ValueError("the wanted and the rejected answer are the same - remove the row")
    other = structs.replace(example, messages=(*example.messages[:prompt], *rejected))
    return AnswerPair(example, other, prompt)


def prompt_problem(wanted_role: str | None, rejected_role: str | None) -> str:
    """Return the problem of two answers whose first messages have these roles; "" if both begin with the assistant."""
    roles = list(dict.fromkeys(role or "no message" for role in (wanted_role, rejected_role) if role != "assistant"))
    return (
        f"the prompts differ: an answer begins with {' and '.join(roles)} - give both answers the same prompt"
        if roles
        else ""
    )
