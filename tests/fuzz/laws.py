"""The laws that hold for any data, however it is written: `tests/fuzz/run.py` and `tests/fuzz/test_fuzz.py` check them.

A case is a file, a dialect, and a stage that filters it. `check` returns its outcome, and raises `BrokenError` for a
broken law; any other exception is a crash.
"""

from __future__ import annotations

import codecs
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.data import pipeline
from punie_build.data.dialects import normalize
from punie_build.data.example import SPLITS, Row, parse
from punie_build.data.filters.union import AnyFilter, FilterContext
from punie_build.data.ingest import ingest, to_chat_row
from punie_build.data.sources import Local, code_pair_to_chat
from punie_build.data.spec import Dataset, Stage
from punie_build.data.split import Split
from punie_build.data.stats import read_stats
from punie_build.data.transforms import AnyTransform, SystemPrompt
from punie_build.data.turns import CutTurns
from punie_build.data.unreadable import UnreadableRow
from punie_build.errors import PunieError
from punie_build.storage import paths

SECONDS = 5  # of CPU time for one case
PROBLEM = re.compile(r"[^\n]+?: [^\n]+ - [^\n]+")  # where: what is wrong - what to do
MORE_LINES = re.compile(r"\.\.\. and \d+ more such lines")
SPLIT_FILES = tuple(f"{split}.jsonl" for split in SPLITS)
LOG = "log"  # name of a file whose lines are parts of conversations
LINE_FORMATS = ("jsonl", "ndjson", "jsonlines")
SUITES = {"fuzz": ("Look at a", "what does the function of this file return when nothing is found")}
CONTEXT = FilterContext(suites=SUITES, bases={"nano": paths.nano()})


class Case(Struct, frozen=True):
    """A file called `name`, the number of its records where that is known, and the filters and maps of a stage."""

    name: str
    content: bytes
    dialect: str = "auto"
    rows: int | None = None
    filters: tuple[AnyFilter, ...] = ()
    maps: tuple[AnyTransform, ...] = ()


class BrokenError(AssertionError):
    """A broken law, with its name in `law`."""

    def __init__(self, law: str, detail: object) -> None:
        self.law = law
        super().__init__(f"{law}: {detail!a:.2000}")


class SlowError(BaseException):
    """A case exceeded its time. It is not an Exception, so that the code under test cannot catch it."""


def require(condition: object, law: str, detail: object = None) -> None:
    """Raise BrokenError unless the condition is true."""
    if not condition:
        raise BrokenError(law, detail)


@contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise SlowError after this CPU time. Wall time would depend on other processes of the machine."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise SlowError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGPROF, on_alarm)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def check_error(error: PunieError) -> None:
    """Require that every line of an error has place, problem and fix, and can be printed."""
    for line in str(error).split("\n"):
        require(
            PROBLEM.fullmatch(line) or MORE_LINES.fullmatch(line),
            "an error has the form: where: what is wrong - what to do",
            str(error),
        )
    require(is_printable(str(error)), "an error can be printed", str(error))


def is_printable(text: str) -> bool:
    """Whether a text can be encoded as UTF-8."""
    return text == text.encode("utf-8", "replace").decode()


def check(case: Case, folder: Path) -> str:
    """Ingest and filter a case in an empty folder. Return `rows`, `refused` (an error of the user) or `empty`."""
    (folder / "raw").mkdir()
    (folder / "raw" / case.name).write_bytes(case.content)
    source = Local(path=f"raw/{case.name}")
    try:
        records = [row for _, row in ingest(folder, source, case.dialect, folder)]
    except PunieError as error:
        check_error(error)
        return "refused"
    rows = [row for row in records if isinstance(row, Row)]
    _check_counts(case, records)
    for row in rows:
        check_row(row, case.dialect)
    for record in records:
        if isinstance(record, UnreadableRow):
            check_reason(f"{record.where}: {record.reason}")
    out = _check_dataset(folder, case, rows, len(records))
    return _check_stage(folder, case, out) if out else "empty"


def check_reason(reason: str) -> None:
    """Require that a reason has a problem and a fix, and can be printed."""
    require(PROBLEM.fullmatch(reason), "a reason has the form: what is wrong - what to do", reason)
    require(is_printable(reason), "a reason can be printed", reason)


def _without_marks(line: bytes) -> bytes:
    """Return a line without the byte order marks before it."""
    return _without_marks(line[3:]) if line.startswith(codecs.BOM_UTF8) else line


def _check_counts(case: Case, records: Sequence[Row | UnreadableRow]) -> None:
    """Require one record for each line that is not blank, and the bytes of canonical rows."""
    require(case.rows in (None, len(records)), "every record is read or reported", (case.rows, len(records)))
    if case.name.rpartition(".")[2] in LINE_FORMATS and not case.name.startswith(LOG):
        lines = [_without_marks(line) for line in case.content.split(b"\n")]
        lines = [line for line in lines if line.strip()]
        if any(line.startswith(b"[") for line in lines):  # a list has any number of rows
            return
        require(len(lines) == len(records), "every line is read or reported", (len(lines), len(records)))
        for line, row in zip(lines, records, strict=True):
            if isinstance(row, Row):
                check_bytes(line.rstrip(b"\r"), row, case.dialect)


