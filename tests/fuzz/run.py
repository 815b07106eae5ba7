"""The fuzz run: data as nobody should write it, through readers, dialects, filters and maps, and what must be true of it.

    python tests/fuzz/run.py --minutes 60                       both engines, half the time each; ends with 1 if a law was broken
    python tests/fuzz/run.py --minutes 5 --engine hypothesis --seed 7
    python tests/fuzz/run.py --again FILE                       one saved case once more, with its traceback

The laws are in `tests/fuzz/laws.py`. Hypothesis draws whole projects from grammars (`tests/fuzz/cases.py`, `tests/fuzz/rows.py`): a file, read by
`gather`, made a dataset, sifted by a stage. Atheris makes up bytes, guided by the lines they reach (`tests/fuzz/byte_inputs.py`). Each engine
runs in a process of its own, so that what kills it is a finding, too. Each finding is made small, saved under `--into`, and
counted once: by its law, or by its exception and the line of ours that raised it. `tests/fuzz/test_fuzz.py` runs a short form.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))
EVERY = 30.0  # seconds between lines of progress
STUCK = 120.0  # seconds without a case after which an engine is ended
SHRINKING = 20.0  # seconds to make a finding smaller


class Book:
    """What an engine counts and finds. `run` holds one case to the laws; what it broke is saved, and raised if it is new."""

    def __init__(self, engine: str, seconds: float, into: Path) -> None:
        self.engine, self.into = engine, into
        self.started = time.monotonic()
        self.end, self.next = self.started + seconds, self.started + EVERY
        self.counts: Counter[str] = Counter()
        self.known: set[str] = {str(json.loads(path.read_text())["signature"]) for path in into.glob("*.json")}
        self.smallest: dict[str, tuple[bytes, str]] = {}

    def over(self) -> bool:
        return time.monotonic() >= self.end

    def tell(self, last: bool = False) -> None:
        if last or time.monotonic() >= self.next:
            self.next = time.monotonic() + EVERY
            passed = time.monotonic() - self.started
            cases = self.counts.total()
            parts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
            print(f"{self.engine:10} {passed / 60:5.1f} min  {cases} cases ({cases / passed * 60:.0f} a minute): {parts or 'none'}; {len(self.known)} crashes", flush=True)  # fmt: skip

    def run(self, hold: Callable[[Any], str], case: Any, saved: bytes) -> None:
        """`saved` is the case as it is written to a file. Raises what breaks a law for the first time."""
        self.tell()
        try:
            self.counts[hold(case)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            name = signature(error)
            self.counts["broken"] += 1
            if name in self.known:
                return
            if name not in self.smallest or len(saved) < len(self.smallest[name][0]):
                self.smallest[name] = saved, "".join(traceback.format_exception(error)[-12:])
            raise Broken(name) from None

    def save(self) -> None:
        """Write down what is new, print it, and take it for known from now on."""
        for name, (content, said) in self.smallest.items():
            self.known.add(name)
            path = self.into / f"{self.engine}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
            path.with_suffix(".case").write_bytes(content)
            path.with_suffix(".json").write_text(json.dumps({"signature": name, "traceback": said}, indent=1))
            print(f"CRASH {name}\n    {path.with_suffix('.case')}\n{said[-1500:]}", flush=True)
        self.smallest.clear()


class Broken(Exception):  # noqa: N818 - what was broken is in its name
    """A finding that is new."""


def signature(error: BaseException) -> str:
    """What makes two findings one: the law, or the exception with the last line of ours."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "punie_build" in Path(frame.filename).parts]
    last = f" in {Path(ours[-1].filename).stem}.{ours[-1].name}: {ours[-1].line}" if ours else ""
    return getattr(error, "law", None) or f"{type(error).__name__}{last}"


def by_hypothesis(book: Book, seed: int) -> None:
    """Draw cases until the time is over; a finding is shrunk by Hypothesis itself."""
    import hypothesis
    import msgspec

    from tests.fuzz import cases as fuzz_cases
    from tests.fuzz import laws as fuzz_laws

    def hold(case: fuzz_laws.Case) -> str:
        with tempfile.TemporaryDirectory() as folder, fuzz_laws.in_time():
            return fuzz_laws.hold(case, Path(folder))

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # what filters load when they are first asked is no part of a case's time
        fuzz_laws.hold(fuzz_cases.everything(), Path(folder))
    current = book.into / "current.case"
    while not book.over():

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=500,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            verbosity=hypothesis.Verbosity.quiet,
        )
        @hypothesis.given(fuzz_cases.cases())
        def law(case: fuzz_laws.Case) -> None:
            if book.over():
                return
            saved = msgspec.json.encode(case)
            current.write_bytes(saved)
            book.run(hold, case, saved)

        try:
            law()
        except Exception:  # what is in the book; Hypothesis may say that it is not sure of it
            if not (book.smallest or book.over()):
                raise
        book.save()
        seed += 1
    current.unlink(missing_ok=True)


