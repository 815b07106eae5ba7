"""The law of the memory ladder: trainings under random limits of memory end.

    ./run python benchmarks/memory_limits.py          # --trainings 100, half an hour on an idle core

A llama of random weights (4 layers of 128, 16,384 words), rows of 128 tokens, batches of 8. The limits lie between what
the last rung is predicted to need, and what the recipe needs. A process that exceeds its limit is killed at once, as
the kernel does it in a cgroup (`punie_build.testing.fake_machine.killer`). With --untold the trainings do not know
their limit before the first kill. Adapters of the exact rungs must have the bytes of a training without a limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from punie_build.errors import ModelError
from punie_build.runtime import machine_memory
from punie_build.storage import paths
from punie_build.testing.fake_machine import killer
from punie_build.training import launch, token_file
from punie_build.training.memory_ladder import read_report, rungs
from punie_build.training.spec import Adapter
from punie_build.training.tokenization import TokenizedRow

SIZES = {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 344, "num_attention_heads": 4}
LLAMA = SIZES | {"model_type": "llama", "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "vocab_size": 16384}
SPEC = Adapter(
    base="b", data="d", iters=2, batch_size=8, mask="all", steps_per_eval=2, val_batches=1, save_every=1,
    learning_rate=1e-4,
)  # fmt: skip
EXACT = [number for number, rung in enumerate(rungs(SPEC.batch_size)) if rung.is_exact]


def write_inputs(folder: Path) -> None:
    """Write a base, and the tokens of rows of equal length."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import llama

    config = LLAMA | {"tie_word_embeddings": True, "eos_token_id": 2}
    for name in ("base", "tokens"):
        (folder / name).mkdir()
    model = llama.Model(llama.ModelArgs.from_dict(config))
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "base/model.safetensors"), weights, {"format": "mlx"})
    (folder / "base/config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(paths.nano() / name, folder / "base")
    chance = random.Random(1)
    for split, count in (("train", 16), ("valid", 8)):
        writer = token_file.TokenWriter()
        for line in range(count):
            writer.add(line + 1, TokenizedRow([chance.randrange(8192) for _ in range(128)], [True] * 128))
        writer.save(folder / f"tokens/{split}.safetensors")


def train(folder: Path, name: str, limit: int) -> tuple[int, list[int], bytes, float]:
    """Train under a limit in bytes, 0 for none; return the rung, the sizes of killed processes, the adapter, and the
    peak in bytes. Raises ModelError."""
    place = folder / name
    for part in ("out", "checkpoints"):
        (place / part).mkdir(parents=True)
    run = launch.TrainingRun(
        root=folder, base=folder / "base", tokens=folder / "tokens", spec=SPEC, out=place / "out",
        checkpoint_dir=place / "checkpoints", log=place / "training.log",
    )  # fmt: skip
    with killer("punie_build.training.loop.process", limit or 2**62) as sizes:
        launch.train(run, lambda _line: None)
    progress = launch.read_progress(place / "progress.json")
    peak = progress.peak_resident * 2**30 if progress else 0
    weights = (place / "out/adapters.safetensors").read_bytes()
    return read_report(place / "memory.json").rung, sizes, weights, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--untold", type=float, default=0.0, help="factor on the limit that a training is told")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        _, _, plain, top = train(folder, "plain", 0)
        os.environ[machine_memory.VARIABLE] = "0.05"
        try:
            train(folder, "refused", 0)
            raise SystemExit("a limit below the weights was not refused")
        except ModelError as error:
            lowest = float(re.findall(r"needs ([\d.]+) GiB", str(error))[0]) * 2**30
        print(f"without a limit {top / 2**20:.0f} MiB; the last rung is predicted to need {lowest / 2**20:.0f} MiB")
        chance, ended, kills, by_rung, unequal = random.Random(1), 0, 0, Counter[int](), 0
        for number in range(options.trainings):
            limit = int(chance.uniform(lowest * 1.05, top * 1.1))
            os.environ[machine_memory.VARIABLE] = str(limit * (options.untold or 1) / 2**30)
            try:
                rung, sizes, weights, peak = train(folder, str(number), limit)
            except ModelError as error:
                print(f"{number}: limit {limit / 2**20:.0f} MiB: {error}", flush=True)
                continue
            ended, kills, by_rung[rung] = ended + 1, kills + len(sizes), by_rung[rung] + 1
            differs = rung in EXACT and weights != plain
            unequal += differs
            line = f"{number}: limit {limit / 2**20:.0f}, peak {peak / 2**20:.0f} MiB, rung {rung}"
            print(line, sizes, "other bytes" if differs else "", flush=True)
            shutil.rmtree(folder / str(number))
        print(f"{ended} of {options.trainings} ended; {kills} kills; by rung {dict(sorted(by_rung.items()))}")
        print(f"adapters of exact rungs with other bytes: {unequal}")


if __name__ == "__main__":
    main()
