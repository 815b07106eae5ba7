"""The commands `train`, `benchmark`, `metrics` and `search`.

    punie-build train DATA --model BASE --output DIR     tokenize and train, without a recipe
    punie-build benchmark BASE                           seconds per iteration, tokens per second, memory
    punie-build metrics LOG                              print a log of mlx-lm as events
    punie-build search NAME --trials 20                  run trials of a search of the recipes

DATA is a file or folder in any format and dialect that datasets read. A BASE is `nano`, a base of the recipes, a folder
with a model, or `org/name@commit` of the Hub. An interrupted training resumes when the same command runs again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from punie_build.artifacts.tokens import TOKENS
from punie_build.artifacts.training import ADAPTER
from punie_build.cli.options import LOGS, Command, Options, base_folder, output_folder, output_option, print_next
from punie_build.data import pipeline
from punie_build.data.sources import AnySource, Local, Sample
from punie_build.data.spec import Dataset
from punie_build.data.split import Split
from punie_build.engine import fingerprint
from punie_build.engine.state import tools
from punie_build.engine.task import AnyTask
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.runtime import blas, device_lock, versions
from punie_build.schema.spec import classes, toml
from punie_build.schema.validation import mistakes
from punie_build.storage import digests, paths
from punie_build.storage.locks import KeyInputs
from punie_build.sweeps.axes import merge
from punie_build.training import adapter_config, history, launch, mlx_log, throughput, token_file
from punie_build.training.launch import TrainingRun
from punie_build.training.spec import Adapter, tokenized_for
from punie_build.training.steps import token_counts

BASE = "nano, a base of the recipes, a folder with a model, or org/name@commit"


def train(root: Path, options: Options) -> int:
    """Train an adapter on a folder of conversations, without a recipe."""
    spec, model = _spec(options, options.model, options.data), base_folder(root, options.model, "--model")
    source = Local(path=options.data)
    with (
        output_folder(root, options.output, "adapter_config.json") as out,
        _chat_folder(root, source, spec.compares) as data,
    ):
        with _tokens(root, model, data, spec) as tokens, device_lock.hold(ADAPTER.exclusive, versions.device(), print):
            if advice := blas.advice():
                print(advice)
            launch.train(_training_run(root, model, tokens, spec, out))
        msgspec.structs.replace(adapter_config.load(out), model=options.model).write(out)
        summary = history.summary(out)
    print(summary)
    fields = ", ".join(f"{field} = {toml(value)}" for field, value in _adapter_table(options).items())
    return print_next(
        f"mlx_lm.generate --model {model} --adapter-path {options.output} --prompt '...'",
        f"write a recipe to evaluate it, and to rebuild it when its data change: [adapter.NAME] with {fields}",
    )


def benchmark(root: Path, options: Options) -> int:
    """Train a few batches; print the time of a batch and the memory, and forecast the time of a recipe."""
    model = base_folder(root, options.base, "BASE")
    task = Project.load(root).task(options.recipe) if options.recipe else None
    if task and task.kind is not ADAPTER:
        raise UseError(f"--recipe {options.recipe}: not an adapter - name one, such as adapter:v1")
    spec = task.spec if task else _spec(options, options.base, options.data or "sample")
    with (
        _benchmark_data(root, options, task, spec.compares) as data,
        _tokens(root, model, data, spec) as tokens,
        tempfile.TemporaryDirectory() as scratch,
        device_lock.hold(ADAPTER.exclusive, versions.device(), print),
    ):
        out = Path(scratch, "out")
        out.mkdir()
        run = _training_run(root, model, tokens, throughput.benchmark_spec(spec, options.iters), out)
        run = msgspec.structs.replace(run, checkpoint_dir=Path(scratch, "checkpoints"))
        result = throughput.measure(run, lambda _: None)
        batching = spec.for_rows(token_file.load(tokens / "train.safetensors")).batching
        print(f"{options.base} on {versions.device()}, batches of {spec.batch_size} ({batching}): {result}")
        if task:
            print(f"{task.label}: {throughput.forecast(result, spec, tokens)}")
    return 0


def metrics(_root: Path, options: Options) -> int:
    """Read a log of mlx-lm's trainer, of any version, and print it as the events of a metrics.jsonl."""
    events = list(mlx_log.parse(Path(options.log).read_text(encoding="utf-8", errors="replace")))
    if not events:
        raise UseError(f"{options.log}: no line with a loss - name a file with the output of mlx_lm.lora")
    print("\n".join(json.dumps(event) for event in events))
    return 0


def search(root: Path, options: Options) -> int:
    """Run trials of a search of the recipes. Each is an adapter, recorded before it is trained."""
    from punie_build.cli.search import search as run_trials

    return run_trials(root, options.name, options.trials)