def by_atheris(book: Book, seed: int) -> None:
    """Let atheris make up bytes until the time is over. Never returns."""
    import atheris

    with atheris.instrument_imports(include=["punie_build"]):
        from tests.fuzz import byte_inputs as fuzz_bytes
    from tests.fuzz import laws as fuzz_laws

    corpus = book.into / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(fuzz_bytes.seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    (book.into / "words.dict").write_text(fuzz_bytes.dictionary())

    def hold(data: bytes) -> str:
        with fuzz_laws.in_time():
            return fuzz_bytes.hold(data)

    def target(data: bytes) -> None:
        if book.over():
            book.tell(last=True)
            os._exit(0)
        try:
            book.run(hold, data, data)
        except Broken as found:
            shrink(book, hold, data, str(found))
            book.save()

    options = [f"-seed={seed + 1}", "-max_len=4000", f"-timeout={STUCK:.0f}", "-rss_limit_mb=4000", "-verbosity=0"]
    options += [f"-dict={book.into / 'words.dict'}", f"-artifact_prefix={book.into}/killed-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


def shrink(book: Book, hold: Callable[[bytes], str], data: bytes, name: str) -> None:
    """Leave out of it what can be left out; the book keeps the smallest that is as broken."""
    end, size = time.monotonic() + SHRINKING, len(data) // 2
    while size and time.monotonic() < end:
        at = 2
        while at < len(data) and time.monotonic() < end:
            less = data[:at] + data[at + size :]
            try:
                book.run(hold, less, less)
            except Broken as found:
                if str(found) == name:
                    data = less
                    continue
            at += size
        size //= 2


ENGINES = {"hypothesis": by_hypothesis, "atheris": by_atheris}


def watched(engine: str, seconds: float, seed: int, into: Path) -> None:
    """Run an engine in a process of its own, and again where it dies before its time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        command = [sys.executable, __file__, "--engine", engine, "--minutes", str(left / 60), "--seed", str(seed), "--into", str(into), "--inside"]  # fmt: skip
        with (into / f"{engine}.log").open("ab") as log:
            child = subprocess.Popen(command, stderr=log)
        current = into / "current.case"
        while child.poll() is None:
            time.sleep(0.5)
            with suppress(OSError):
                if time.time() - current.stat().st_mtime > STUCK:
                    child.kill()
        if child.returncode == 0:
            return
        killed = sorted(into.glob("killed-*")) or [current]
        name = f"{engine} ended with {child.returncode}, see {into / f'{engine}.log'}"
        print(f"CRASH {name}", flush=True)
        for path in (path for path in killed if path.exists()):
            place = into / f"{engine}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
            path.rename(place.with_suffix(".case"))
            print(f"    {place.with_suffix('.case')}", flush=True)
        (into / f"{engine}-ended-{seed}.json").write_text(json.dumps({"signature": name, "traceback": ""}))
        seed += 1000


def again(path: Path) -> int:
    """One saved case once more."""
    import msgspec

    from tests.fuzz import byte_inputs as fuzz_bytes
    from tests.fuzz import laws as fuzz_laws

    content = path.read_bytes()
    if path.name.startswith("hypothesis"):
        with tempfile.TemporaryDirectory() as folder:
            print(fuzz_laws.hold(msgspec.json.decode(content, type=fuzz_laws.Case), Path(folder)))
    else:
        print(fuzz_bytes.hold(content))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=(*ENGINES, "both"), default="both")
    parser.add_argument("--into", type=Path, default=Path(tempfile.gettempdir(), "punie-fuzz"))
    parser.add_argument("--again", type=Path, metavar="FILE")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again:
        return again(options.again)
    engines = list(ENGINES) if options.engine == "both" else [options.engine]
    if options.inside:
        book = Book(engines[0], options.minutes * 60, options.into)
        ENGINES[engines[0]](book, options.seed)
        book.tell(last=True)
        return 0
    for engine in engines:
        if not importlib.util.find_spec(engine):
            print(f"{engine} is not installed - pip install {engine}, or choose the other one by --engine")
            return 2
    shutil.rmtree(options.into, ignore_errors=True)
    options.into.mkdir(parents=True)
    for engine in engines:
        watched(engine, options.minutes * 60 / len(engines), options.seed, options.into)
    found = sorted(json.loads(path.read_text())["signature"] for path in options.into.glob("*.json"))
    print(f"{len(found)} crashes" + "".join(f"\n    {name}" for name in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
