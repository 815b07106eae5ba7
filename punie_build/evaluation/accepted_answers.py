"""The file `accepted.jsonl` of an eval: the answers that pass every check, as rows to train on.

The source `answers` of a dataset reads it: rejection sampling, self-play.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from punie_build.data.sources import ACCEPTED
from punie_build.evaluation.checks.union import Answer, score_answer
from punie_build.evaluation.scoring import Score
from punie_build.evaluation.suite import Case, Suite


def write(suite: Suite, answers: Mapping[str, Sequence[Answer]], out: Path, score_of: Score = score_answer) -> None:
    """Write a row for each answer that passes: the case's messages and tools, then the model's answer."""
    rows = (
        _row(suite, case, answer)
        for case in suite.cases
        for answer in answers[case.id]
        if not answer.error and score_of(case.checks, answer).passed
    )
    (out / ACCEPTED).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _row(suite: Suite, case: Case, answer: Answer) -> dict[str, Any]:
    tools = suite.tool_declarations(case)
    return {
        "messages": [*suite.messages(case), *_turns(case, answer)],
        **({"tools": tools} if tools else {}),
        "category": case.category,
        "id": f"{case.id}/{answer.epoch}",
    }


def _turns(case: Case, answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield the messages of an answer: its calls turn by turn, with the results of the case, and the last text."""
    number, previous = 0, Counter[str]()
    last = max((call.turn for call in answer.calls), default=-1)
    for turn in range(last + 1):
        calls = [call for call in answer.calls if call.turn == turn]
        ids = [f"call_{number + index}" for index in range(1, len(calls) + 1)]
        number += len(calls)
        is_end = turn == last and answer.turns <= last + 1
        yield {
            "role": "assistant",
            "content": answer.content if is_end else "",
            "tool_calls": [
                {
                    "id": id_,
                    "type": "function",
                    "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
                }
                for id_, call in zip(ids, calls, strict=True)
            ],
        }
        for id_, call in zip(ids, calls, strict=True):
            if not is_end and (result := case.canned_result(call.name, previous[call.name])) is not None:
                yield {"role": "tool", "tool_call_id": id_, "content": result}
            previous[call.name] += 1
    if answer.turns > last + 1:
        yield {"role": "assistant", "content": answer.content}
