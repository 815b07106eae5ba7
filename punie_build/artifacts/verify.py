"""Conformance: read back from an artifact's own files what its recipe asked for. Headers only: no mlx, no weights.

To look at another kind of artifact: a function that yields what is not as it should be, and its row in `OF`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from punie_build.evaluation.spec import Asking
from punie_build.export import model_folder
from punie_build.models.safetensors import Tensor, as_, header, read
from punie_build.storage import digests
from punie_build.training.spec import Adapter


class Config(Struct):
    """What this module asks of an adapter_config.json. `base` is what its base was: bits, tokenizer."""

    fine_tune_type: str | None = None
    num_layers: int | None = None
    lora_parameters: dict[str, Any] | None = None
    base: dict[str, Any] = {}


def bits(folder: Path) -> int:
    """Bits of a model's weights by its config.json; 16 where it names no quantisation."""
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Model)
    return int((config.quantization or {}).get("bits", 16))


class _Model(Struct):
    quantization: dict[str, Any] | None = None


def base(folder: Path) -> dict[str, Any]:
    """What an adapter must know of the base it was trained on: another tokenizer makes other numbers of the same words."""
    return {"bits": bits(folder), "tokenizer": digests.of_pointed(folder / "tokenizer.json")}


def pointers(folder: Path) -> list[str]:
    """The files of a folder that are Git LFS pointers: what they hold is not here to be looked at."""
    small = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 1024)
    return [path.relative_to(folder).as_posix() for path in small if digests.LFS.match(path.read_bytes())]


def adapter(folder: Path, spec: Adapter, model: Path | None = None) -> Iterator[str]:
    """Lines on what the trained adapter has that its recipe did not ask for; none if it is what the recipe says.

    `model` is the folder of its base, where that is at hand.
    """
    try:
        tensors = read(folder / "adapters.safetensors", header)
        config = read(folder / "adapter_config.json", as_(Config))
        wanted = read(model, base) if model else {}
    except ValueError as error:
        yield str(error)
        return
    yield from _tensors(tensors, config, spec)
    yield from _config(config, spec)
    for name, value in wanted.items():
        if config.base.get(name) != value:
            trained = str(config.base.get(name, "(unknown)"))[:12]
            yield f"base.{name}: {spec.base} has {str(value)[:12]}, the adapter was trained on {trained}"


LAYER = re.compile(r"\.layers\.(\d+)\.")


def _tensors(tensors: dict[str, Tensor], config: Config, spec: Adapter) -> Iterator[str]:
    leaves = {name.rpartition(".")[2] for name in tensors}
    kind = "full" if not leaves & {"lora_a", "lora_b"} else "dora" if "m" in leaves else "lora"
    if kind != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, file {kind}"
        return
    layers = {found[1] for name in tensors if (found := LAYER.search(name))}
    wanted = config.num_layers if spec.num_layers == -1 else spec.num_layers
    if len(layers) != wanted and not (spec.lora.keys and len(layers) < (wanted or 0)):  # some layers may lack a key
        yield f"layers: recipe {wanted}, file {len(layers)}"
    if kind == "full":
        return
    ranks = {_rank(name, t["shape"]) for name, t in tensors.items() if name.endswith((".lora_a", ".lora_b"))}
    if ranks != {spec.lora.rank}:
        yield f"rank: recipe {spec.lora.rank}, file {sorted(ranks)}"
    modules = {LAYER.split(name)[-1].rpartition(".")[0] for name in tensors}
    if spec.lora.keys and modules != set(spec.lora.keys):
        yield f"keys: recipe {sorted(spec.lora.keys)}, file {sorted(modules)}"


def _rank(name: str, shape: list[int]) -> int:
    """The rank of a part: (in, rank) and (rank, out); of experts (experts, rank, in) and (experts, out, rank). 0: of none."""
    if len(shape) not in (2, 3):
        return 0
    return shape[-1] if name.endswith(".lora_a") == (len(shape) == 2) else shape[-2]


