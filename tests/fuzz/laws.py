"""What must be true of any data, however it is written: the laws that `tests/fuzz/run.py` and `tests/fuzz/test_fuzz.py` hold a case to.

A case is a file, a dialect, and a stage to sift it with. `hold` says what became of it, and raises `BrokenError` for a broken law; any
other exception is a crash.
"""

from __future__ import annotations

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
from punie_build.data.ingest import UnreadableRow, ingest, to_chat_row
from punie_build.data.sources import Local, code_pair_to_chat
from punie_build.data.spec import Dataset, Stage
from punie_build.data.split import Split
from punie_build.data.stats import read_stats
from punie_build.data.transforms import AnyTransform
from punie_build.errors import PunieError
from punie_build.storage import paths

SECONDS = 5  # for one case: more is a hang
TOLD = re.compile(r"[^\n]+?: [^\n]+ - [^\n]+")  # where: what - what to do
MORE = re.compile(r"\.\.\. and \d+ more such lines")
SIDES = tuple(f"{split}.jsonl" for split in SPLITS)
LINES = ("jsonl", "ndjson")
SUITES = {"fuzz": ("Look at a", "what does the function of this file return when nothing is found")}
CONTEXT = FilterContext(suites=SUITES, bases={"nano": paths.nano()})


class Case(Struct, frozen=True):
    """A file called `name`; `rows` is how many records it holds, where that is known; `filters` and `maps` make a stage."""

    name: str
    content: bytes
    dialect: str = "auto"
    rows: int | None = None
    filters: tuple[AnyFilter, ...] = ()
    maps: tuple[AnyTransform, ...] = ()


class BrokenError(AssertionError):
    """A law that does not hold: `law` names it."""

    def __init__(self, law: str, detail: object) -> None:
        self.law = law
        super().__init__(f"{law}: {detail!a:.2000}")


class SlowError(BaseException):
    """A case took longer than it may. No Exception: nothing in between takes it for an error of its own."""


