"""By hand: training without a recipe, and what may be asked of trainings.

    punie-build train DATA --model BASE --output DIR     tokenise, train, and read back what came out
    punie-build benchmark BASE                           seconds an iteration, tokens a second, memory
    punie-build metrics LOG                              what mlx-lm printed, as events
    punie-build search NAME --trials 20                  a search of the recipes goes on (`searching`)

DATA is a file or folder in any format and dialect that datasets read. A BASE is `nano`, a base of the recipes, a model's folder, or
`org/name@commit` of the Hub. The code is that of recipes: a training that was killed goes on when it is asked for again.
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

from punie_build.artifacts.training import ADAPTER, TOKENS
from punie_build.cli.dataset import after, output
from punie_build.cli.options import Command, Options, base_folder
from punie_build.data import pipeline
from punie_build.data.sources import AnySource, Local, Sample
from punie_build.data.spec import Dataset
from punie_build.data.split import Split
from punie_build.engine import fingerprint
from punie_build.engine.state import tools
from punie_build.errors import UseError
from punie_build.project import Project
from punie_build.runtime import blas, device_lock, versions
from punie_build.schema.spec import toml
from punie_build.schema.validation import mistakes
from punie_build.storage import digests, paths
from punie_build.storage.locks import KeyInputs
from punie_build.sweeps.axes import merge
from punie_build.training import history, launch, mlx_log, throughput
from punie_build.training.launch import TrainingRun
from punie_build.training.spec import Adapter, tokenized_for
from punie_build.training.steps import token_counts

LOGS = f"{paths.STATE}/logs/by-hand"


def train(root: Path, options: Options) -> int:
    """Train an adapter on a folder of conversations, without a recipe."""
    spec, model = _spec(options, options.model, options.data), base_folder(root, options.model, "--model")
    with output(root, options.output, "adapter_config.json") as out, _data(root, Local(path=options.data)) as data:
        with _tokens(root, model, data, spec) as tokens, device_lock.hold(ADAPTER.exclusive, versions.device(), print):
            if advice := blas.advice():
                print(advice)
            launch.train(_work(root, model, tokens, spec, out))
        said = history.summary(out)
    print(said)
    again = ", ".join(f"{field} = {toml(value)}" for field, value in _table(options).items())
    return after(
        f"mlx_lm.generate --model {model} --adapter-path {options.output} --prompt '...'",
        f"as a recipe it can be evaluated, and is made anew when its data change: [adapter.NAME] with {again}",
    )


def benchmark(root: Path, options: Options) -> int:
    """Train a few batches, and tell how long one takes, how much memory, and how long a recipe would take."""
    model = base_folder(root, options.base, "BASE")
    wanted = Project.load(root).task(options.recipe) if options.recipe else None
    if wanted and wanted.kind is not ADAPTER:
        raise UseError(f"--recipe {options.recipe}: not an adapter - such as adapter:v1")
    spec = wanted.spec if wanted else _spec(options, options.base, options.data or "sample")
    short = throughput.benchmark_spec(spec, options.iters)
    with (
        _benchmarked(root, options, wanted) as data,
        _tokens(root, model, data, spec) as tokens,
        tempfile.TemporaryDirectory() as scratch,
        device_lock.hold(ADAPTER.exclusive, versions.device(), print),
    ):
        out = Path(scratch, "out")
        out.mkdir()
        work = msgspec.structs.replace(
            _work(root, model, tokens, short, out), checkpoint_dir=Path(scratch, "checkpoints")
        )
        speed = throughput.measure(work, lambda _: None)
        print(f"{options.base} on {versions.device()}, batches of {spec.batch_size} ({spec.batching}): {speed}")
        if wanted:
            print(f"{wanted.label}: {throughput.forecast(speed, spec, tokens)}")
    return 0


def metrics(_root: Path, options: Options) -> int:
    """Read what mlx-lm printed while it trained, old format and new, as the events of a metrics.jsonl."""
    found = list(mlx_log.parse(Path(options.log).read_text(encoding="utf-8", errors="replace")))
    if not found:
        raise UseError(f"{options.log}: no loss in it - is it the output of mlx_lm.lora?")
    print("\n".join(json.dumps(event) for event in found))
    return 0


def search(root: Path, options: Options) -> int:
    """Let a search of the recipes try more settings; each is an adapter, recorded before it is trained."""
    from punie_build.cli import search as searching

    return searching.search(root, options.name, options.trials)


@contextmanager
def _data(root: Path, source: AnySource) -> Iterator[Path]:
    """A source as chat with a validation side, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = Dataset(source=source, split=Split(valid=0.1, test=0.0))
        pipeline.build_dataset("data", spec, root, Path(scratch), root / LOGS)
        yield Path(scratch)


