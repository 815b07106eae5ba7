"""How much of what an adapter learnt is left in a model of so many bits: gain retained, agreement, size.

    ./run python benchmarks/quantising.py [FOLDER]      # FOLDER keeps the project: a second run makes only what is missing

The adapters are the quickstart's, on nano as it is and on nano in 4 bits; a row of the table is a model of one of them, and its numbers
are those of its lock. Trains twice: half an hour on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from punie_build import layout, locks

ROOT = Path(__file__).parent.parent
QUICKSTART = (ROOT / "recipes" / "quickstart.toml").read_text(encoding="utf-8").split("[adapter.")[0]
ADAPTERS = """
[model.nano4]
base = "nano"
bits = 4

[adapter.on-nano]
base = "nano"
data = "quickstart"
iters = 200
batch_size = 8
learning_rate = 1e-3
warmup = 20
lora = { rank = 16, scale = 4.0 }
steps_per_eval = 50

[adapter.on-nano4]
base = "nano4"
data = "quickstart"
iters = 40
batch_size = 8
learning_rate = 1e-3
warmup = 20
lora = { rank = 16, scale = 4.0 }
steps_per_eval = 40
"""
MODELS = {
    "as the base": "",
    "16 bits, float32": "bits = 16",
    "16 bits, bfloat16": 'bits = 16\ndtype = "bfloat16"',
    "8 bits": "bits = 8",
    "6 bits": "bits = 6",
    "5 bits": "bits = 5",
    "4 bits": "bits = 4",
    "4 bits, groups of 32": "bits = 4\ngroup_size = 32",
    "3 bits": "bits = 3",
    "2 bits": "bits = 2",
    "mxfp8": 'mode = "mxfp8"',
    "mxfp4": 'mode = "mxfp4"',
    "nvfp4": 'mode = "nvfp4"',
}


def recipe() -> str:
    models = (
        f'[model.{adapter}-{number}]\nadapter = "{adapter}"\n{more}\n'
        for adapter in ("on-nano", "on-nano4")
        for number, more in enumerate(MODELS.values())
    )
    return "\n".join([QUICKSTART, ADAPTERS, *models])


def cells(folder: Path, adapter: str, number: int) -> str:
    lock = locks.read(folder / layout.lock(f"models/{adapter}-{number}"))
    if lock is None:
        return "- | - | -"
    found = lock.metrics
    return f"{found['loss']:.3f} | {found['gain_retained']:.1%} | {found['agreement']:.1%}"


def size(folder: Path, number: int) -> str:
    lock = locks.read(folder / layout.lock(f"models/on-nano-{number}"))
    return f"{lock.metrics['bits_per_weight']:.2f}" if lock else "-"


def main(folder: Path) -> None:
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    (folder / "recipes" / "quantising.toml").write_text(recipe(), encoding="utf-8")
    (folder / "dodo.py").write_bytes((ROOT / "dodo.py").read_bytes())
    subprocess.run([sys.executable, "-m", "doit", "--continue"], cwd=folder, check=False, env={**os.environ})
    print("| model | bits a weight | loss | gain retained | agreement | on 4 bits: loss | gain retained | agreement |")
    print("|---|---|---|---|---|---|---|---|")
    for number, name in enumerate(MODELS):
        both = " | ".join(cells(folder, adapter, number) for adapter in ("on-nano", "on-nano4"))
        print(f"| {name} | {size(folder, number)} | {both} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