def must(holds: object, law: str, detail: object = None) -> None:
    if not holds:
        raise BrokenError(law, detail)


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """Raises SlowError in what takes longer, by the clock of the processor: others may use the machine, too."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise SlowError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def told(error: PunieError) -> None:
    """Every line of an error says where, what, and what to do, in characters that can be printed."""
    for line in str(error).split("\n"):
        must(TOLD.fullmatch(line) or MORE.fullmatch(line), "an error says where: what - what to do", str(error))
    must(printable(str(error)), "an error can be printed", str(error))


def printable(text: str) -> bool:
    return text == text.encode("utf-8", "replace").decode()


def hold(case: Case, folder: Path) -> str:
    """Read, normalise and sift a case in an empty folder; `rows`, `refused` (a user's error), or `empty` (no row is left)."""
    (folder / "raw").mkdir()
    (folder / "raw" / case.name).write_bytes(case.content)
    source = Local(path=f"raw/{case.name}")
    try:
        found = [row for _, row in ingest(folder, source, case.dialect, folder)]
    except PunieError as error:
        told(error)
        return "refused"
    rows = [row for row in found if isinstance(row, Row)]
    _counted(case, found)
    for row in rows:
        readable(row, case.dialect)
    for lost in found:
        if isinstance(lost, UnreadableRow):
            explained(f"{lost.where}: {lost.reason}")
    out = _made(folder, case, rows, len(found))
    return _sifted(folder, case, out) if out else "empty"


def explained(reason: str) -> None:
    must(TOLD.fullmatch(reason), "a reason says what - and what to do", reason)
    must(printable(reason), "a reason can be printed", reason)


def _counted(case: Case, found: Sequence[Row | UnreadableRow]) -> None:
    """Nothing is lost and nothing is made up; a row that is chat keeps its bytes."""
    must(case.rows in (None, len(found)), "every record is read or told", (case.rows, len(found)))
    if case.name.rpartition(".")[2] in LINES:
        lines = case.content.split(b"\n")
        lines = lines if lines[-1] else lines[:-1]
        must(len(lines) == len(found), "every line is read or told", (len(lines), len(found)))
        for line, row in zip(lines, found, strict=True):
            if isinstance(row, Row):
                forwarded(line.rstrip(b"\r"), row, case.dialect)


def forwarded(line: bytes, row: Row, dialect: str) -> None:
    """A row has the bytes of its line, unless its dialect had to be normalised."""
    if row.line != line:
        record = msgspec.json.decode(line)
        must(
            normalize.to_canonical(code_pair_to_chat(record), dialect) != record,
            "what is chat keeps its bytes",
            (line, row.line),
        )


def readable(row: Row, dialect: str) -> None:
    """A row is strict JSON on one line, and what is normalised once is normal."""
    must(b"\n" not in row.line, "a row is one line", row.line)
    strict(row.line)
    again = dialect if dialect in ("auto", *normalize.MARKUPS) else "messages"
    must(parse(row.line) == row, "a row parses again", row.line)
    must(to_chat_row(row.line, again).line == row.line, "normalising twice is normalising once", (again, row.line))


def strict(line: bytes) -> Any:
    """JSON as the standard library reads it, without its extensions. (It has no long integers and no deep nesting.)"""

    def constant(name: str) -> None:
        raise BrokenError("a line is strict JSON", line)

    try:
        return json.loads(line, parse_constant=constant, parse_int=str)
    except RecursionError:
        return None
    except ValueError as error:
        raise BrokenError("a line is strict JSON", (str(error), line)) from None


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _made(folder: Path, case: Case, rows: list[Row], seen: int) -> Path | None:
    """The dataset of the case: seen = kept + dropped, and each row's bytes are in one of its files."""
    out = folder / "dataset"
    out.mkdir()
    split = Split(valid=0.2, test=0.2, group_by=("prompt",))
    spec = Dataset(source=Local(path=f"raw/{case.name}"), dialect=case.dialect, unreadable="drop", split=split)
    try:
        made = pipeline.build_dataset("fuzz", spec, folder, out).total
    except PunieError as error:
        told(error)
        must(not rows, "a dataset is refused only where no row is left", str(error))
        return None
    must((made.seen, made.kept) == (seen, len(rows)), "the dataset counts what was read", (made, seen, len(rows)))
    must(made.seen == made.kept + sum(made.dropped.values()), "in = kept + dropped", made)
    written = Counter(line for split in SPLITS for line in _lines(out / f"{split}.jsonl"))
    must(written == Counter(row.line for row in rows), "a dataset has the bytes of its rows")
    dropped = [strict(line) for line in _lines(out / "dropped.jsonl")]
    must(len(dropped) == seen - len(rows), "what is dropped is written down", (len(dropped), seen, len(rows)))
    return out


def _sifted(folder: Path, case: Case, source: Path) -> str:
    """The stage of the case, twice: seen = kept + dropped, bytes forwarded, and the same each time; once more, over what it made."""
    if not (case.filters or case.maps):
        return "rows"
    spec = Stage(from_="fuzz", filters=case.filters, maps=case.maps)
    first = _stage(spec, source, folder / "first")
    must(first == _stage(spec, source, folder / "second"), "a stage gives the same each time")
    if isinstance(first, str):
        return "empty"
    for split in SPLITS:
        _forwarded(case, split, _lines(source / f"{split}.jsonl"), folder / "first")
    third = _stage(spec, folder / "first", folder / "third")
    again = (
        {name: first[name] == content for name, content in third.items() if name in SIDES}
        if isinstance(third, dict)
        else third
    )
    must(again == dict.fromkeys(SIDES, True), "sifting what is sifted changes nothing", again)
    return "rows"


def _stage(spec: Stage, source: Path, out: Path) -> dict[str, bytes] | str:
    """The files of a stage, or what it is refused for."""
    out.mkdir()
    try:
        pipeline.build_stage("fuzz", spec, source, out, CONTEXT)
    except PunieError as error:
        told(error)
        return str(error)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _forwarded(case: Case, split: str, came: list[bytes], out: Path) -> None:
    """The laws for one split of a stage, whose files are in `out`; `came` are the rows of its source."""
    stats = read_stats(out)
    counts, kept = stats.splits[split], _lines(out / f"{split}.jsonl")
    dropped = [strict(line) for line in _lines(out / "dropped.jsonl")]
    lost = Counter(record["reason"] for record in dropped if record["split"] == split)
    must(counts.seen == len(came) == counts.kept + sum(counts.dropped.values()), "in = kept + dropped", counts)
    must(counts.kept == len(kept), "what is kept is written", (counts, len(kept)))
    must(lost == Counter(counts.dropped), "what is dropped is written with its reason", (counts, lost))
    made = Counter(kept) - Counter(came)
    must(not made or case.maps, "what is kept is forwarded byte for byte", made)
    must(made.total() <= stats.changed, "only what maps change is written anew", made)
    for line in made:
        parse(line)
        strict(line)
    if not case.maps:
        places = iter(came)
        must(all(line in places for line in kept), "rows keep their order")
