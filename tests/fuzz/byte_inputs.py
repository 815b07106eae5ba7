"""Bytes of a coverage-guided fuzzer, checked by the laws of one file, one row or one text, in memory.

The first byte selects one of these targets, the second the dialect; the rest is the content.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from punie_build.data.dialects import normalize
from punie_build.data.example import parse
from punie_build.data.filters.union import DatasetFilter, LineFilter, MaxTokens, MinTokens, ScoredFilter
from punie_build.data.ingest import to_chat_row
from punie_build.data.readers.compression import DamagedError, decompress
from punie_build.data.readers.formats import FORMATS
from punie_build.data.readers.records import joined
from punie_build.data.tool_call_markup.parse import parse_text
from punie_build.data.tool_call_markup.span import ParseContext
from punie_build.data.transform import transform_line
from punie_build.errors import PunieError
from tests.fuzz.cases import FILTERS, MAPS
from tests.fuzz.laws import check_bytes, check_error, check_reason, check_row, require
from tests.fuzz.rows import FRAGMENTS
from tests.support.file_cases import FILES
from tests.support.shape_cases import SHAPES

UNCOMPRESSED = ("jsonl", "json", "csv", "tsv")
TARGETS = (*UNCOMPRESSED, "gz", "zst", "row", "row", "row", "text", "text", "text")  # repeated for a larger share
DIALECTS = ("auto", *normalize.NAMES)
GLAIVE = '<functioncall> {"name": "f", "arguments": \'{}\'}'
FAST_FILTERS = [
    kind.predicate()
    for kind in FILTERS
    if not isinstance(kind, DatasetFilter | LineFilter | ScoredFilter | MaxTokens | MinTokens)
]
TOOLS = {"f": {"a": {"type": "string"}, "n": {"type": ["integer", "null"]}}}


def check(data: bytes) -> str:
    """Return the outcome: `rows` or `refused`. Raises BrokenError; any other exception is a crash."""
    target, dialect = (
        (TARGETS[data[0] % len(TARGETS)], DIALECTS[data[1] % len(DIALECTS)]) if len(data) > 1 else ("row", "auto")
    )
    content = data[2:]
    if target == "text":
        return _text(content.decode("utf-8", "replace"), data[1])
    if target == "row":
        return _row(content.replace(b"\n", b" "), dialect)
    return _file(target, content, dialect)


def _row(record: bytes | dict[str, object], dialect: str) -> str:
    try:
        row = to_chat_row(record, dialect)
    except ValueError as error:
        check_reason(" ".join(f"where: {error}".split()))  # as ingest reports it
        return "refused"
    check_row(row, dialect)
    if isinstance(record, bytes):
        check_bytes(record, row, dialect)
    with suppress(ValueError):  # a row that parses may fit no dialect
        normalize.detect(msgspec.json.decode(row.line))
    for predicate in FAST_FILTERS:
        require(predicate(row.example) is predicate(row.example), "a filter is deterministic", row.line)
    for transform in MAPS:
        line = transform_line(row.line, [transform])
        if line is not row.line:
            parse(line)
            require(transform_line(line, [transform]) is line, "a map is idempotent", row.line)
    return "rows"


def _text(text: str, choice: int) -> str:
    """Check the parser of markup on a text."""
    context = ParseContext(TOOLS if choice & 1 else {}, bool(choice & 2), bool(choice & 4))
    try:
        parsed = parse_text(text, context)
    except ValueError as error:
        require(" - " in str(error), "a reason has the form: what is wrong - what to do", str(error))
        return "refused"
    require(parsed.calls or parsed.text == text, "a text without calls is unchanged", text)
    return "rows"


def _file(form: str, content: bytes, dialect: str) -> str:
    """Check a reader on a file, in one chunk and in chunks of 7 bytes, with equal results."""
    try:
        if form in ("gz", "zst"):
            decompressed = b"".join(decompress(iter([content]), form))
            require(
                form != "gz" or gzip.decompress(content) == decompressed,
                "gzip gives the content that the standard library gives",
                content,
            )
            require(
                b"".join(decompress(_chunks(content), form)) == decompressed,
                "the result does not depend on chunk boundaries",
                content,
            )
            return "rows"
        numbered = list(joined(FORMATS[form](Path(f"a.{form}"), iter([content]))))
        require(
            numbered == list(joined(FORMATS[form](Path(f"a.{form}"), _chunks(content)))),
            "the result does not depend on chunk boundaries",
            content,
        )
    except DamagedError:
        return "refused"
    except PunieError as error:
        check_error(error)
        return "refused"
    for _, record in numbered[:20]:
        if isinstance(record, str):
            check_reason(f"where: {record}")
        else:
            _row(record, dialect)
    return "rows"


def _chunks(content: bytes) -> Iterator[bytes]:
    return (content[start : start + 7] for start in range(0, len(content), 7))


def seeds() -> list[bytes]:
    """Return the initial corpus: a row of each dialect, and the fragments that rows are made of."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    announced = 'SYSTEM: You have access, with access to the following functions. Use them if required -\n{"name": "f"}'
    turns = [("system", '<tools>{"name": "f"}</tools>'), ("gpt", FRAGMENTS[0]), ("tool", "x")]
    rows = [
        {"messages": messages, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"conversations": [{"from": role, "value": text} for role, text in turns]},
        {"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]], "system": "s"},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "completion": "b"},
        {"text": f"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n{FRAGMENTS[0]}<|im_end|>"},
        {"system": announced, "chat": f"USER: a\n\n\nASSISTANT: {GLAIVE} <|endoftext|>\n\n\nFUNCTION RESPONSE: x"},
        {"docstring": "a", "code": "b", "func_name": "c"},
    ]
    logs = ["\n".join(map(json.dumps, records)).encode() for records, _ in FILES.values()]
    lines = [json.dumps(row).encode() for row in (*rows, *(record for _, record, _ in SHAPES))]
    tables = (b'prompt,completion\n"a ""b""",c\n', b'messages\ttools\n"[{""role"": ""user"", ""content"": ""a""}]"\t\n')
    corpus = [bytes([TARGETS.index("row"), 0]) + line for line in lines]
    corpus += [bytes([target, 0]) + b"\n".join(lines[:3]) for target in range(2)] + [b"\1\0[" + lines[2] + b",1]"]
    corpus += [bytes([target + 2, 0]) + table for target, table in enumerate(tables)]
    corpus += [bytes([TARGETS.index("jsonl"), 0]) + log for log in logs]
    corpus += [b"\4\0" + gzip.compress(b"a\nb", mtime=0)]
    return corpus + [bytes([TARGETS.index("text"), 7]) + fragment.encode("utf-8", "replace") for fragment in FRAGMENTS]


def dictionary() -> str:
    """Return the dictionary of the fuzzer, in the format of libFuzzer."""
    words = [fragment.encode("utf-8", "replace") for fragment in FRAGMENTS if len(fragment) < 40]
    words += [
        b'"messages": [',
        b'"role": "assistant", ',
        b'"content": "',
        b'"tool_calls": [{"function": {"name": "f"}}]',
        b'"from": "gpt", "value": "',
        b"\xef\xbb\xbf",
        b"\\ud800",
    ]
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)
