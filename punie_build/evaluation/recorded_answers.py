"""Read answers that exist: a file of another harness, with the id of a case in each row.

The id and the text are found under the keys that harnesses use; a chat response is read with its tool calls, and calls
in the text of a model are read as such. Every row and every case is accounted for: rows of no case are counted, and a
case without a row has a missing answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from punie_build.engine.work import StepResult, Work
from punie_build.errors import DataError, join_first
from punie_build.evaluation import answer_files
from punie_build.evaluation.answer_files import Proof
from punie_build.evaluation.arm_spec import UNPROVEN, RecordedAnswers
from punie_build.evaluation.checks.union import Answer
from punie_build.evaluation.completion import Completion, replace_surrogates, to_answer
from punie_build.evaluation.endpoint import MARKED_CALLS, text_of
from punie_build.evaluation.spec import GenerationSpec
from punie_build.evaluation.suite import Case, Suite
from punie_build.models.thoughts import without_thoughts
from punie_build.runtime.console import format_count, message
from punie_build.storage import project_file

IDS = ("case", "id", "case_id", "sample_id", "doc_id", "custom_id", "task_id", "test_id")
TEXTS = (
    *("message", "messages", "choices", "content", "text", "answer", "output", "response", "body", "completion"),
    *("prediction", "result", "results", "raw", "filtered_resps", "resps", "model_output", "generated_text"),
)
MAX_BYTES = 2 << 30
MAX_NAMES = 3  # of cases or lines in a message
MISSING = "the file has no answer to this case"
Row = dict[str, Any]


def answers(work: Work[GenerationSpec]) -> StepResult:
    """Convert a file of answers to those of a suite."""
    spec, suite = work.spec, work.task.uses[work.spec.suite]
    file: RecordedAnswers = work.task.details.file
    by_case = read(work.root / file.path, file)
    cases = {case.id: case for case in suite.cases}
    foreign = [name for name in by_case if name not in cases]
    if len(foreign) == len(by_case):
        raise DataError(
            f"{file.path}: no answer to a case of {spec.suite}: the file has {join_first(foreign, MAX_NAMES)}, "
            f"the suite {join_first(list(cases), MAX_NAMES)} - name the key of the ids in `id`"
        )
    rows = [answer for case in suite.cases for answer in _of_case(suite, case, by_case.get(case.id, []), spec.epochs)]
    surplus = sum(max(0, len(by_case.get(name, ())) - spec.epochs) for name in cases)
    for line in _notes(foreign, surplus, sum(answer.error == MISSING for answer in rows)):
        work.say(f"{file.path}: {line}")
    errors, malformed = sum(answer.error is not None for answer in rows), sum(answer.malformed for answer in rows)
    proof = Proof(arm=spec.arm, canary="", base_canary="", errors=errors, parse_failures=malformed)
    answer_files.write(work.out, rows, proof)
    metrics = {"answers": len(rows), "errors": errors, "parse_failures": malformed, "unproven_identity": 1}
    return StepResult(_summary(len(rows), errors), metrics | {"foreign": len(foreign), "surplus": surplus})


@message
def _notes(foreign: list[str], surplus: int, missing: int) -> Iterator[str]:
    if foreign:
        yield f"{format_count(len(foreign), 'id')} of no case of the suite: {join_first(foreign, MAX_NAMES)}"
    if surplus:
        yield f"{surplus} further answers to a case are left out: the eval has fewer epochs"
    if missing:
        yield f"{missing} answers are missing; they count as not passed"


@message
def _summary(count: int, errors: int) -> str:
    return f"{count} answers{f', {errors} missing' if errors else ''}, read from a file ({UNPROVEN})"


def _of_case(suite: Suite, case: Case, rows: list[Row], epochs: int) -> Iterator[Answer]:
    """Yield the answer of each epoch; a missing one is an error."""
    for epoch in range(epochs):
        if epoch < len(rows):
            yield structs.replace(to_row_answer(case.id, rows[epoch], suite.tool_declarations(case)), epoch=epoch)
        else:
            yield Answer(case=case.id, epoch=epoch, error=MISSING)


def read(path: Path, spec: RecordedAnswers) -> dict[str, list[Row]]:
    """Return the rows of a file by the id of their case, in order. Raises DataError with every unreadable line."""
    try:
        text = project_file.read(path, MAX_BYTES).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise DataError(f"{spec.path}: cannot be read: {error.strerror or error}") from None
    by_case: dict[str, list[Row]] = {}
    problems: dict[str, list[str]] = {}
    for where, row in _rows(text):
        if not isinstance(row, dict):
            problems.setdefault("not a JSON object", []).append(where)
            continue
        key = next((key for key in ((spec.id,) if spec.id else IDS) if _is_id(row.get(key))), None)
        output = _output(row, spec.text)
        if key is None:
            problems.setdefault("no id of a case - name its key in `id`", []).append(where)
        elif output is None and not row.get("error"):
            problems.setdefault("no text of an answer - name its key in `text`", []).append(where)
        else:
            by_case.setdefault(str(row[key]), []).append({"output": output, "error": row.get("error")})
    if problems:
        lines = [f"{spec.path}: {join_first(places, MAX_NAMES)}: {text}" for text, places in problems.items()]
        raise DataError("\n".join(lines))
    if not by_case:
        raise DataError(f"{spec.path}: has no rows - write an answer on each line")
    return by_case


def _rows(text: bytes) -> Iterator[tuple[str, Any]]:
    """Yield (place, row) of JSON Lines, or of one JSON array."""
    if text.lstrip()[:1] == b"[":
        try:
            yield from ((f"item {number}", row) for number, row in enumerate(msgspec.json.decode(text, type=list), 1))
        except (msgspec.DecodeError, RecursionError):
            yield "the file", None
        return
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)  # msgspec rejects half a surrogate pair
            except (ValueError, RecursionError):
                yield f"line {number}", None


def _is_id(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def _output(row: Row, key: str | None) -> str | Row | list[Any] | None:
    """Return the answer in a row: its text, an assistant message, or calls as a list; None without any."""
    if key is not None:
        return _unwrapped(row.get(key))
    if isinstance(row.get("calls"), list) and isinstance(row.get("content"), str):
        return row  # an answer as punie-build writes it
    if isinstance(row.get("tool_calls"), list) and row["tool_calls"]:
        return row  # an assistant message
    return next((output for name in TEXTS if (output := _unwrapped(row.get(name))) is not None), None)


def _unwrapped(value: Any) -> str | Row | list[Any] | None:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if "role" in value or "tool_calls" in value:
            return value
        return next((output for name in TEXTS if (output := _unwrapped(value.get(name))) is not None), None)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, dict) and len(item) == 1 and not item.keys() & {*TEXTS} for item in value):
        return value  # the calls of BFCL: [{"name": "arguments in JSON"}]
    if all(isinstance(item, dict) and "role" in item for item in value):
        spoken = [item for item in value if item["role"] == "assistant"]
        return spoken[-1] if spoken else None
    if all(isinstance(item, dict) for item in value) and all("text" in item for item in value):
        return "".join(str(item["text"]) for item in value)
    return _unwrapped(value[0]) if len(value) == 1 else None  # several texts are several answers


def to_row_answer(case: str, row: Row, tools: Any) -> Answer:
    """Return the answer in a row, with its calls."""
    output = row["output"]
    if row["error"]:
        return Answer(case=case, error=str(row["error"])[:500])
    if isinstance(output, dict) and "calls" in output:
        try:
            return msgspec.convert({**output, "case": case}, Answer)
        except msgspec.ValidationError as error:
            return Answer(case=case, error=f"not an answer: {error}")
    text, calls = _parts(output)
    turn = MARKED_CALLS.read(without_thoughts(text), tools)
    if turn.calls and not calls and not turn.malformed:
        text, calls = turn.text, [(call.name, json.dumps(call.arguments)) for call in turn.calls]
    finish = "tool_calls" if calls else "stop"
    completion = Completion(token_ids=[], logprobs=[], content=without_thoughts(text), calls=calls, finish=finish)
    return to_answer(case, replace_surrogates(text_of(completion)), completion, 0, MARKED_CALLS)


def _parts(output: str | Row | list[Any]) -> tuple[str, list[tuple[str, str]]]:
    """Return the text and the calls (name, arguments as JSON) of an answer."""
    if isinstance(output, str):
        return replace_surrogates(output), []
    if isinstance(output, list):
        return "", [(str(name), _json(arguments)) for item in output for name, arguments in item.items()]
    content = output.get("content") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    listed = [call.get("function", call) if isinstance(call, dict) else call for call in output.get("tool_calls") or ()]
    calls = [
        (str(call.get("name")), _json(call.get("arguments") or {})) if isinstance(call, dict) else ("", "no call")
        for call in listed
    ]
    return replace_surrogates(str(content)), calls


def _json(arguments: Any) -> str:
    return replace_surrogates(arguments) if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
