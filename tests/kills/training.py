"""Kill trainings at random instants and resume them: the files must equal those of an uninterrupted run.

    python tests/kills/training.py --kills 100        exits with 1 if a byte differs or a process is left

Real trainings of nano through doit, each killed with SIGKILL until it ends: with dropout, accumulation that does not
divide the number of batches, a schedule, checkpoints every other batch, an early stop, two ranks, shared prefixes, a
training on the second rung of the memory ladder, and DPO.
`tests/unit/training/test_checkpoints.py` states the same as laws, in one process.
"""

from __future__ import annotations

import argparse
import json
import os
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

from punie_build.runtime import machine_memory
from punie_build.storage import paths

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.kills.builds import build, orphans, project

DATA = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }

[dataset.pairs]
source = { type = "local", path = "raw/pairs.jsonl" }
form = "preference"
split = { valid = 0.25, test = 0.0, group_by = [] }
"""
PAIRS = "".join(
    json.dumps({"prompt": f"What is {n} + {n}?", "chosen": f"It is {2 * n}, of course.", "rejected": f"{n}"}) + "\n"
    for n in range(48)
)
COMMON = '\n[adapter.a]\nbase = "nano"\nsave_every = 2\nbatch_size = {rows}'
SAMPLE = '\ndata = "sample"\nmax_seq_length = 256'
LADDER = "a rung of the memory ladder"
LIMIT = 0.19  # GiB, of this training: its rows fit two at a time
ADAPTERS = {
    "dropout, accumulation": f"""{SAMPLE}
iters = 19
grad_accumulation_steps = 2
lora = {{ rank = 4, dropout = 0.1 }}
steps_per_eval = 5
lr_schedule = {{ type = "cosine-decay" }}
warmup = 2
""",
    "early stop": f"""{SAMPLE}
iters = 60
learning_rate = 0.02
steps_per_eval = 3
early_stop = 2
optimizer = {{ type = "adamw", weight_decay = 0.1 }}
""",
    "packed, dora": f"""{SAMPLE}
iters = 8
batching = "pack"
batch_tokens = 512
fine_tune_type = "dora"
num_layers = 2
steps_per_eval = 4
keep = "last"
""",
    "two ranks": f"""{SAMPLE}
iters = 12
ranks = 2
num_layers = 1
steps_per_eval = 4
""",
    "shared prefixes": f"""{SAMPLE}
iters = 8
batching = "prefix"
steps_per_eval = 4
val_batches = 2
""",
    LADDER: f"""{SAMPLE}
iters = 6
steps_per_eval = 3
val_batches = 2
""",
    "dpo": """
data = "pairs"
loss = "dpo"
iters = 14
steps_per_eval = 5
lora = { rank = 4 }
""",
}


def adapter(root: Path) -> dict[str, bytes]:
    """Return the published files. The lock holds the duration, and is left out."""
    return {path.name: path.read_bytes() for path in (root / "adapters/a").glob("*")}


def differs(root: Path, expected: dict[str, bytes]) -> bool:
    """Return whether published files are not those of an uninterrupted run, and print their names."""
    found = adapter(root)
    names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if names:
        print(f"other bytes: {', '.join(names)}", flush=True)
    return bool(names)


def reset(root: Path) -> None:
    """Remove the adapter, checkpoints and the store; data and tokens stay."""
    for folder in ("adapters", f"{paths.STATE}/store", f"{paths.STATE}/training", f"{paths.STATE}/staging"):
        shutil.rmtree(root / folder, ignore_errors=True)


def phase(root: Path) -> str:
    """Return the phase in which a training was killed."""
    logs = root / paths.logs("adapters/a")
    logs.mkdir(parents=True, exist_ok=True)
    with suppress(OSError, ValueError):
        iteration = json.loads((logs / "progress.json").read_text())["iteration"]
        return "during training" if iteration else "before the first batch"
    return "before the first batch"


def kills(root: Path, expected: dict[str, bytes], duration: float, count: int, rng: random.Random) -> Counter[str]:
    """Kill `count` builds. Return the number of kills by phase, of complete trainings, and of violations."""
    counts: Counter[str] = Counter()
    reset(root)
    while counts["kills"] < count:
        with (root / "build.log").open("wb") as log:
            child = subprocess.Popen([sys.executable, "-m", "doit"], cwd=root, stdout=log, stderr=log)
        try:
            child.wait(rng.uniform(0.3, duration))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            counts["kills"] += 1
            counts[phase(root)] += 1
            counts["orphans"] += len(orphans(root))
            if (root / "adapters/a").is_dir() and not (set(adapter(root).items()) <= set(expected.items())):
                counts["incomplete"] += 1
            continue
        if child.returncode:
            print((root / "build.log").read_text(), flush=True)
            counts["failed"] += 1
        counts["complete"] += 1
        counts["other bytes"] += differs(root, expected)
        reset(root)
    last = build(root)
    counts["complete"] += 1
    counts["other bytes"] += last.returncode != 0 or differs(root, expected)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", nargs="*", default=[*ADAPTERS], choices=[*ADAPTERS])
    options = parser.parse_args()
    violations = 0
    for name in options.scenes:
        recipe = ADAPTERS[name]
        with tempfile.TemporaryDirectory() as folder:
            root = project(Path(folder, "p"), DATA + COMMON.format(rows=4 if name == LADDER else 2) + recipe)
            (root / "raw").mkdir()
            (root / "raw/pairs.jsonl").write_text(PAIRS)
            if name == LADDER:
                os.environ[machine_memory.VARIABLE] = str(LIMIT)
            else:
                os.environ.pop(machine_memory.VARIABLE, None)
            assert build(root).returncode == 0
            reset(root)
            started = time.monotonic()
            build_result = build(root)
            assert build_result.returncode == 0, build_result.stdout
            duration, expected = time.monotonic() - started, adapter(root)
            count, rng = round(options.kills / len(options.scenes)), random.Random(options.seed)
            counts = kills(root, expected, duration, count, rng)
            violations += sum(counts[name] for name in ("other bytes", "incomplete", "failed", "orphans"))
            print(f"{name}: {dict(counts)}", flush=True)
    print(f"{violations} incomplete, with other bytes, failed or orphaned")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
