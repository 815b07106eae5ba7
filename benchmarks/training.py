"""Training: useful tokens per second and memory, compared with `mlx_lm.lora`; costs of masks and checkpoints.

    ./run python benchmarks/training.py            # --quick: one round; --data FOLDER: a dataset beside the sample
    ./run python benchmarks/training.py --only prefix       # rows of the sample, and rows after 20 tools, nano
    ./run python benchmarks/training.py --only recurrent    # a layer with the gated delta rule against mlx-lm's
    ./run python benchmarks/training_peers.py ...           # trainers of others: time, peak memory, held-out loss
    ./run python benchmarks/memory.py                       # raw text with 150,000 words
    ./run python benchmarks/memory_limits.py                # trainings under limits of memory

Both train one epoch of the same rows in batches of four, LoRA of rank 8 on all layers, in processes of their own, in
turn. mlx-lm runs with its usual options, with --mask-prompt, and with the same BLAS. Useful tokens are those of the
rows, without padding. Time and CPU time begin after the first validation. `mixed`: rows of the sample, every sixth as
long as several; `uniform`: rows of nearly one length.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from punie_build.data.synthetic.generator import sample
from punie_build.runtime import blas
from punie_build.storage import paths
from punie_build.training import token_file
from punie_build.training.launch import tokenize
from punie_build.training.spec import Adapter, Tokenized

ROWS, BATCH = 96, 4
LLAMA = {
    "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 688,
    "num_attention_heads": 8,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "vocab_size": 8192, "tie_word_embeddings": True, "eos_token_id": 2,
}  # fmt: skip
Row = dict[str, Any]


def made(place: Path) -> dict[str, Path]:
    """The bases: nano, and a llama of random weights with nano's tokenizer."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import llama

    folder = place / "llama"
    folder.mkdir()
    mx.random.seed(0)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(LLAMA))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(paths.nano() / name, folder)
    return {"llama": folder, "nano": paths.nano()}


def conversations() -> list[Row]:
    """Sample rows that end with the assistant, every sixth with several conversations in it."""
    found = [row for row in (sample(7, index) for index in range(4000)) if row["messages"][-1]["role"] == "assistant"]
    chance, rows = random.Random(1), []
    while len(rows) < 4 * ROWS:
        parts = [found.pop() for _ in range(chance.randint(3, 6) if len(rows) % 6 == 0 else 1)]
        turns = [turn for part in parts for turn in part["messages"] if turn["role"] != "system"]
        rows.append({"messages": turns, "tools": parts[0].get("tools")})
    return rows