def check_bytes(line: bytes, row: Row, dialect: str) -> None:
    """Require that a row has the bytes of its line, unless it was converted from another dialect."""
    if row.line != line:
        record = msgspec.json.decode(line)
        require(
            normalize.to_canonical(code_pair_to_chat(record), dialect) != record,
            "a canonical row keeps its bytes",
            (line, row.line),
        )


def check_row(row: Row, dialect: str) -> None:
    """Require that a row is strict JSON on one line, and that a second conversion does not change it."""
    require(b"\n" not in row.line, "a row is one line", row.line)
    decode_strict(row.line)
    second = dialect if dialect in ("auto", *normalize.MARKUPS) else "messages"
    require(parse(row.line).example == row.example, "a row parses again", row.line)
    require(to_chat_row(row.line, second).line == row.line, "the canonical form is stable", (second, row.line))


def decode_strict(line: bytes) -> Any:
    """Decode JSON by the standard library, without its extensions, long integers and deep nesting."""

    def reject(name: str) -> None:
        raise BrokenError("a line is strict JSON", line)

    try:
        return json.loads(line, parse_constant=reject, parse_int=str)
    except RecursionError:
        return None
    except ValueError as error:
        raise BrokenError("a line is strict JSON", (str(error), line)) from None


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _check_dataset(folder: Path, case: Case, rows: list[Row], seen: int) -> Path | None:
    """Build the dataset of the case: rows in = kept + dropped, and its files have the bytes of the rows."""
    out = folder / "dataset"
    out.mkdir()
    split = Split(valid=0.2, test=0.2, group_by=("prompt",))
    spec = Dataset(source=Local(path=f"raw/{case.name}"), dialect=case.dialect, unreadable="drop", split=split)
    try:
        total = pipeline.build_dataset("fuzz", spec, folder, out).total
    except PunieError as error:
        check_error(error)
        require(not rows, "a dataset is refused only without rows", str(error))
        return None
    require((total.seen, total.kept) == (seen, len(rows)), "the dataset counts its rows", (total, seen, len(rows)))
    require(total.seen == total.kept + sum(total.dropped.values()), "in = kept + dropped", total)
    written = Counter(line for split in SPLITS for line in _lines(out / f"{split}.jsonl"))
    require(written == Counter(row.line for row in rows), "a dataset has the bytes of its rows")
    dropped = [decode_strict(line) for line in _lines(out / "dropped.jsonl")]
    require(
        len(dropped) == seen - len(rows), "dropped rows are written to dropped.jsonl", (len(dropped), seen, len(rows))
    )
    return out


def _check_stage(folder: Path, case: Case, source: Path) -> str:
    """Run the stage of the case twice with equal results, and on its own output without a change."""
    if not (case.filters or case.maps):
        return "rows"
    spec = Stage(from_="fuzz", filters=case.filters, maps=case.maps)
    first = _run_stage(spec, source, folder / "first")
    require(first == _run_stage(spec, source, folder / "second"), "a stage is deterministic")
    if isinstance(first, str):
        return "empty"
    for split in SPLITS:
        _check_split(case, split, _lines(source / f"{split}.jsonl"), folder / "first")
    if {CutTurns, SystemPrompt} <= {type(step) for step in case.maps}:
        return "rows"  # the prompt that is added counts as a message when turns are cut again
    third = _run_stage(spec, folder / "first", folder / "third")
    unchanged = (
        {name: first[name] == content for name, content in third.items() if name in SPLIT_FILES}
        if isinstance(third, dict)
        else third
    )
    require(unchanged == dict.fromkeys(SPLIT_FILES, True), "a stage is idempotent", unchanged)
    return "rows"


def _run_stage(spec: Stage, source: Path, out: Path) -> dict[str, bytes] | str:
    """Return the files of a stage, or its error."""
    out.mkdir()
    try:
        pipeline.build_stage("fuzz", spec, source, out, CONTEXT)
    except PunieError as error:
        check_error(error)
        return str(error)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _check_split(case: Case, split: str, rows_in: list[bytes], out: Path) -> None:
    """Check one split of a stage with its files in `out`; `rows_in` are the rows of its source."""
    stats = read_stats(out)
    counts, rows_out = stats.splits[split], _lines(out / f"{split}.jsonl")
    dropped = [decode_strict(line) for line in _lines(out / "dropped.jsonl")]
    reasons = Counter(record["reason"] for record in dropped if record["split"] == split)
    require(counts.seen == len(rows_in) == counts.kept + sum(counts.dropped.values()), "in = kept + dropped", counts)
    require(counts.kept == len(rows_out), "kept rows are written", (counts, len(rows_out)))
    require(reasons == Counter(counts.dropped), "dropped rows are written with their reasons", (counts, reasons))
    changed = Counter(rows_out) - Counter(rows_in)
    require(not changed or case.maps, "kept rows keep their bytes", changed)
    require(changed.total() <= stats.changed, "only maps change rows", changed)
    for line in changed:
        parse(line)
        decode_strict(line)
    if not case.maps:
        remaining = iter(rows_in)
        require(all(line in remaining for line in rows_out), "rows keep their order")
