"""Error messages say where, what is wrong and what to do. `python benchmarks/messages.py` prints all of them."""

from __future__ import annotations

import pytest

from benchmarks.house import RIDDLES
from benchmarks.messages import Message, messages

MESSAGES = [*messages()]


def is_complete(message: Message) -> bool:
    """Return whether a message has advice, or ends with a value, such as the reason of another program or a hint."""
    _, problem, advice = message.parts
    return bool(advice) or problem.endswith(("...", "...)"))


def test_the_messages_are_found_by_their_errors():
    assert len(MESSAGES) > 200
    assert {"UseError", "DataError", "ModelError", "ServerError", "RecipeError"} <= {each.error for each in MESSAGES}


@pytest.mark.parametrize("error", sorted({message.error for message in MESSAGES}))
def test_every_message_says_what_to_do(error):
    assert [each for each in MESSAGES if each.error == error and not is_complete(each)] == []


def test_no_message_is_a_riddle():
    assert [each for each in MESSAGES if RIDDLES.search(each.text)] == []