@contextmanager
def _benchmarked(root: Path, options: Options, wanted: Any) -> Iterator[Path]:
    """The data of a recipe, of a place, or conversations of our own."""
    if wanted:
        project = Project.load(root)
        tokens = project.task(next(label for label in wanted.needs if label.startswith(f"{TOKENS.name}:")))
        project.build(next(iter(tokens.needs)))
        yield root / tokens.inputs[0]
    else:
        with _data(root, Local(path=options.data) if options.data else Sample(max_examples=400)) as data:
            yield data


@contextmanager
def _tokens(root: Path, model: Path, data: Path, spec: Adapter) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        stats = launch.tokenize(model, data, tokenized_for(spec), Path(scratch), root / LOGS)
        print(token_counts(stats))
        yield Path(scratch)


def _work(root: Path, model: Path, tokens: Path, spec: Adapter, out: Path) -> TrainingRun:
    """The training, with a place for checkpoints that is the same when it is asked for again."""
    inputs = {"tokens": digests.of_tree(tokens), "base": digests.of_tree(model)}
    recipe = msgspec.to_builtins(spec) | {"base": "", "data": ""}
    code = fingerprint.code(ADAPTER, spec)
    facts = KeyInputs(kind=ADAPTER.name, recipe=recipe, code=code, inputs=inputs, tools=tools(ADAPTER, spec))
    checkpoint_dir = root / paths.checkpoints(launch.checkpoint_key(facts, spec))
    log = root / LOGS / "training.log"
    return TrainingRun(root=root, base=model, tokens=tokens, spec=spec, out=out, checkpoint_dir=checkpoint_dir, log=log)


def _table(options: Options) -> dict[str, Any]:
    """What the options say of an adapter, as a recipe would."""
    named = {
        name: getattr(options, name, None) for name in ("iters", "batch_size", "learning_rate", "num_layers", "seed")
    }
    table = {name: value for name, value in named.items() if value is not None}
    if options.lora_rank is not None:
        table["lora"] = {"rank": options.lora_rank}
    for text in options.set or ():
        try:
            table = merge(table, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UseError(f"--set {text}: not TOML ({error}) - such as --set 'lora.scale = 10.0'") from None
    return table


def _spec(options: Options, base: str, data: str) -> Adapter:
    table = _table(options) | {"base": base, "data": data}
    if problems := list(mistakes(table, Adapter, options.command)):
        raise UseError("\n".join(problems))
    return msgspec.convert(table, Adapter)


def _knobs(command: argparse.ArgumentParser) -> None:
    command.add_argument("--batch-size", "-b", type=int, metavar="N", help="rows a batch (4)")
    command.add_argument("--lora-rank", type=int, metavar="N", help="rank of LoRA (8)")
    command.add_argument("--num-layers", type=int, metavar="N", help="the last so many layers (all)")
    command.add_argument(
        "--set", action="append", metavar="FIELD=VALUE", help="any other field of an adapter, as in a recipe"
    )


def _train_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", help="a file or folder of conversations")
    command.add_argument("--model", "-m", default="nano", help="nano, a base of the recipes, a folder, org/name@commit")
    command.add_argument("--output", "-o", required=True, help="the folder to write")
    command.add_argument("--iters", "-i", type=int, metavar="N", help="batches (300)")
    command.add_argument("--learning-rate", "-lr", type=float, metavar="X", help="(1e-4)")
    command.add_argument("--seed", type=int, metavar="N")
    _knobs(command)


def _benchmark_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("base", metavar="BASE", help="nano, a base of the recipes, a folder, org/name@commit")
    command.add_argument("--recipe", metavar="adapter:NAME", help="train as this recipe says, and forecast it")
    command.add_argument("--data", help="a file or folder of conversations; default: some of our own")
    command.add_argument("--iters", "-i", type=int, default=20, metavar="N", help="batches to measure (20)")
    _knobs(command)


def _metrics_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("log", help="a file with what mlx_lm.lora printed")


def _search_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="of a [search.NAME] in the recipes")
    command.add_argument("--trials", type=int, default=10, metavar="N", help="how many more settings to try (10)")


COMMANDS: dict[str, Command] = {
    "train": (train, _train_options),
    "benchmark": (benchmark, _benchmark_options),
    "metrics": (metrics, _metrics_options),
    "search": (search, _search_options),
}