def _config(config: Config, spec: Adapter) -> Iterator[str]:
    if config.fine_tune_type != spec.fine_tune_type:
        yield f"fine_tune_type: recipe {spec.fine_tune_type}, adapter_config.json {config.fine_tune_type}"
    if spec.fine_tune_type == "full":
        return
    held = config.lora_parameters or {}
    for name, value in (("scale", spec.lora.scale), ("dropout", spec.lora.dropout), ("rank", spec.lora.rank)):
        if held.get(name) != value:
            yield f"{name}: recipe {value}, adapter_config.json {held.get(name)}"


def lines(path: Path) -> int:
    """How many lines a file has, in constant memory."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(b"\n")
    return count


class _Counts(Struct):
    seen: int
    kept: int
    rows: int


class _Stats(Struct):
    splits: dict[str, _Counts]


def data(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where a data folder's files do not have the rows its stats.json says."""
    try:
        splits = read(folder / "stats.json", as_(_Stats)).splits
    except ValueError as error:
        yield str(error)
        return
    dropped = sum(counts.seen - counts.kept for counts in splits.values())
    for name, rows in [*((split, counts.rows) for split, counts in splits.items()), ("dropped", dropped)]:
        try:
            found = read(folder / f"{name}.jsonl", lines)
        except ValueError as error:
            yield str(error)
        else:
            if found != rows:
                yield f"{name}.jsonl: stats.json says {rows} rows, the file has {found}"


class _Case(Struct):
    case: str
    epoch: int = 0


class _Judged(Struct):
    case: str
    epochs: int = 1
    errors: int = 0


class _Scores(Struct):
    cases: list[_Judged]


def answers(folder: Path, spec: Asking, _model: Path | None = None) -> Iterator[str]:
    """Lines where the answers are not as many to each case as the recipe asks for."""
    try:
        given = read(folder / "answers.jsonl", _answers)
    except ValueError as error:
        yield str(error)
        return
    epochs: dict[str, list[int]] = {}
    for each in given:
        epochs.setdefault(each.case, []).append(each.epoch)
    odd = [case for case, found in epochs.items() if found != list(range(spec.epochs))]
    if odd or not given:
        yield f"answers.jsonl: not {spec.epochs} to each case: {', '.join(odd[:3]) or 'none at all'}"


def scores(folder: Path, spec: Asking, _model: Path | None = None) -> Iterator[str]:
    """Lines where a case of an eval was not judged as often as it was asked."""
    try:
        judged = read(folder / "scores.json", as_(_Scores)).cases
    except ValueError as error:
        yield str(error)
        return
    odd = [each.case for each in judged if each.epochs + each.errors != spec.epochs]
    if odd or len({each.case for each in judged}) < len(judged):
        yield f"scores.json: {len(judged)} cases are judged: not {spec.epochs} answers to each"


def _answers(path: Path) -> list[_Case]:
    return msgspec.json.Decoder(_Case).decode_lines(path.read_bytes())


CHOSEN = ("learning_rate", "batch_size", "seed")  # what adapter_config.json says as the recipe does


class _Chosen(Struct):
    setting: dict[str, Any]
    seed: int | None = None


def choice(folder: Path, _spec: object, _model: Path | None = None) -> Iterator[str]:
    """Lines where the adapter that was chosen has not the setting that choice.json says."""
    try:
        chosen = read(folder / "choice.json", as_(_Chosen))
        config = read(folder / "adapter_config.json", as_(dict[str, Any]))
    except ValueError as error:
        yield str(error)
        return
    held = {f"lora.{name}": value for name, value in (config.get("lora_parameters") or {}).items()}
    held |= {name: config.get(name) for name in CHOSEN}
    said = chosen.setting | ({} if chosen.seed is None else {"seed": chosen.seed})
    for field, value in said.items():
        if field in held and held[field] != value:
            yield f"{field}: choice.json {value}, adapter_config.json {held[field]}"


OF: dict[str, Callable[[Path, Any, Path | None], Iterator[str]]] = {
    "dataset": data,
    "stage": data,
    "mix": data,
    "adapter": adapter,
    "choice": choice,
    "model": model_folder.model,
    "answers": answers,
    "eval": scores,
}
