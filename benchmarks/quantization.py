"""Quantized models of an adapter: gain retained, agreement and size by number of bits.

    ./run python benchmarks/quantization.py [FOLDER]   # FOLDER keeps the project: a second run builds the rest

The adapters are those of the quickstart, on nano and on nano in 4 bits. A row of the table is a model of one of them,
with the numbers of its lock. On 4 bits the training is short, because a CPU is slow with quantized weights. Half an
hour on two idle cores.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from punie_build.storage import locks, paths

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
iters = 30
batch_size = 4
learning_rate = 1e-3
warmup = 10
lora = { rank = 16, scale = 4.0 }
steps_per_eval = 30
val_batches = 4
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
ON_FOUR_BITS = ("as the base", "16 bits, float32", "8 bits", "6 bits", "4 bits", "3 bits")


def models(adapter: str) -> dict[str, tuple[str, str]]:
    """The models of an adapter: by name in the table, their name in the recipe and what else it says."""
    names = ON_FOUR_BITS if adapter == "on-nano4" else MODELS
    return {name: (f"{adapter}-{number}", MODELS[name]) for number, name in enumerate(names)}


def recipe() -> str:
    made = [each for adapter in ("on-nano", "on-nano4") for each in models(adapter).values()]
    tables = (f'[model.{name}]\nadapter = "{name.rpartition("-")[0]}"\n{more}\n' for name, more in made)
    return "\n".join([QUICKSTART, ADAPTERS, *tables])


def table(folder: Path, adapter: str) -> None:
    print("| model | bits a weight | loss | gain retained | agreement |\n|---|---|---|---|---|")
    shown = ("bits_per_weight", ".2f"), ("loss", ".3f"), ("gain_retained", ".1%"), ("agreement", ".1%")
    found: dict[str, float] = {}
    for name, (model, _) in models(adapter).items():
        lock = locks.read(folder / paths.lock(f"models/{model}"))
        found = lock.metrics if lock else {}
        numbers = (f"{found[key]:{form}}" if key in found else "-" for key, form in shown)
        print(f"| {name} | {' | '.join(numbers)} |")
    if found:
        print(f"\nBase {found['loss_base']:.3f}, adapter {found['loss_adapter']:.3f}, {found['tokens']:,.0f} tokens.\n")


def main(folder: Path) -> None:
    (folder / "recipes").mkdir(parents=True, exist_ok=True)
    (folder / "recipes" / "quantising.toml").write_text(recipe(), encoding="utf-8")
    (folder / "dodo.py").write_bytes((ROOT / "dodo.py").read_bytes())
    subprocess.run([sys.executable, "-m", "doit", "--continue"], cwd=folder, check=False)
    for adapter in ("on-nano", "on-nano4"):
        table(folder, adapter)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