def own(folder: Path) -> list[Row]:
    """The rows of a set of chat JSONL."""
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def sets(place: Path, base: Path, more: Path | None) -> dict[str, Path]:
    """Data folders of so many rows, as both read them, with their tokens in `tokens`."""
    rows = conversations()
    lengths = dict(zip(range(len(rows)), _lengths(place / "all", base, rows), strict=True))
    middle = sorted(lengths, key=lengths.__getitem__)[len(rows) // 2 - ROWS // 2 :][:ROWS]
    chosen = {"mixed": rows[:ROWS], "uniform": [rows[index] for index in random.Random(2).sample(middle, ROWS)]}
    if more:
        chosen[more.name] = random.Random(3).sample(own(more), ROWS)
    for name, some in chosen.items():
        _lengths(place / name, base, some)
    return {name: place / name for name in chosen}


def _lengths(folder: Path, base: Path, rows: list[Row]) -> list[int]:
    folder.mkdir()
    for side, some in (("train", rows), ("valid", rows[:BATCH]), ("test", rows[:BATCH])):
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    (folder / "tokens").mkdir()
    tokenize(base, folder, Tokenized(base="b", data="d"), folder / "tokens", folder / "logs")
    return token_file.load(folder / "tokens/train.safetensors").lengths


def ours(base: Path, data: Path, how: str) -> dict[str, float]:
    """One epoch of punie-build's trainer, and what a checkpoint takes then."""
    import mlx.core as mx

    from punie_build.training.loop.lora import load_trainable
    from punie_build.training.loop.process import peak_resident_bytes
    from punie_build.training.loop.trainer import BatchReport, LoopStart, Trainer

    batching, _, size = how.partition(" ")
    spec = Adapter(
        base="b",
        data="d",
        epochs=1.0,
        batch_size=int(size or BATCH),
        learning_rate=1e-5,
        batching=batching,
        steps_per_eval=10**6,
        save_every=10**6,
    )  # type: ignore[arg-type]
    rows = {side: token_file.load(data / f"tokens/{side}.safetensors") for side in ("train", "valid")}
    model, _ = load_trainable(spec, str(base), len(rows["train"]))
    marks: dict[type, tuple[float, float]] = {}
    trainer = Trainer(
        model,
        rows,
        spec,
        data / "kept",
        lambda event: marks.__setitem__(type(event), (time.perf_counter(), time.process_time())),
    )
    trainer.train()
    (a, c), (b, d) = marks[LoopStart], marks[BatchReport]
    before = time.perf_counter()
    for _ in range(5):
        trainer.save()
    each = (time.perf_counter() - before) / 5
    share = each / (100 * (b - a) / trainer.coverage.iters)
    return {
        "seconds": b - a,
        "cpu": d - c,
        "resident": peak_resident_bytes() / 2**20,
        "peak": mx.get_peak_memory() / 2**20,
        "checkpoint": share,
        "padding": trainer.coverage.padding,
    }


def theirs(base: Path, data: Path, _how: str) -> dict[str, float]:
    """One epoch of `mlx_lm.lora --mask-prompt --batch-size 4`, by the function that its command calls."""
    from types import SimpleNamespace

    from mlx_lm import load
    from mlx_lm.lora import CONFIG_DEFAULTS, train_model
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.datasets import load_dataset

    from punie_build.training.loop.process import peak_resident_bytes

    iters = ROWS // BATCH
    more = {
        "data": str(data),
        "batch_size": BATCH,
        "iters": iters,
        "num_layers": -1,
        "mask_prompt": True,
        "val_batches": 1,
    }
    arguments = SimpleNamespace(
        **CONFIG_DEFAULTS
        | more
        | {"steps_per_report": iters, "steps_per_eval": 10**6, "train": True, "adapter_path": str(data / "out")}
    )
    marks: list[tuple[float, float, float]] = []

    class Marks(TrainingCallback):  # type: ignore[misc]
        def on_val_loss_report(self, told: dict[str, float]) -> None:
            marks.append((time.perf_counter(), time.process_time(), told["val_time"]))

        def on_train_loss_report(self, _told: dict[str, float]) -> None:
            marks.append((time.perf_counter(), time.process_time(), 0.0))

    model, tokenizer = load(str(base))
    train, valid, _ = load_dataset(arguments, tokenizer)
    train_model(arguments, model, train, valid, Marks())
    (a, c, _), (b, d, _) = marks[0], marks[-1]
    rest = sum(seconds for _, _, seconds in marks[1:])
    return {"seconds": b - a - rest, "cpu": d - c - rest, "resident": peak_resident_bytes() / 2**20}


def tools(base: Path, data: Path, mask: str) -> dict[str, float]:
    """Return the loss of tool calls outside the last turn, after equal numbers of updates with a mask."""
    import mlx.core as mx
    import msgspec
    import numpy as np
    from mlx import nn

    from punie_build.training.loop.lora import load_trainable
    from punie_build.training.loop.trainer import Trainer

    rows = {side: token_file.load(data / f"{mask}/{side}.safetensors") for side in ("train", "valid")}
    spec = Adapter(
        base="b",
        data="d",
        iters=STEPS,
        batch_size=8,
        learning_rate=2e-3,
        warmup=10,
        fine_tune_type="full",
        steps_per_eval=10**6,
        save_every=10**6,
    )
    model, _ = load_trainable(spec, str(base), len(rows["train"]))
    model.unfreeze()
    trainer = Trainer(model, rows, msgspec.structs.replace(spec, keep="last"), data / f"kept-{mask}", lambda _: None)
    trainer.train()
    model.eval()
    trainer.sparse_model.positions = mx.arange(1)
    every, last = (token_file.load(data / f"{name}/valid.safetensors") for name in ("assistant", "last"))
    nats = {"earlier": [0.0, 0.0], "last": [0.0, 0.0]}
    ends = {int(line): last.row(index)[1] for index, line in enumerate(last.lines)}  # not of rows whose end was cut off
    for index, line in enumerate(every.lines):
        ids, all_of = every.row(index)
        some = ends.get(int(line), np.zeros_like(all_of))
        inputs = mx.array(ids[:-1])[None]
        losses = np.array(
            nn.losses.cross_entropy(trainer.sparse_model(inputs, mx.arange(len(ids) - 1)), mx.array(ids[1:]))
        )
        for name, marked in (("earlier", (all_of > some)[1:]), ("last", some[1:] > 0)):
            nats[name][0] += float(losses[marked].sum())
            nats[name][1] += int(marked.sum())
    return {name: total / count for name, (total, count) in nats.items()}


def layer(_base: Path, _data: Path, how: str) -> dict[str, float]:
    """Compute a layer with the gated delta rule, 16 heads of 128 x 128 at 512 positions, forward and backward."""
    import mlx.core as mx

    from punie_build.training.loop import gated_delta

    arrays = gated_delta.trial_inputs(512, 16, 128, vector_decays=False)
    arrays = [*(array[:1] for array in arrays[:5]), *arrays[5:]]
    rule = {"loop": gated_delta.ORIGINAL, "chunks": gated_delta.gated_delta_update}[how]
    compute = mx.grad(lambda *inputs: rule(*inputs, use_kernel=False)[0].sum(), argnums=tuple(range(len(arrays))))
    mx.eval(arrays)
    before, active = time.process_time(), mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(compute(*arrays))
    return {"cpu": time.process_time() - before, "peak": (mx.get_peak_memory() - active) / 2**20}


STEPS = 150
ARMS = {"ours": ours, "theirs": theirs, "tools": tools, "layer": layer}


def child(arm: str, base: Path, data: Path, how: str, env: dict[str, str]) -> dict[str, float]:
    """What one run of an arm measured, in a process of its own."""
    out = data / "measured.json"
    command = [sys.executable, __file__, "--child", arm, str(base), str(data), how, str(out)]
    done = subprocess.run(command, check=False, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(out.read_text())  # type: ignore[no-any-return]


def speed(bases: dict[str, Path], data: dict[str, Path], fast: dict[str, str], rounds: int) -> None:
    compiled = {name: value for name, value in fast.items() if name != "MLX_DISABLE_COMPILE"}
    arms = {
        "mlx_lm.lora": ("theirs", "", compiled),
        "bucket": ("ours", "bucket", fast),
        "tokens": ("ours", "tokens", fast),
        "pack": ("ours", "pack", fast),
    }
    print(
        "| base, data | arm | useful tokens/s | per CPU second | ratio: wall, CPU | MB | checkpoints |\n"
        "|---|---|---|---|---|---|---|"
    )
    for (name, base), (kind, folder) in ((b, d) for b in bases.items() for d in data.items()):
        useful = sum(token_file.load(folder / "tokens/train.safetensors").lengths)
        child("theirs", base, folder, "", compiled)  # what it compiles is kept by mlx
        runs: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        for _ in range(rounds):
            for arm, (which, how, env) in arms.items():
                runs[arm].append(child(which, base, folder, how, env))
        ref = {key: median(useful / run[key] for run in runs["mlx_lm.lora"]) for key in ("seconds", "cpu")}
        for arm, some in runs.items():
            wall, cpu = (median(useful / run[key] for run in some) for key in ("seconds", "cpu"))
            held = f"{max(run['checkpoint'] for run in some):.2%}" if "checkpoint" in some[0] else ""
            memory = max(run["resident"] for run in some)
            print(
                f"| {name}, {kind} | {arm} | {wall:.0f} | {cpu:.0f} | {wall / ref['seconds']:.2f}, "
                f"{cpu / ref['cpu']:.2f} | {memory:.0f} | {held} |",
                flush=True,
            )


def after_tools(count: int) -> list[Row]:
    """Return conversations that begin with the same 20 tools."""
    found: dict[str, Row] = {}
    for index in range(400):
        for tool in sample(7, index).get("tools") or []:
            found.setdefault(tool["function"]["name"], tool["function"])
    tools = [
        {"type": "function", "function": function | {"name": f"{name}_{copy}"}}
        for copy in range(3)
        for name, function in sorted(found.items())
    ][:20]
    rows = [row for row in conversations() if len(row["messages"]) <= 4]
    return [{"messages": row["messages"], "tools": tools} for row in rows[:count]]


def prefixes(base: Path, place: Path, fast: dict[str, str], rounds: int) -> None:
    """Compare shared prefixes with plain batches; in one round on a third of the rows."""
    count = 24 if rounds > 1 else 8
    sample_rows = [row for row in (sample(7, index) for index in range(2 * ROWS)) if len(row["messages"]) > 1]
    chosen = {"sample": sample_rows[: 4 * count], "after 20 tools": after_tools(count)}
    print("\n| rows | batch | batching | tokens/CPU s | ratio | peak, MB |\n|---|---|---|---|---|---|")
    for name, rows in chosen.items():
        folder = place / name.replace(" ", "-")
        tokens = sum(_lengths(folder, base, rows))
        for size in (4, 8):
            runs: dict[str, list[dict[str, float]]] = {"bucket": [], "prefix": []}
            for _ in range(rounds):
                for batching, results in runs.items():
                    results.append(child("ours", base, folder, f"{batching} {size}", fast))
            rates = {batching: median(tokens / run["cpu"] for run in results) for batching, results in runs.items()}
            for batching, results in runs.items():
                rate, peak = rates[batching], max(run["peak"] for run in results)
                line = f"{rate:.0f} | {rate / rates['bucket']:.2f} | {peak:.0f}"
                print(f"| {name}, {tokens / len(rows):.0f} tokens each | {size} | {batching} | {line} |", flush=True)


def recurrent(place: Path, fast: dict[str, str]) -> None:
    loop, chunks = (child("layer", place, place, how, fast) for how in ("loop", "chunks"))
    print(
        f"\na layer with the gated delta rule at 512 positions: {loop['cpu']:.1f} CPU s and {loop['peak']:.0f} MB by "
        f"mlx-lm's loop, {chunks['cpu']:.1f} and {chunks['peak']:.0f} in chunks: 1/{loop['cpu'] / chunks['cpu']:.1f} "
        f"of the time, 1/{loop['peak'] / chunks['peak']:.1f} of the memory"
    )


def masks(base: Path, place: Path, fast: dict[str, str]) -> None:
    folder = place / "masks"
    folder.mkdir()
    rows = [row for row in conversations() if len(row["messages"]) > 3]
    cut = len(rows) * 9 // 10
    for side, some in (("train", rows[:cut]), ("valid", rows[cut:]), ("test", rows[cut:])):
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    print("\n| mask | earlier turns, nats | last turn, nats |\n|---|---|---|")
    for mask in ("assistant", "last"):
        (folder / mask).mkdir()
        tokenize(
            base, folder, Tokenized(base="b", data="d", mask=mask, max_seq_length=512), folder / mask, folder / "logs"
        )  # type: ignore[arg-type]
    for mask in ("assistant", "last"):
        told = child("tools", base, folder, mask, fast)
        print(f"| {mask} | {told['earlier']:.2f} | {told['last']:.2f} |", flush=True)


def wheel(base: Path, folder: Path, fast: dict[str, str]) -> None:
    """nano in float32 with the BLAS of mlx's wheel, and with the one that is preloaded."""
    useful = sum(_lengths(folder, base, conversations()[:16]))
    slow = {name: value for name, value in fast.items() if name != "LD_PRELOAD"}
    rates = [useful / child("ours", base, folder, "bucket", env)["cpu"] for env in (slow, fast)]
    print(
        f"\nnano in float32: {rates[0]:.0f} tokens per CPU second with the wheel alone, {rates[1]:.0f} preloaded: "
        f"{rates[1] / rates[0]:.1f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", choices=("speed", "prefix", "recurrent", "masks", "blas"))
    options = parser.parse_args()
    fast = blas.environment(Path.cwd())
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        bases = made(place)
        if options.only in (None, "speed"):
            speed(bases, sets(place, bases["llama"], options.data), fast, 1 if options.quick else 3)
        if options.only in (None, "prefix"):
            prefixes(bases["nano"], place, fast, 1 if options.quick else 3)
        if options.only in (None, "recurrent"):
            recurrent(place, fast)
        if options.only in (None, "masks"):
            masks(bases["llama"], place, fast)
        if options.only in (None, "blas"):
            wheel(bases["nano"], place / "few", fast)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        which, base_, data_, how_, out_ = sys.argv[2:]
        Path(out_).write_text(json.dumps(ARMS[which](Path(base_), Path(data_), how_)))
    else:
        main()
