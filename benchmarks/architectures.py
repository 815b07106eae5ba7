"""Sweep over the architectures that mlx-lm knows: what punie-build computes from files, against what really happens.

    ./run python benchmarks/architectures.py                          # all, half an hour on two idle cores
    ./run python benchmarks/architectures.py qwen3_moe gpt2           # some
    ./run python benchmarks/architectures.py --into docs/architectures.md
    ./run python benchmarks/architectures.py --rows sweep.jsonl         # in parts: measured rows are read

Each architecture is a tiny random base (`tests/support/tiny_bases.py`) in bfloat16, in a process of its own. Its LoRA
of rank 4 is trained for 3 batches and resumed to 5, fused, quantized and measured by the steps of punie-build. The
sizes are those of LoRA parameters, of a checkpoint, and of models in 3, 4, 5, 6, 8 and 16 bits and in mxfp4; also
those of a LoRA on the quantized models.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

ITERS, RESUMED_ITERS, RANK = 3, 5, 4
MINUTES = 25  # for one architecture
MODELS = ({"bits": 3}, {"bits": 4}, {"bits": 5}, {"bits": 6}, {"bits": 8}, {"bits": 16}, {"mode": "mxfp4"})
COLUMNS = ("architecture", "layers", "LoRA", "sizes, worst", "loss", "resumed", "fused", "4 bits", "remark")
TEXT = """\
# Architectures

`benchmarks/architectures.py` wrote this page: {count} architectures of mlx-lm {version} as tiny random bases, each
through the steps of punie-build. {trained} train, resume, fuse and quantize. For the others, the remark is what a
training says before it starts.

- **LoRA**: parameters that the files tell, and the real ones if they differ.
- **sizes, worst**: the largest deviation of a size computed from files from the real one. Sizes are those of the LoRA,
  of a checkpoint, of seven models (3, 4, 5, 6, 8, 16 bits, mxfp4) and of a LoRA on each of these.
- **loss**: before and after {iters} batches of LoRA.
- **resumed**: whether a training that was resumed gave the bytes of one that never stopped.
- **fused**, **4 bits**: share of tokens on which the model agrees with its adapter. The weights are random, so that
  quantization changes many tokens.

{left_out}

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures; default: all")
    parser.add_argument("--into", type=Path, help="write the page to this file")
    parser.add_argument("--rows", type=Path, help="append rows to this file, and measure those only that it lacks")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.names[0], options.one)))
        return
    from tests.support import tiny_bases

    names = options.names or tiny_bases.architectures()
    with tempfile.TemporaryDirectory() as scratch:
        write_tokens(Path(scratch))
        rows = list(sweep_all(names, Path(scratch), options.rows))
    text = page(rows, tiny_bases.LEFT_OUT)
    if options.into:
        options.into.write_text(text, encoding="utf-8")


