"""Train equal adapters with the MLX trainers of others: CPU seconds, memory, held-out loss by one function.

    python -m venv PEERS && PEERS/bin/pip install mlx-lm-lora unsloth-zoo mlx-vlm
    ./run python benchmarks/training_peers.py --peers PEERS/bin/python --data FOLDER --base FOLDER --rows 96

All arms train one epoch of the same rows in batches of four: LoRA of rank 16 and scale 4 on all linear modules of all
layers, Adam with bias correction, a constant rate. punie-build, unsloth-zoo and mlx-vlm train every assistant turn (the
others are given labels), mlx_lm.lora and mlx-lm-lora the last turn (`mask_prompt`). Each arm is a process of its own,
in turn; times are CPU seconds of the loop alone. The held-out loss is that of the assistant's tokens of the validation
rows.
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
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

BATCH, RANK, SCALE, SEED = 4, 16, 4.0, 0
VALID = 24


def lora(base: Path) -> tuple[Any, Any]:
    """Return a base with the LoRA layers of mlx-lm, and its tokenizer."""
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.tuner.utils import linear_to_lora_layers

    model, tokenizer = load(str(base))
    model.freeze()
    model.set_dtype(mx.float32)
    mx.random.seed(SEED)
    linear_to_lora_layers(model, len(model.layers), {"rank": RANK, "scale": SCALE, "dropout": 0.0})
    return model, tokenizer


def adam(rate: float) -> Any:
    """Return the optimizer of all arms."""
    from mlx import optimizers

    return optimizers.Adam(learning_rate=rate, bias_correction=True)


def held_out(model: Any, data: Path) -> float:
    """Return the loss of the validation rows in nats per token of the assistant, row by row."""
    import mlx.core as mx
    from mlx import nn

    from punie_build.training import token_file

    rows, nats, count = token_file.load(data / "tokens/valid.safetensors"), 0.0, 0
    model.eval()
    for index in range(len(rows)):
        ids, mask = rows.row(index)
        logits = model(mx.array(ids[None, :-1])).astype(mx.float32)[0]
        losses = nn.losses.cross_entropy(logits, mx.array(ids[1:])) * mx.array(mask[1:])
        nats, count = nats + losses.sum().item(), count + int(mask[1:].sum())
    return nats / count


def punie(
    base: Path,
    data: Path,
    rate: float,
    timer: Callable[[], None],
    batching: str = "bucket",
    checkpointing: bool = False,
) -> Any:
    """Train with punie-build."""
    from punie_build.training import token_file
    from punie_build.training.loop.lora import load_trainable
    from punie_build.training.loop.trainer import BatchReport, LoopStart, Trainer
    from punie_build.training.spec import Adapter, Lora

    never = 10**6
    fields = {"epochs": 1.0, "batch_size": BATCH, "steps_per_eval": never, "save_every": never, "val_batches": 1}
    fields |= {"batching": batching, "grad_checkpoint": checkpointing}
    spec = Adapter(base="b", data="d", learning_rate=rate, lora=Lora(rank=RANK, scale=SCALE), keep="last", **fields)
    rows = {side: token_file.load(data / f"tokens/{side}.safetensors") for side in ("train", "valid")}
    model, _ = load_trainable(spec, str(base), len(rows["train"]))
    last = [len(rows["train"]) // BATCH]

    def mark(event: Any) -> None:
        if isinstance(event, LoopStart) or (isinstance(event, BatchReport) and event.iteration == last[0]):
            timer()

    Trainer(model, rows, spec, data / "checkpoints", mark).train()
    trained = dict(model.trainable_parameters())
    plain, _ = lora(base)  # the loop computes logits at trained positions only
    plain.update(trained)
    return plain


def mlx_lm(base: Path, data: Path, rate: float, timer: Callable[[], None]) -> Any:
    """Train with `mlx_lm.lora --mask-prompt`, by the function that its command calls."""
    from mlx_lm.tuner.datasets import CacheDataset, load_dataset
    from mlx_lm.tuner.trainer import TrainingArgs, train

    model, tokenizer = lora(base)
    options = SimpleNamespace(data=str(data), train=True, test=False, mask_prompt=True, hf_dataset=False)
    rows, *_ = load_dataset(options, tokenizer)
    iters = len(rows) // BATCH
    arguments = TrainingArgs(
        batch_size=BATCH, iters=iters, steps_per_report=10**6, steps_per_eval=10**6, steps_per_save=10**6,
        adapter_file=str(data / "adapters.safetensors"), max_seq_length=2048,
    )  # fmt: skip
    timer()
    train(model, adam(rate), CacheDataset(rows), None, arguments)
    timer()
    return model


def mlx_lm_lora(base: Path, data: Path, rate: float, timer: Callable[[], None]) -> Any:
    """Train with the SFT of mlx-lm-lora."""
    import mlx.core as mx
    from mlx_lm_lora.trainer.datasets import CacheDataset, load_dataset
    from mlx_lm_lora.trainer.sft_trainer import SFTTrainingArgs, train_sft

    facts = mx.device_info()
    mx.device_info = lambda: {"max_recommended_working_set_size": 0} | facts  # missing on Linux, which ends it
    model, tokenizer = lora(base)
    options = SimpleNamespace(
        data=str(data), train=True, test=False, mask_prompt=True, hf_dataset=False, train_mode="sft"
    )
    rows, *_ = load_dataset(options, tokenizer)
    arguments = SFTTrainingArgs(
        batch_size=BATCH, iters=len(rows) // BATCH, steps_per_report=10**6, steps_per_eval=10**6,
        steps_per_save=10**6, adapter_file=str(data / "adapters.safetensors"), max_seq_length=2048,
    )  # fmt: skip
    timer()
    train_sft(model, adam(rate), CacheDataset(rows), None, arguments)
    timer()
    return model


def unsloth(base: Path, data: Path, rate: float, timer: Callable[[], None], checkpointing: bool = False) -> Any:
    """Train with the MLX trainer of unsloth-zoo, on tokens and labels."""
    from unsloth_zoo.mlx.trainer import MLXTrainer, MLXTrainingConfig

    from punie_build.training import token_file

    model, tokenizer = lora(base)
    rows = token_file.load(data / "tokens/train.safetensors")
    records = []
    for index in range(len(rows)):
        ids, mask = rows.row(index)
        labels = [int(token) if mark else -100 for token, mark in zip(ids, mask, strict=True)]
        records.append({"input_ids": ids.tolist(), "labels": labels})
    config = MLXTrainingConfig(
        per_device_train_batch_size=BATCH, gradient_accumulation_steps=1, max_steps=len(records) // BATCH,
        warmup_steps=0, learning_rate=rate, lr_scheduler_type="constant", optim="adam", weight_decay=0.0, seed=SEED,
        logging_steps=10**6, output_dir=str(data / "out"), gradient_checkpointing=checkpointing, compile=False,
        group_by_length=True, append_eos=False,
    )  # fmt: skip
    trainer = MLXTrainer(model, tokenizer, records, args=config)
    timer()
    trainer.train()
    timer()
    return model


def mlx_vlm(base: Path, data: Path, rate: float, timer: Callable[[], None]) -> Any:
    """Train with the trainer of mlx-vlm, whose tasks have images: the text model is wrapped, and rows are tokens."""
    import mlx.core as mx
    from mlx import nn
    from mlx_vlm.trainer import Trainer, VLMTrainingArgs

    from punie_build.training import token_file

    class Wrapped(nn.Module):  # type: ignore[misc]
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.language_model, self.config = model, SimpleNamespace(model_type="text")

        @property
        def layers(self) -> Any:
            return self.language_model.layers

        def __call__(self, ids: Any, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(logits=self.language_model(ids))

    model, tokenizer = lora(base)
    rows = token_file.load(data / "tokens/train.safetensors")
    records = []
    for index in range(len(rows)):
        ids, mask = (mx.array(array[None]) for array in rows.row(index))
        labels = mx.where(mask > 0, ids, -100)
        records.append({"input_ids": ids, "labels": labels, "attention_mask": mx.ones_like(ids)})
    config = VLMTrainingArgs(
        batch_size=BATCH, iters=len(records) // BATCH, steps_per_report=10**6, steps_per_eval=10**6,
        steps_per_save=10**6, adapter_file=str(data / "adapters.safetensors"),
    )  # fmt: skip
    trainer = Trainer(
        Wrapped(model), config, train_dataset=records, optimizer=adam(rate), prepared=True, processing_class=tokenizer
    )
    timer()
    trainer.train()
    timer()
    return model


def count_tokens(model_type: Any) -> list[int]:
    """Let a class of models count the tokens that it computes, padding included, in the list that is returned."""
    computed, call = [0], model_type.__call__

    def counting(self: Any, inputs: Any, *arguments: Any, **keywords: Any) -> Any:
        computed[0] += inputs.size
        return call(self, inputs, *arguments, **keywords)

    model_type.__call__ = counting
    return computed


ARMS: dict[str, Callable[..., Any]] = {
    "punie-build": punie,
    "punie-build, prefix": lambda *arguments: punie(*arguments, batching="prefix"),
    "punie-build, checkpointing": lambda *arguments: punie(*arguments, checkpointing=True),
    "mlx_lm.lora": mlx_lm,
    "mlx-lm-lora": mlx_lm_lora,
    "unsloth-zoo": unsloth,
    "mlx-vlm": mlx_vlm,
    "unsloth-zoo, checkpointing": lambda *arguments: unsloth(*arguments, checkpointing=True),
}


def child(arm: str, base: Path, data: Path, rate: float) -> dict[str, float]:
    """Run an arm in this process, and return what it measured."""
    import mlx.core as mx

    marks: list[float] = []

    def timer() -> None:
        mx.reset_peak_memory() if not marks else None
        marks.append(time.process_time())

    computed = count_tokens(type(lora(base)[0]))
    model = ARMS[arm](base, data, rate, timer)
    peak = mx.get_peak_memory() / 2**20
    tokens = computed[0]
    return {"cpu": marks[-1] - marks[0], "peak": peak, "computed": tokens, "loss": held_out(model, data)}


def rows(data: Path, folder: Path, base: Path, count: int, most: int) -> int:
    """Write `count` training rows of at most so many tokens and the validation rows, and return their tokens."""
    from punie_build.training import token_file
    from punie_build.training.launch import tokenize
    from punie_build.training.spec import Tokenized

    spec = Tokenized(base="b", data="d")
    for attempt in ("all", "chosen"):
        lines = {side: (data / f"{side}.jsonl").read_text().splitlines() for side in ("train", "valid")}
        if attempt == "chosen":
            lengths = token_file.load(folder / "tokens/train.safetensors").lengths
            short = [line for line, length in zip(lines["train"], lengths, strict=True) if length <= most]
            lines["train"] = random.Random(3).sample(short, count)
            lines["valid"] = lines["valid"][:VALID]
        for side in ("train", "valid", "test"):
            text = "".join(line + "\n" for line in lines.get(side, lines["valid"][:1]))
            (folder / f"{side}.jsonl").write_text(text)
        (folder / "tokens").mkdir(exist_ok=True)
        tokenize(base, folder, spec, folder / "tokens", folder / "logs")
    return sum(token_file.load(folder / "tokens/train.safetensors").lengths)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", required=True, help="the Python with the packages of the peers and of punie-build")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--most", type=int, default=2048, help="tokens of the longest row")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--arms", nargs="*", default=[*ARMS], choices=[*ARMS])
    options = parser.parse_args()
    from punie_build.runtime import blas

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokens = rows(options.data, folder, options.base, options.rows, options.most)
        variables = {**os.environ, **blas.environment(Path.cwd()), "UNSLOTH_ZOO_DISABLE_GPU_INIT": "1"}
        print(f"{options.rows} rows, {tokens:,} tokens\n")
        print("| arm | CPU s | tokens/CPU s | peak MB | computed | loss |\n|---|---|---|---|---|---|")
        for _ in range(options.rounds):
            for arm in options.arms:
                command = [options.peers, __file__, "--child", arm, str(options.base), str(folder), str(options.rate)]
                done = subprocess.run(command, check=False, env=variables, capture_output=True, text=True)
                if done.returncode:
                    print(f"| {arm} | failed: {done.stderr.strip().splitlines()[-1][:200]} |", flush=True)
                    continue
                told = json.loads(done.stdout.splitlines()[-1])
                line = (
                    f"{told['cpu']:.1f} | {tokens / told['cpu']:,.0f} | {told['peak']:,.0f} | {told['computed']:,} | "
                )
                line += f"{told['loss']:.3f}"
                print(f"| {arm} | {line} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        arm_, base_, data_, rate_ = sys.argv[2:]
        print(json.dumps(child(arm_, Path(base_), Path(data_), float(rate_))))
    else:
        main()
