"""Checks of a fused or quantized model by its recipe and the files of its base. A check is a function from a
`ModelPlan` to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from punie_build.export import model_folder
from punie_build.export.spec import Model, gguf_problem
from punie_build.models import verify
from punie_build.models.architecture import Architecture, read_architecture
from punie_build.preflight.finding import Level, PreflightFinding
from punie_build.preflight.resources import Resources, format_gib

Findings = Iterator[PreflightFinding]

FEW_BITS = 4  # at which the tokens of adapters changed most (docs/architectures.md)


class ModelPlan(Struct, frozen=True, kw_only=True):
    """A model that has not been made yet, from the `base` in `folder`. `where`: its location in a recipe."""

    where: str
    spec: Model
    folder: Path
    base: Architecture
    resources: Resources

    def finding(self, check: str, level: Level, field: str, problem: str, advice: str) -> PreflightFinding:
        """Return a finding about a field of the recipe; "" for the whole model."""
        where = f"{self.where}.{field}" if field else self.where
        return PreflightFinding(check=check, level=level, where=where, problem=problem, advice=advice)


def gguf(plan: ModelPlan) -> Findings:
    """Check that mlx-lm can write the model as GGUF."""
    if message := gguf_problem(plan.spec, model_folder.read_config(plan.folder)):
        problem, _, advice = message.removeprefix("gguf: ").rpartition(" - ")
        yield plan.finding("bits", "error", "gguf", problem, advice)


def groups(plan: ModelPlan) -> Findings:
    """Check that the group size divides the width of every weight: mlx-lm leaves others unquantized without a
    message."""
    if plan.spec.quantized:
        group = plan.spec.quantization["group_size"]
        modules = plan.base.modules
        undivided = [name for name, (_, inputs) in modules.items() if inputs % group]
        if undivided:
            level: Level = "error" if len(undivided) == len(modules) else "warning"
            name = undivided[0]
            problem = (
                f"{group}, and {name} is {modules[name][1]} wide: "
                f"{len(undivided)} of {len(modules)} modules of a layer stay unquantized"
            )
            yield plan.finding("bits", level, "group_size", problem, "a size that divides the widths")


def bits(plan: ModelPlan) -> Findings:
    """Check that the base has at least the precision of the model."""
    base_bits = verify.quantization_bits(plan.folder)
    if plan.spec.bits is not None and plan.spec.bits > base_bits:
        problem = f"{plan.spec.bits}, and its base has {base_bits}: more disk and memory for the same weights"
        advice = "useful only for an adapter that would be lost in fewer bits"
        yield plan.finding("bits", "warning", "bits", problem, advice)


def lost_gain(plan: ModelPlan) -> Findings:
    """Check that a gate holds the gain of an adapter that is fused and then rounded to few bits."""
    spec = plan.spec
    width = spec.quantization["bits"] if spec.quantized else spec.bits or verify.quantization_bits(plan.folder)
    is_held = any(gate.metric in ("gain_retained", "agreement") for gate in spec.gates)
    if spec.adapter and width <= FEW_BITS and not is_held:
        problem = (
            f"{spec.adapter} is fused and then rounded to {width} bits, which can erase what it learned: its updates "
            "are smaller than a step of these weights"
        )
        advice = (
            "use 6 or 8 bits, or serve the adapter on a quantized base that it was trained on; or hold it with gates = "
            '[{ metric = "gain_retained", min = 0.95 }]'
        )
        yield plan.finding("bits", "warning", "bits", problem, advice)


def disk(plan: ModelPlan) -> Findings:
    """Check that the disk has space for the model."""
    need = (1 if plan.spec.temporary else 2) * model_folder.estimate_bytes(plan.folder, plan.spec)
    if need > plan.resources.disk:
        free = format_gib(plan.resources.disk)
        problem = f"needs about {format_gib(need)} of disk, with its copy in the store, {free} are free"
        yield plan.finding("disk", "error", "", problem, "free some (`punie-build store gc`), or use fewer bits")


CHECKS: tuple[Callable[[ModelPlan], Findings], ...] = (gguf, groups, bits, lost_gain, disk)


def check(where: str, spec: Model, folder: Path, resources: Resources) -> list[PreflightFinding]:
    """Return the findings of all checks; none if the base cannot be read."""
    base = read_architecture(folder)
    if base is None:
        return []
    plan = ModelPlan(where=where, spec=spec, folder=folder, base=base, resources=resources)
    return [finding for function in CHECKS for finding in function(plan)]
