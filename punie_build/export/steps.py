"""Steps of models: fused, quantised, and measured."""

from __future__ import annotations

import shutil
from typing import Any

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.errors import ModelError
from punie_build.export import model_folder
from punie_build.export.spec import Model, unwritable
from punie_build.runtime import blas, child

RETAINED, AGREEMENT = 0.95, 0.8  # below these a model is told to be a poor likeness of its adapter
SAME = 0.95  # agreement of a fused model that is not quantised, at least: rounding moves a few tokens in a hundred


def model(work: Work[Model]) -> StepResult:
    spec = work.spec
    folder = work.external("base")
    if why := unwritable(spec, model_folder.model_type(folder)):
        raise ModelError(f"{work.task.label}.{why}")
    copies = 1 if spec.temporary else 2  # the store keeps one
    room(work.task.label, copies * model_folder.size(folder, spec), shutil.disk_usage(work.out).free)
    result = work.logs / "result.json"
    places = dict(zip(("adapter", "tokens"), (str(work.root / place) for place in work.task.inputs), strict=False))
    job = {
        "base": str(folder),
        "out": str(work.out),
        "result": str(result),
        "adapter": None,
        "tokens": None,
        **places,
        "spec": msgspec.to_builtins(spec),
    }
    place = work.logs / "job.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(msgspec.json.encode(job))
    child.run("punie_build.export.process", [str(place)], work.logs / "fusing.log", blas.environment(work.root))
    if problems := list(model_folder.model(work.out, spec, folder)):
        raise ModelError("\n".join(f"the model is not what the recipe asks for: {problem}" for problem in problems))
    told: dict[str, Any] = msgspec.json.decode(result.read_bytes())
    for line in warnings(spec, told):
        work.say(line)
    _alike(work, told)
    return StepResult(*said(told, sum(path.stat().st_size for path in work.out.rglob("*") if path.is_file())))


def room(label: str, needed: int, free: int) -> None:
    """Raise ModelError where so many bytes are not free."""
    if needed > free:
        raise ModelError(
            f"{label}: needs about {needed / 2**30:.1f} GiB of disk, with its copy in the store, {free / 2**30:.1f} GiB are free - make room (`punie-build store gc` removes what no lock names), or take fewer bits"
        )


def _alike(work: Work[Model], told: dict[str, Any]) -> None:
    """Raise ModelError where nothing was quantised and the model is another one than the adapter."""
    measured = told.get("measured")
    if measured and told["bits_per_weight"] >= 16 and measured["agreement"] < SAME:
        raise ModelError(
            f"{work.task.label}: it is not quantised and agrees with {work.spec.adapter} on {measured['agreement']:.1%} of tokens only - was the adapter trained on this base? This is a bug of mlx-lm or of ours"
        )


def warnings(spec: Model, told: dict[str, Any]) -> list[str]:
    """What people should know of a model beside its numbers."""
    lines = []
    if left := told["unquantised"]:
        group = spec.quantisation["group_size"]
        lines.append(f"not quantised, their width is no multiple of group_size {group}: {model_folder.some(left)}")
    measured = told.get("measured", {})
    low = measured.get("gain_retained", 1.0) < RETAINED or measured.get("agreement", 1.0) < AGREEMENT
    if low:
        gain = f"gain retained {measured['gain_retained']:.1%}, " if "gain_retained" in measured else ""
        lines.append(
            f"{gain}agreement {measured['agreement']:.1%}: too little is left of {spec.adapter} - take more bits, or smaller groups"
        )
    if measured and "gain_retained" not in measured:
        lines.append(f"{spec.adapter} is no better than its base on held-back rows: what is retained cannot be told")
    return lines


def said(told: dict[str, Any], size: int) -> tuple[str, dict[str, float]]:
    """One line of what was made, and what gates may ask of it."""
    line = f"{size / 2**20:,.0f} MiB, {told['bits_per_weight']:.2f} bits a weight"
    measured: dict[str, float] = told.get("measured", {})
    if "gain_retained" in measured:
        line += f"; gain retained {measured['gain_retained']:.1%}"
    if measured:
        line += f"; agreement {measured['agreement']:.1%} over {measured['tokens']:,.0f} tokens"
    metrics = {"bytes": size, "bits_per_weight": told["bits_per_weight"], "unquantised": len(told["unquantised"])}
    return line, metrics | measured
