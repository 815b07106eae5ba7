"""Kill trainings at random instants and resume them: the files must equal those of an uninterrupted run.

    python tests/kills/training.py --kills 100        exits with 1 if a byte differs or a process is left

Real trainings of nano through doit, each killed with SIGKILL until it ends: with dropout, accumulation that does not
divide the number of batches, a schedule, checkpoints every other batch, an early stop, two ranks.
`tests/unit/training/test_trainer.py` states the same as laws, in one process.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from punie_build.storage import paths

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.builds import build, orphans, project

DATA = '[dataset.sample]\nsource = { type = "sample", max_examples = 60 }\n'
COMMON = '\n[adapter.a]\nbase = "nano"\ndata = "sample"\nbatch_size = 2\nmax_seq_length = 256\nsave_every = 2\n'
ADAPTERS = {
    "dropout, accumulation": """
iters = 19
grad_accumulation_steps = 2
lora = { rank = 4, dropout = 0.1 }
steps_per_eval = 5
lr_schedule = { type = "cosine-decay" }
warmup = 2
""",
    "early stop": """
iters = 60
learning_rate = 0.02
steps_per_eval = 3
early_stop = 2
optimizer = { type = "adamw", weight_decay = 0.1 }
""",
    "packed, dora": """
iters = 8
batching = "pack"
batch_tokens = 512
fine_tune_type = "dora"
num_layers = 2
steps_per_eval = 4
keep = "last"
""",
    "two ranks": """
iters = 12
ranks = 2
num_layers = 1
steps_per_eval = 4
""",
}


def adapter(place: Path) -> dict[str, bytes]:
    """What is published; its lock holds how long it took, and is left out."""
    return {path.name: path.read_bytes() for path in (place / "adapters/a").glob("*")}


def forget(place: Path) -> None:
    """No adapter was ever trained here; the data and its tokens stay."""
    for folder in ("adapters", f"{paths.STATE}/store", f"{paths.STATE}/training", f"{paths.STATE}/staging"):
        shutil.rmtree(place / folder, ignore_errors=True)


def where(place: Path) -> str:
    """What was killed."""
    (place / paths.logs("adapters/a")).mkdir(parents=True, exist_ok=True)
    with suppress(OSError, ValueError):
        at = json.loads((place / paths.logs("adapters/a") / "progress.json").read_text())["iteration"]
        return "while it trained" if at else "before its first batch"
    return "before its first batch"


def kills(place: Path, right: dict[str, bytes], span: float, count: int, chance: random.Random) -> Counter[str]:
    """Kill so many builds; how often where, how often a training came through all of its kills, and what was wrong."""
    seen: Counter[str] = Counter()
    forget(place)
    while seen["kills"] < count:
        with (place / "build.log").open("wb") as log:
            child = subprocess.Popen([sys.executable, "-m", "doit"], cwd=place, stdout=log, stderr=log)
        try:
            child.wait(chance.uniform(0.3, span))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            seen["kills"] += 1
            seen[where(place)] += 1
            seen["processes left"] += len(orphans(place))
            if (place / "adapters/a").is_dir() and not (set(adapter(place).items()) <= set(right.items())):
                seen["torn"] += 1
            continue
        if child.returncode:
            print((place / "build.log").read_text(), flush=True)
            seen["failed"] += 1
        seen["came through"] += 1
        seen["other bytes"] += adapter(place) != right
        forget(place)
    last = build(place)
    seen["came through"] += 1
    seen["other bytes"] += last.returncode != 0 or adapter(place) != right
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name, recipe in ADAPTERS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = project(Path(folder, "p"), DATA + COMMON + recipe)
            assert build(place).returncode == 0
            forget(place)
            started = time.monotonic()
            done = build(place)
            assert done.returncode == 0, done.stdout
            span, right = time.monotonic() - started, adapter(place)
            seen = kills(place, right, span, round(options.kills / len(ADAPTERS)), random.Random(options.seed))
            bad += sum(seen[wrong] for wrong in ("other bytes", "torn", "failed", "processes left"))
            print(f"{name}: {dict(seen)}", flush=True)
    print(f"{bad} torn, other bytes, failed or left running")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
