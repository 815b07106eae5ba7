"""Answer: what one arm said to one case, and what a check says of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

FAILURES = (
    "no call",
    "wrong tool",
    "extra call",
    "wrong arguments",
    "called on irrelevant",
    "keyword missing",
    "wrong words",
    "wrong code",
    "wrong finish",
    "too slow",
    "malformed",
    "truncated",
    "empty",
    "error",
    "cannot judge",
)


class Asked(Struct, frozen=True, omit_defaults=True):
    """A tool call as the answer makes it: the arguments decoded. `turn` counts the arm's turns from 0: calls of one turn were
    made at once."""

    name: str
    arguments: dict[str, Any]
    turn: int = 0


class Answer(Struct, frozen=True, kw_only=True):
    """What one arm said to one case, in one turn or, where the case has canned results, in several.

    `raw` is every token it wrote, markup included; of several turns one after another, a blank line between. `calls` are those of all
    turns, in order; `content` is what the last turn says in words. `malformed`: markup that is no call, in any turn. `finish` of the
    last turn: `stop`, `tool_calls`, `length`, or `turns` where it was still calling when no more turns were allowed. `error`: the answer
    never came; then nothing else counts. `seconds`: how long it took, where that was measured. `epoch` counts the times the same case
    was asked, from 0.
    """

    case: str
    raw: str = ""
    content: str = ""
    calls: tuple[Asked, ...] = ()
    malformed: bool = False
    finish: str = "stop"
    error: str | None = None
    epoch: int = 0
    turns: int = 1
    seconds: float | None = None


class Verdict(Struct, frozen=True):
    """Judged by one check. `failure` is the class of what went wrong, empty when it passed."""

    score: float
    failure: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


PASS = Verdict(1.0)
