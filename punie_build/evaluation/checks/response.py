"""The answer of a model to a case, and the result of a check on it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from punie_build.data.example import ToolCall

FAILURES = (
    "no call",
    "wrong tool",
    "extra call",
    "wrong arguments",
    "called on irrelevant",
    "keyword missing",
    "wrong words",
    "wrong code",
    "wrong state",
    "wrong finish",
    "too slow",
    "malformed",
    "truncated",
    "empty",
    "error",
    "cannot judge",
)


class Answer(Struct, frozen=True, kw_only=True):
    """The answer of a model to a case: one turn, or several turns if the case has canned tool results.

    `raw`: the decoded text of all generated tokens with their markup; turns are joined by a blank line.
    `calls`: the tool calls of all turns, in order. `content`: the text of the last turn without its calls.
    `malformed`: whether any turn has tool-call markup that cannot be parsed.
    `finish`: the finish reason of the last turn: `stop`, `tool_calls`, `length`, or `turns` if the limit of turns was
    reached.
    `error`: why no answer was received; the other fields then have no meaning.
    `epoch`: the repetition of the case, from 0. `seconds`: the response time, and `n_tokens`: the generated tokens, if
    they were measured. `state`: that of stateful tools at the end.
    """

    case: str
    raw: str = ""
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    malformed: bool = False
    finish: str = "stop"
    error: str | None = None
    epoch: int = 0
    turns: int = 1
    seconds: float | None = None
    n_tokens: int | UnsetType = field(default=UNSET, name="tokens")
    state: Any = UNSET


class CheckResult(Struct, frozen=True):
    """The result of a check: a score in [0, 1], and on failure its class (one of `FAILURES`) and the reason."""

    score: float
    failure: str = ""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return not self.failure


PASS = CheckResult(1.0)
