"""Bytes for the fuzz run: what a coverage-guided engine makes up, held to the laws of one file, one row or one text, in memory.

The first byte says which, the second the dialect; the rest is the content.
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
from punie_build.data.filters.union import DatasetFilter, MaxTokens, MinTokens, ScoredFilter
from punie_build.data.ingest import to_chat_row
from punie_build.data.readers.compression import DamagedError, decompress
from punie_build.data.readers.formats import FORMATS
from punie_build.data.tool_call_markup import ParseContext, parse_text
from punie_build.errors import PunieError
from tests.fuzz.cases import FILTERS, MAPS
from tests.fuzz.laws import explained, forwarded, must, readable, told
from tests.fuzz.rows import PIECES

UNPACKED = ("jsonl", "json", "csv", "tsv")
WAYS = (*UNPACKED, "gz", "zst", "row", "row", "row", "text", "text", "text")  # twice and thrice: more goes there
DIALECTS = ("auto", *normalize.NAMES)
GLAIVE = '<functioncall> {"name": "f", "arguments": \'{}\'}'
QUICK = [
    kind.predicate() for kind in FILTERS if not isinstance(kind, DatasetFilter | ScoredFilter | MaxTokens | MinTokens)
]
TOOLS = {"f": {"a": {"type": "string"}, "n": {"type": ["integer", "null"]}}}


def hold(data: bytes) -> str:
    """What became of it: `rows` or `refused`. Raises BrokenError, or whatever a crash is."""
    way, dialect = (WAYS[data[0] % len(WAYS)], DIALECTS[data[1] % len(DIALECTS)]) if len(data) > 1 else ("row", "auto")
    content = data[2:]
    if way == "text":
        return _text(content.decode("utf-8", "replace"), data[1])
    if way == "row":
        return _row(content.replace(b"\n", b" "), dialect)
    return _file(way, content, dialect)


def _row(record: bytes | dict[str, object], dialect: str) -> str:
    try:
        row = to_chat_row(record, dialect)
    except ValueError as error:
        explained(" ".join(f"where: {error}".split()))  # as gathering tells it
        return "refused"
    readable(row, dialect)
    if isinstance(record, bytes):
        forwarded(record, row, dialect)
    with suppress(ValueError):  # what parses may be of no dialect
        normalize.detect(msgspec.json.decode(row.line))
    for keep in QUICK:
        must(keep(row.example) is keep(row.example), "a filter says the same each time", row.line)
    for rewrite in (kind for kind in MAPS if kind.applies(row.line)):
        record = msgspec.json.decode(row.line)
        if rewrite.rewrite(record):
            parse(msgspec.json.encode(record))
            must(not rewrite.rewrite(record), "a map done twice is a map done once", row.line)
    return "rows"


def _text(text: str, choice: int) -> str:
    """A text with calls: reading it is reading each of its calls, and nothing is left that would be read again."""
    context = ParseContext(TOOLS if choice & 1 else {}, bool(choice & 2), bool(choice & 4))
    try:
        reading = parse_text(text, context)
    except ValueError as error:
        must(" - " in str(error), "a reason says what - and what to do", str(error))
        return "refused"
    must(reading.calls or reading.text == text, "a text without calls stays as it is", text)
    return "rows"


def _file(form: str, content: bytes, dialect: str) -> str:
    """A file, in pieces of 7 bytes: how it is cut must not matter."""
    try:
        if form in ("gz", "zst"):
            whole = b"".join(decompress(iter([content]), form))
            must(form != "gz" or gzip.decompress(content) == whole, "gzip is what the standard library says", content)
            must(b"".join(decompress(_cut(content), form)) == whole, "how a file is cut does not matter", content)
            return "rows"
        found = list(FORMATS[form](Path(f"a.{form}"), iter([content])))
        must(
            found == list(FORMATS[form](Path(f"a.{form}"), _cut(content))),
            "how a file is cut does not matter",
            content,
        )
    except DamagedError:
        return "refused"
    except PunieError as error:
        told(error)
        return "refused"
    for _, record in found[:20]:
        if isinstance(record, str):
            explained(f"where: {record}")
        else:
            _row(record, dialect)
    return "rows"


def _cut(content: bytes) -> Iterator[bytes]:
    return (content[start : start + 7] for start in range(0, len(content), 7))


def seeds() -> list[bytes]:
    """Where the engine begins: a row of each dialect, and the pieces that rows are made of."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    announced = 'SYSTEM: You have access, with access to the following functions. Use them if required -\n{"name": "f"}'
    said = [("system", '<tools>{"name": "f"}</tools>'), ("gpt", PIECES[0]), ("tool", "x")]
    rows = [
        {"messages": talk, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {"conversations": [{"from": role, "value": text} for role, text in said]},
        {"instruction": "a", "input": "b", "output": "c", "history": [["d", "e"]], "system": "s"},
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "completion": "b"},
        {"text": f"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n{PIECES[0]}<|im_end|>"},
        {"system": announced, "chat": f"USER: a\n\n\nASSISTANT: {GLAIVE} <|endoftext|>\n\n\nFUNCTION RESPONSE: x"},
        {"docstring": "a", "code": "b", "func_name": "c"},
    ]
    lines = [json.dumps(row).encode() for row in rows]
    tables = (b'prompt,completion\n"a ""b""",c\n', b'messages\ttools\n"[{""role"": ""user"", ""content"": ""a""}]"\t\n')
    found = [bytes([WAYS.index("row"), 0]) + line for line in lines]
    found += [bytes([way, 0]) + b"\n".join(lines[:3]) for way in range(2)] + [b"\1\0[" + lines[2] + b",1]"]
    found += [bytes([way + 2, 0]) + table for way, table in enumerate(tables)]
    found += [b"\4\0" + gzip.compress(b"a\nb", mtime=0)]
    return found + [bytes([WAYS.index("text"), 7]) + piece.encode("utf-8", "replace") for piece in PIECES]


def dictionary() -> str:
    """Words the engine may put in, as libFuzzer reads them."""
    words = [piece.encode("utf-8", "replace") for piece in PIECES if len(piece) < 40]
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