def sweep_all(names: list[str], scratch: Path, kept: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the row of each architecture, from a file of rows if it has it, else measured and appended there."""
    known = {}
    if kept and kept.exists():
        known = {row["architecture"]: row for row in map(msgspec.json.decode, kept.read_bytes().splitlines())}
    for name in names:
        row = known.get(name) or sweep(name, scratch)
        if kept and name not in known:
            with kept.open("ab") as lines:
                lines.write(msgspec.json.encode(row) + b"\n")
        yield row


def page(rows: list[dict[str, Any]], left_out: dict[str, str]) -> str:
    """Return the page of the sweep."""
    from punie_build.runtime import versions

    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row.get(name, "-")) for name in COLUMNS) + " |" for row in rows]
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        reasons.setdefault(reason, []).append(name)
    missing = [f"{', '.join(names)} ({reason})" for reason, names in reasons.items()]
    head = TEXT.format(
        count=len(rows),
        version=versions.version("mlx-lm"),
        trained=sum("4 bits" in row for row in rows),
        iters=ITERS,
        left_out=textwrap.fill(f"Not in the table: {'; '.join(missing)}.", 118, break_on_hyphens=False),
    )
    return head + "\n".join(lines) + "\n"


def sweep(name: str, scratch: Path) -> dict[str, Any]:
    """Measure an architecture in a process of its own, and print its row."""
    command = [sys.executable, __file__, name, "--one", str(scratch)]
    (scratch / "hf_olmo.py").touch()  # mlx-lm only looks whether this package of OLMo is installed
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(scratch)))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * MINUTES, env=env)
        lines = done.stdout.splitlines()
        row = json.loads(lines[-1]) if done.returncode == 0 else {"remark": f"crash: {done.stderr.splitlines()[-1]}"}
    except subprocess.TimeoutExpired:
        row = {"remark": f"not finished after {MINUTES} minutes"}
    row = {"architecture": name} | row
    print(" | ".join(f"{row.get(column, '-')}" for column in COLUMNS), flush=True)
    return row


def write_tokens(scratch: Path) -> None:
    """Write tokens of a few conversations, for nano's tokenizer."""
    from punie_build.storage import paths
    from punie_build.training import launch
    from punie_build.training.spec import Tokenized

    data, out = scratch / "data", scratch / "tokens"
    data.mkdir()
    out.mkdir()
    for split, count in (("train", 24), ("valid", 6), ("test", 6)):
        lines = [
            {"messages": [
                {"role": "user", "content": f"What is {split} {number}?"},
                {"role": "assistant", "content": f"The answer to number {number} is {number * 7}." * (1 + number % 3)},
            ]}
            for number in range(count)
        ]  # fmt: skip
        (data / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    launch.tokenize(paths.nano(), data, Tokenized(base="nano", data="d"), out, scratch / "logs")


def measure(name: str, scratch: Path) -> dict[str, Any]:
    """Return the row of an architecture. A step that punie-build refuses is its remark."""
    import mlx.core as mx

    from punie_build.models.architecture import read_architecture
    from tests.support import tiny_bases

    folder = scratch / name
    base = folder / "base"
    tiny_bases.write_base(base, name, mx.bfloat16)
    row: dict[str, Any] = {}
    try:
        architecture = read_architecture(base)
        assert architecture is not None
        row["layers"] = architecture.layers
        for part in (trained, exported):
            row |= part(base, folder, scratch / "tokens", row)
    except SystemExit as exit_:
        row["remark"] = str(exit_).replace("punie: ", "").replace("|", "\\|")
    finally:
        shutil.rmtree(folder)
    deviations = row.pop("deviations", {})
    if deviations:
        worst = max(deviations, key=lambda each: abs(deviations[each]))
        row["sizes, worst"] = f"{deviations[worst]:+.1%} ({worst})" if deviations[worst] else "0"
    return row


def spec(**changes: Any) -> Any:
    from punie_build.training.spec import Adapter, Lora

    fields = {"lora": Lora(rank=RANK, scale=10.0), "learning_rate": 1e-3, "steps_per_eval": 10, "save_every": 1}
    return Adapter(base="b", data="d", **fields | {"iters": ITERS} | changes)


def trained(base: Path, folder: Path, tokens: Path, _row: dict[str, Any]) -> dict[str, Any]:
    """Train, resume, and compare with the files."""
    from punie_build.models.architecture import read_architecture
    from punie_build.models.safetensors import read_header
    from punie_build.preflight import resources
    from punie_build.training import verify

    architecture = read_architecture(base)
    assert architecture is not None
    short, long = spec(), spec(iters=RESUMED_ITERS)
    run(base, folder / "short", tokens, short)
    told = resources.trainable_parameters(short, architecture)
    real = count(read_header(folder / "short/out/adapters.safetensors"))
    checkpoint = tensor_bytes(max((folder / "short/checkpoints").glob("*/state.safetensors")))
    problems = [*verify.adapter(folder / "short/out", short, base)]
    losses = [event["loss"] for event in events(folder / "short/out") if event.get("event") == "valid"]
    run(base, folder / "never", tokens, long)
    shutil.rmtree(folder / "short/out")
    run(base, folder / "short", tokens, long)
    same = [(folder / each / "out/adapters.safetensors").read_bytes() for each in ("short", "never")]
    return {
        "LoRA": f"{told:,}" if told == real else f"{told:,}, really {real:,}",
        "loss": f"{losses[0]:.3f} -> {losses[-1]:.3f}",
        "resumed": "same bytes" if same[0] == same[1] else "OTHER BYTES",
        "deviations": {
            "LoRA": told / real - 1,
            "checkpoint": resources.checkpoint_bytes(short, architecture) / checkpoint - 1,
        },
        "remark": "; ".join(problems),
    }


def exported(base: Path, folder: Path, tokens: Path, row: dict[str, Any]) -> dict[str, Any]:
    """Fuse and quantize, measure, and compare sizes with the files."""
    from punie_build.export import fidelity, model_folder
    from punie_build.export.spec import Model
    from punie_build.training import token_loss

    adapter, remarks = folder / "never/out", [row["remark"]] if row["remark"] else []
    result: dict[str, Any] = {}
    rows = token_loss.batches(fidelity.held_out_rows(tokens), Model(adapter="a").fidelity_rows)
    for column, fields in (("fused", {}), ("4 bits", {"bits": 4, "group_size": 32})):
        out, model = folder / column, Model(adapter="a", **fields)
        export(model, base, adapter, out)
        measured = fidelity.measure(base, adapter, out, rows, folder / f"{column}.safetensors")
        result[column] = f"{measured.agreement:.0%}"
        remarks += model_folder.model(out, model, base)
    deviations = dict(row["deviations"])
    for fields in MODELS:
        name, out = " ".join(f"{value}" for value in fields.values()), folder / "model"
        model = Model(base="b", group_size=None if fields.get("mode") or fields.get("bits") == 16 else 32, **fields)
        try:
            export(model, base, None, out)
        except (SystemExit, ValueError) as error:
            remarks.append(f"{name}: {error}")
            continue
        real = sum(tensor_bytes(path) for path in out.glob("*.safetensors"))
        deviations[f"model {name}"] = model_folder.estimate_bytes(base, model) / real - 1
        deviations[f"LoRA on {name}"] = lora_deviation(out)
        shutil.rmtree(out)
    return result | {"deviations": deviations, "remark": "; ".join(remarks)}


def lora_deviation(base: Path) -> float:
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model

    from punie_build.models.architecture import read_architecture
    from punie_build.preflight import resources
    from punie_build.training.loop.lora import apply_adapter

    architecture = read_architecture(base)
    assert architecture is not None
    model, _ = load_model(base, lazy=True)
    apply_adapter(model, spec())
    real = sum(value.size for _, value in tree_flatten(model.trainable_parameters()))
    return float(resources.trainable_parameters(spec(), architecture) / real - 1)


def export(model: Any, base: Path, adapter: Path | None, out: Path) -> None:
    from punie_build.export import process

    out.mkdir()
    process.export(model, base, adapter, out)


def run(base: Path, folder: Path, tokens: Path, adapter: Any) -> None:
    """Train an adapter in this process."""
    from punie_build.training.launch import TrainJob
    from punie_build.training.loop import process

    for name in ("out", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ignore: Callable[[object], None] = lambda _event: None  # noqa: E731
    job = TrainJob(
        base=str(base),
        tokens=str(tokens),
        out=str(folder / "out"),
        checkpoint_dir=str(folder / "checkpoints"),
        progress=str(folder / "progress.json"),
        tracker_dir=str(folder / "run"),
        spec=adapter,
    )
    process.run(job, ignore)


def events(out: Path) -> Iterator[dict[str, Any]]:
    for line in (out / "metrics.jsonl").read_bytes().splitlines():
        yield msgspec.json.decode(line)


def tensor_bytes(path: Path) -> int:
    """Return the bytes of the tensors in a file: beside tiny tensors, its header is large."""
    from punie_build.models.safetensors import read_header

    return max(tensor["data_offsets"][1] for tensor in read_header(path).values())


def count(header: dict[str, Any]) -> int:
    import math

    return sum(math.prod(tensor["shape"]) for tensor in header.values())


if __name__ == "__main__":
    main()
