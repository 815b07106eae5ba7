"""The fuzz run: random data through readers, dialects, filters and maps, checked by laws.

    python tests/fuzz/run.py --minutes 60         both engines, half of the time each; exit code 1 for a broken law
    python tests/fuzz/run.py --minutes 5 --engine hypothesis --seed 7
    python tests/fuzz/run.py --replay FILE        one saved case, with its traceback

The laws are in `laws.py`. Hypothesis draws projects from grammars (`cases.py`, `rows.py`): a file that becomes a
dataset and then a stage. Atheris generates bytes guided by coverage (`byte_inputs.py`). Each engine runs in a process
of its own, so that a crash of the process is a finding, too. Each finding is minimized, saved under `--into`, and
counted once: by its law, or by its exception and the last line of this package in the traceback. `test_fuzz.py` runs
a short form.
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
PROGRESS_SECONDS = 30.0  # seconds between lines of progress
STUCK_SECONDS = 120.0  # without a case, after which an engine is killed
SHRINK_SECONDS = 20.0  # for minimizing a finding


class Findings:
    """The counts and findings of an engine. `run` checks one case, and raises a new finding."""

    def __init__(self, engine: str, seconds: float, into: Path) -> None:
        self.engine, self.into = engine, into
        self.started = time.monotonic()
        self.end, self.next = self.started + seconds, self.started + PROGRESS_SECONDS
        self.counts: Counter[str] = Counter()
        self.signatures: set[str] = {str(json.loads(path.read_text())["signature"]) for path in into.glob("*.json")}
        self.smallest: dict[str, tuple[bytes, str]] = {}

    def is_over(self) -> bool:
        """Whether the time of the engine is over."""
        return time.monotonic() >= self.end

    def print_progress(self, last: bool = False) -> None:
        """Print the counts, at most every PROGRESS_SECONDS or for the last time."""
        if last or time.monotonic() >= self.next:
            self.next = time.monotonic() + PROGRESS_SECONDS
            elapsed = time.monotonic() - self.started
            cases = self.counts.total()
            parts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
            print(
                (
                    f"{self.engine:10} {elapsed / 60:5.1f} min  {cases} cases ({cases / elapsed * 60:.0f} a "
                    f"minute): {parts or 'none'}; {len(self.signatures)} crashes"
                ),
                flush=True,
            )

    def run(self, check: Callable[[Any], str], case: Any, saved: bytes) -> None:
        """Check a case, whose bytes are `saved`. Raises NewFinding if it breaks a law or crashes in a new place."""
        self.print_progress()
        try:
            self.counts[check(case)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            name = signature(error)
            self.counts["broken"] += 1
            if name in self.signatures:
                return
            if name not in self.smallest or len(saved) < len(self.smallest[name][0]):
                self.smallest[name] = saved, "".join(traceback.format_exception(error)[-12:])
            raise NewFinding(name) from None

    def save(self) -> None:
        """Save and print the new findings, which are known from then on."""
        for name, (content, trace) in self.smallest.items():
            self.signatures.add(name)
            path = self.into / f"{self.engine}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
            path.with_suffix(".case").write_bytes(content)
            path.with_suffix(".json").write_text(json.dumps({"signature": name, "traceback": trace}, indent=1))
            print(f"CRASH {name}\n    {path.with_suffix('.case')}\n{trace[-1500:]}", flush=True)
        self.smallest.clear()


class NewFinding(Exception):  # noqa: N818 - it is a result, not an error
    """A finding with a new signature."""


def signature(error: BaseException) -> str:
    """Return the law, or the exception with the last line of this package: equal for findings of one cause."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "punie_build" in Path(frame.filename).parts]
    last = f" in {Path(ours[-1].filename).stem}.{ours[-1].name}: {ours[-1].line}" if ours else ""
    return getattr(error, "law", None) or f"{type(error).__name__}{last}"


def by_hypothesis(findings: Findings, seed: int) -> None:
    """Draw cases until the time is over. Hypothesis minimizes the findings."""
    import hypothesis
    import msgspec

    from tests.fuzz import cases as fuzz_cases
    from tests.fuzz import laws as fuzz_laws

    def check(case: fuzz_laws.Case) -> str:
        with tempfile.TemporaryDirectory() as folder, fuzz_laws.time_limit():
            return fuzz_laws.check(case, Path(folder))

    with (
        tempfile.TemporaryDirectory() as folder
    ):  # filters load their data at first use, which must not count as the time of a case
        fuzz_laws.check(fuzz_cases.case_of_all_kinds(), Path(folder))
    current = findings.into / "current.case"
    while not findings.is_over():

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
            if findings.is_over():
                return
            saved = msgspec.json.encode(case)
            current.write_bytes(saved)
            findings.run(check, case, saved)

        try:
            law()
        except Exception:  # a finding; Hypothesis may report it as flaky
            if not (findings.smallest or findings.is_over()):
                raise
        findings.save()
        seed += 1
    current.unlink(missing_ok=True)