@contextmanager
def _chat_folder(root: Path, source: AnySource, pairs: bool = False) -> Iterator[Path]:
    """Yield a temporary folder with the rows of a source as chat or as pairs, a tenth of them for validation."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = Dataset(source=source, split=Split(valid=0.1, test=0.0), form="preference" if pairs else "chat")
        pipeline.build_dataset("data", spec, root, Path(scratch), root / LOGS)
        yield Path(scratch)


@contextmanager
def _benchmark_data(root: Path, options: Options, task: AnyTask | None, pairs: bool) -> Iterator[Path]:
    """Yield the data of a recipe, of `--data`, or synthetic conversations."""
    if task:
        project = Project.load(root)
        tokens = project.task(next(label for label in task.needs if label.startswith(f"{TOKENS.name}:")))
        project.build(next(iter(tokens.needs)))
        yield root / tokens.inputs[0]
    else:
        if pairs and not options.data:
            raise UseError(
                "--data: this loss compares answers, and synthetic conversations have one - name a file of pairs"
            )
        source = Local(path=options.data) if options.data else Sample(max_examples=400)
        with _chat_folder(root, source, pairs) as data:
            yield data


@contextmanager
def _tokens(root: Path, model: Path, data: Path, spec: Adapter) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        stats = launch.tokenize(model, data, tokenized_for(spec), Path(scratch), root / LOGS)
        print(token_counts(stats))
        yield Path(scratch)


def _training_run(root: Path, model: Path, tokens: Path, spec: Adapter, out: Path) -> TrainingRun:
    """Return a training whose folder of checkpoints is the same when the same command runs again."""
    inputs = {TOKENS.name: digests.of_tree(tokens), "base": digests.of_tree(model)}
    recipe = msgspec.to_builtins(spec) | {"base": "", "data": ""}
    of = classes(spec)
    code, used_tools = fingerprint.code(ADAPTER, of), tools(ADAPTER, of)
    key_inputs = KeyInputs(kind=ADAPTER.name, recipe=recipe, code=code, inputs=inputs, tools=used_tools)
    checkpoint_dir = root / paths.checkpoints(launch.checkpoint_key(key_inputs, spec))
    log = root / LOGS / "training.log"
    return TrainingRun(root=root, base=model, tokens=tokens, spec=spec, out=out, checkpoint_dir=checkpoint_dir, log=log)


def _adapter_table(options: Options) -> dict[str, Any]:
    """Return the fields of an adapter that the options set, as a table of a recipe."""
    names = ("iters", "batch_size", "learning_rate", "num_layers", "seed")
    table = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    if options.lora_rank is not None:
        table["lora"] = {"rank": options.lora_rank}
    for text in options.set or ():
        try:
            table = merge(table, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UseError(f"--set {text}: not TOML ({error}) - such as --set 'lora.scale = 10.0'") from None
    return table


def _spec(options: Options, base: str, data: str) -> Adapter:
    table = _adapter_table(options) | {"base": base, "data": data}
    if problems := list(mistakes(table, Adapter, options.command)):
        raise UseError("\n".join(problems))
    return msgspec.convert(table, Adapter)


def _adapter_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--batch-size", "-b", type=int, metavar="N", help="rows per batch (4)")
    command.add_argument("--lora-rank", type=int, metavar="N", help="rank of LoRA (8)")
    command.add_argument("--num-layers", type=int, metavar="N", help="train the last N layers (all)")
    command.add_argument(
        "--set", action="append", metavar="FIELD=VALUE", help="set any other field of an adapter, as in a recipe"
    )


def _train_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", metavar="DATA", help="a file or folder of conversations")
    command.add_argument("--model", "-m", default="nano", help=f"{BASE} (nano)")
    output_option(command)
    command.add_argument("--iters", "-i", type=int, metavar="N", help="number of batches (300)")
    command.add_argument("--learning-rate", "-lr", type=float, metavar="X", help="learning rate (1e-4)")
    command.add_argument("--seed", type=int, metavar="N", help="seed of weights, order and dropout (0)")
    _adapter_options(command)


def _benchmark_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("base", metavar="BASE", help=BASE)
    command.add_argument(
        "--recipe", metavar=f"{ADAPTER.name}:NAME", help="train as this recipe does, and forecast its time"
    )
    command.add_argument("--data", help="a file or folder of conversations; default: synthetic conversations")
    command.add_argument("--iters", "-i", type=int, default=20, metavar="N", help="number of batches to measure (20)")
    _adapter_options(command)


def _metrics_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("log", metavar="LOG", help="a file with the output of mlx_lm.lora")


def _search_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="the name of a [search.NAME] in the recipes")
    command.add_argument("--trials", type=int, default=10, metavar="N", help="number of new trials (10)")


COMMANDS: dict[str, Command] = {
    "train": (train, _train_options),
    "benchmark": (benchmark, _benchmark_options),
    "metrics": (metrics, _metrics_options),
    "search": (search, _search_options),
}
