"""Filtering of chat JSONL: megabytes per CPU second and memory of a stage, compared with plain Python and polars.

    ./run python benchmarks/data.py                # --mb 900: size; --peers PYTHON: an interpreter with polars

The filters: at least 3 messages, the assistant last, no Han, Kana, Cyrillic or Arabic letters, every text at least 10
characters. Kept rows are written unchanged. punie-build also writes the dropped rows with their reasons, and its
statistics. Each run is a process of its own; the best of three counts. All engines must keep the same number of rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOREIGN = "[\u0400-\u052f\u0600-\u06ff\u0750-\u077f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
WORDS = (
    "parser buffer socket thread module import class function value index tokens model adapter weight gradient "
    "branch commit rebase merge folder editor window cursor line error warning"
).split()

OURS = """
import sys; from pathlib import Path
from punie_build.data import pipeline; from punie_build.data.spec import Stage
from punie_build.data.filters.union import *
scripts = NoScript(scripts=("han", "kana", "cyrillic", "arabic"))
filters = (MinMessages(messages=3), EndsWithAssistant(), scripts, ContentQuality(min_chars=10))
stage = Stage(from_="in", filters=filters)
print(pipeline.build_stage("x", stage, Path(sys.argv[1]), Path(sys.argv[2]), cores=CORES).total.kept)
"""
PLAIN = """
import json, re, sys; from pathlib import Path
foreign, kept = re.compile(sys.argv[3]).search, 0
with Path(sys.argv[1], "train.jsonl").open() as lines, Path(sys.argv[2], "kept.jsonl").open("w") as out:
    for line in lines:
        messages = json.loads(line)["messages"]
        texts = [m.get("content") or "" for m in messages]
        if len(messages) < 3 or messages[-1]["role"] != "assistant" or any(map(foreign, texts)): continue
        words = [t.strip() for m, t in zip(messages, texts) if not m.get("tool_calls") and m["role"] != "tool"]
        if any(len(t) < 10 for t in words): continue
        out.write(line); kept += 1
print(kept)
"""
POLARS = """
import sys; from pathlib import Path; import polars as pl
calls = pl.List(pl.Struct({"id": pl.String}))
message = pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": calls})
shape = pl.Struct({"messages": pl.List(message)})
rows = pl.scan_lines(Path(sys.argv[1], "train.jsonl"), name="line")
rows = rows.with_columns(m=pl.col("line").str.json_decode(shape).struct.field("messages"))
field = pl.element().struct.field
short = field("content").fill_null("").str.strip_chars().str.len_chars() < 10
short &= field("tool_calls").is_null() & (field("role") != "tool")
keep = (pl.col("m").list.len() >= 3) & (pl.col("m").list.last().struct.field("role") == "assistant")
foreign = field("content").fill_null("").str.contains(sys.argv[3])
keep &= ~pl.col("m").list.eval(foreign).list.any() & ~pl.col("m").list.eval(short).list.any()
out = rows.filter(keep).select("line").collect(engine="streaming")
out.write_csv(Path(sys.argv[2], "kept.jsonl"), include_header=False, quote_style="never")
print(len(out))
"""


def generate(path: Path, size: int) -> None:
    """`size` bytes of our own conversations with random words added, one text in a hundred in Japanese."""
    import msgspec

    from punie_build.data.synthetic.generator import sample
    from punie_build.data.synthetic.hand_authored import conversations

    chance = random.Random(42)
    base = [*map(msgspec.to_builtins, conversations()), *(sample(0, index) for index in range(400))]
    written = 0
    with path.open("wb") as file:
        while written < size:
            row = dict(chance.choice(base))
            row["messages"] = [dict(message) for message in row["messages"]]
            if chance.random() < 0.9:
                row.pop("tools", None)
            for message in row["messages"]:
                if isinstance(message.get("content"), str) and chance.random() < 0.8:
                    message["content"] += " " + " ".join(chance.choices(WORDS, k=chance.randint(5, 80)))
                if chance.random() < 0.01:
                    message["content"] = "\u77ed\u3044\u6587\u3067\u3059\u3002" * 3
            text = (json.dumps(row, ensure_ascii=chance.random() < 0.5) + "\n").encode()
            file.write(text)
            written += len(text)


def measure(python: str, code: str, source: Path) -> tuple[float, float, int, int]:
    """(CPU seconds, wall seconds, MB of memory at most, rows kept), the best of three by CPU."""
    best = (1e9, 1e9, 0, 0)
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir=source.parent) as out:
            started = time.monotonic()
            process = subprocess.Popen([python, "-c", code, source, out, FOREIGN], stdout=subprocess.PIPE, text=True)
            assert process.stdout
            kept = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0, kept
            wall = time.monotonic() - started
            best = min(best, (usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss // 1024, int(kept)))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mb", type=int, default=900)
    parser.add_argument("--peers", help="a Python that has polars")
    options = parser.parse_args()
    fast = Path("/dev/shm")  # noqa: S108 - memory, so that the disk is not what is measured
    with tempfile.TemporaryDirectory(dir=fast if fast.exists() else None) as folder:
        source = Path(folder, "in")
        source.mkdir()
        for name in ("valid.jsonl", "test.jsonl", "stats.json"):  # as each source of a stage has them
            (source / name).touch()
        generate(source / "train.jsonl", options.mb * 1_000_000)
        size = (source / "train.jsonl").stat().st_size / 1e6
        engines = {
            "punie-build": (sys.executable, OURS.replace("CORES", "1")),
            "punie-build, 2 cores": (sys.executable, OURS.replace("CORES", "2")),
            "json, plain Python": (sys.executable, PLAIN),
        }
        if options.peers:
            engines["polars, raw lines"] = (options.peers, POLARS)
        print("| engine | MB per CPU second | MB/s | memory, MB | rows kept |\n|---|---|---|---|---|")
        for name, (python, code) in engines.items():
            cpu, wall, memory, kept = measure(python, code, source)
            print(f"| {name} | {size / cpu:.0f} | {size / wall:.0f} | {memory} | {kept} |", flush=True)


if __name__ == "__main__":
    main()