def by_atheris(findings: Findings, seed: int) -> None:
    """Run atheris until the time is over. Never returns."""
    import atheris

    with atheris.instrument_imports(include=["punie_build"]):
        from tests.fuzz import byte_inputs as fuzz_bytes
    from tests.fuzz import laws as fuzz_laws

    corpus = findings.into / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(fuzz_bytes.seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    (findings.into / "words.dict").write_text(fuzz_bytes.dictionary())

    def check(data: bytes) -> str:
        with fuzz_laws.time_limit():
            return fuzz_bytes.check(data)

    def target(data: bytes) -> None:
        if findings.is_over():
            findings.print_progress(last=True)
            os._exit(0)
        try:
            findings.run(check, data, data)
        except NewFinding as finding:
            shrink(findings, check, data, str(finding))
            findings.save()

    options = [
        f"-seed={seed + 1}",
        "-max_len=4000",
        f"-timeout={STUCK_SECONDS:.0f}",
        "-rss_limit_mb=4000",
        "-verbosity=0",
    ]
    options += [f"-dict={findings.into / 'words.dict'}", f"-artifact_prefix={findings.into}/killed-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


def shrink(findings: Findings, check: Callable[[bytes], str], data: bytes, name: str) -> None:
    """Remove bytes while the finding stays the same; `findings` keeps the smallest case."""
    end, size = time.monotonic() + SHRINK_SECONDS, len(data) // 2
    while size and time.monotonic() < end:
        start = 2
        while start < len(data) and time.monotonic() < end:
            candidate = data[:start] + data[start + size :]
            try:
                findings.run(check, candidate, candidate)
            except NewFinding as finding:
                if str(finding) == name:
                    data = candidate
                    continue
            start += size
        size //= 2


ENGINES = {"hypothesis": by_hypothesis, "atheris": by_atheris}


def supervise(engine: str, seconds: float, seed: int, into: Path) -> None:
    """Run an engine in a process of its own, and restart it if it dies before its time is over."""
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 1:
        command = [
            sys.executable,
            __file__,
            "--engine",
            engine,
            "--minutes",
            str(remaining / 60),
            "--seed",
            str(seed),
            "--into",
            str(into),
            "--inside",
        ]
        with (into / f"{engine}.log").open("ab") as log:
            child = subprocess.Popen(command, stderr=log)
        current = into / "current.case"
        while child.poll() is None:
            time.sleep(0.5)
            with suppress(OSError):
                if time.time() - current.stat().st_mtime > STUCK_SECONDS:
                    child.kill()
        if child.returncode == 0:
            return
        killed = sorted(into.glob("killed-*")) or [current]
        name = f"{engine} ended with {child.returncode}, see {into / f'{engine}.log'}"
        print(f"CRASH {name}", flush=True)
        for path in (path for path in killed if path.exists()):
            saved = into / f"{engine}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
            path.rename(saved.with_suffix(".case"))
            print(f"    {saved.with_suffix('.case')}", flush=True)
        (into / f"{engine}-ended-{seed}.json").write_text(json.dumps({"signature": name, "traceback": ""}))
        seed += 1000


def replay(path: Path) -> int:
    """Run a saved case."""
    import msgspec

    from tests.fuzz import byte_inputs as fuzz_bytes
    from tests.fuzz import laws as fuzz_laws

    content = path.read_bytes()
    if path.name.startswith("hypothesis"):
        with tempfile.TemporaryDirectory() as folder:
            print(fuzz_laws.check(msgspec.json.decode(content, type=fuzz_laws.Case), Path(folder)))
    else:
        print(fuzz_bytes.check(content))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=(*ENGINES, "both"), default="both")
    parser.add_argument("--into", type=Path, default=Path(tempfile.gettempdir(), "punie-fuzz"))
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    engines = list(ENGINES) if options.engine == "both" else [options.engine]
    if options.inside:
        findings = Findings(engines[0], options.minutes * 60, options.into)
        ENGINES[engines[0]](findings, options.seed)
        findings.print_progress(last=True)
        return 0
    for engine in engines:
        if not importlib.util.find_spec(engine):
            print(f"{engine} is not installed - pip install {engine}, or choose the other engine by --engine")
            return 2
    shutil.rmtree(options.into, ignore_errors=True)
    options.into.mkdir(parents=True)
    for engine in engines:
        supervise(engine, options.minutes * 60 / len(engines), options.seed, options.into)
    signatures = sorted(json.loads(path.read_text())["signature"] for path in options.into.glob("*.json"))
    print(f"{len(signatures)} crashes" + "".join(f"\n    {name}" for name in signatures))
    return 1 if signatures else 0


if __name__ == "__main__":
    sys.exit(main())
