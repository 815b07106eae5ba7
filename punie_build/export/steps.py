"""The step that builds models: fused, quantized, and measured."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec

from punie_build.engine.work import StepResult, Work
from punie_build.errors import ModelError
from punie_build.export import model_folder
from punie_build.export.job import ExportJob, ExportProgress, ExportResult
from punie_build.export.spec import Model, gguf_problem
from punie_build.runtime import blas
from punie_build.runtime.child import Child, job_file
from punie_build.runtime.console import ProgressBar
from punie_build.schema.spec import digest
from punie_build.storage import paths

MIN_GAIN_RETAINED, MIN_AGREEMENT = 0.95, 0.8  # below these a warning says that a model lost much of its adapter
POLL_SECONDS = 0.1
MIN_UNQUANTIZED_AGREEMENT = 0.95  # of a model in full precision: rounding changes few tokens in a hundred


def model(work: Work[Model]) -> StepResult:
    """Write a model in a process of its own, compare it with its recipe, and report its fidelity."""
    spec, label = work.spec, work.task.label
    base = work.external("base")
    if problem := gguf_problem(spec, model_folder.read_config(base)):
        raise ModelError(f"{label}.{problem}")
    copies = 1 if spec.temporary else 2  # one is in the store
    check_disk_space(label, copies * model_folder.estimate_bytes(base, spec), shutil.disk_usage(work.out).free)
    parts = [str(work.root / path) for path in work.task.inputs if path != work.task.external["base"].path]
    adapter, tokens = (*parts, None, None)[:2] if spec.adapter else (None, None)
    job = ExportJob(
        base=str(base),
        out=str(work.out),
        result=str(work.logs / "result.json"),
        measurement=str(work.root / paths.measurement(_adapter_key(work))),
        progress=str(work.logs / "progress.json"),
        adapter=adapter,
        tokens=tokens,
        spec=spec,
    )
    _run(work, job_file(work.logs / "job.json", job))
    if problems := list(model_folder.model(work.out, spec, base)):
        raise ModelError("\n".join(f"the model differs from its recipe: {problem}" for problem in problems))
    result = msgspec.json.decode((work.logs / "result.json").read_bytes(), type=ExportResult)
    for warning in warnings(spec, result):
        work.say(warning)
    _check_agreement(label, spec, result)
    size = sum(path.stat().st_size for path in work.out.rglob("*") if path.is_file())
    return StepResult(summary(result, size), metrics(result, size))


def _adapter_key(work: Work[Model]) -> str:
    """Return a digest of all that decides how an adapter and its base are measured."""
    assert work.key_inputs is not None, "the engine gives a step what decides its result"
    key = work.key_inputs
    return digest([sorted(key.inputs.items()), key.tools, work.spec.fidelity_rows, "row by row"])


def _run(work: Work[Model], job: str) -> None:
    """Run the export process, and show how many batches it has measured. Raise ModelError if it fails."""
    log, title = work.logs / "fusing.log", f"measuring {work.task.name} (batches)"
    with (
        Child("punie_build.export.process", [job], log, blas.environment(work.root)) as process,
        ProgressBar(title, 0) as bar,
    ):
        while process.running:
            time.sleep(POLL_SECONDS)
            if progress := _progress(work.logs / "progress.json"):
                bar(progress.done, total=progress.total)
        if process.process.returncode != 0:
            raise ModelError(process.failure("exporting"))


def _progress(path: Path) -> ExportProgress | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExportProgress)
    except (OSError, ValueError):  # not written yet, or half written
        return None


def check_disk_space(label: str, needed: int, free: int) -> None:
    """Raise ModelError if fewer bytes are free than needed."""
    if needed > free:
        raise ModelError(
            f"{label}: needs about {needed / 2**30:.1f} GiB of disk, with its copy in the store, "
            f"{free / 2**30:.1f} GiB are free - "
            "make room (`punie-build store gc` removes entries that no lock names), or use fewer bits"
        )


def _check_agreement(label: str, spec: Model, result: ExportResult) -> None:
    """Raise ModelError if a model that is not quantized disagrees with its adapter."""
    fidelity = result.fidelity
    if fidelity and result.bits_per_weight >= 16 and fidelity.agreement < MIN_UNQUANTIZED_AGREEMENT:
        raise ModelError(
            f"{label}: it is not quantized and agrees with {spec.adapter} on {fidelity.agreement:.1%} of tokens only - "
            "check that the adapter was trained on this base; if so, report a bug"
        )


def warnings(spec: Model, result: ExportResult) -> list[str]:
    """Return warnings about layers that are not quantized, and about a low fidelity."""
    lines = []
    if result.unquantized:
        group_size, names = spec.quantization["group_size"], model_folder.first_names(result.unquantized)
        lines.append(f"not quantized, their width is no multiple of group_size {group_size}: {names}")
    if not (fidelity := result.fidelity):
        lines += [f"not compared with {spec.adapter}: its held-out rows are unknown"] if spec.adapter else []
        return lines
    gain = fidelity.gain_retained
    if fidelity.agreement < MIN_AGREEMENT or (gain is not None and gain < MIN_GAIN_RETAINED):
        retained = "" if gain is None else f"gain retained {gain:.1%}, "
        lines.append(
            f"{retained}agreement {fidelity.agreement:.1%}: too little of {spec.adapter} remains - "
            "use more bits, or smaller groups"
        )
    if gain is None:
        lines.append(
            f"{spec.adapter} is no better than its base on held-out rows, beyond noise: gain retained is unknown"
        )
    return lines


def summary(result: ExportResult, size: int) -> str:
    """Return one line on a model of `size` bytes."""
    line = f"{size / 2**20:,.0f} MiB, {result.bits_per_weight:.2f} bits a weight"
    if fidelity := result.fidelity:
        if fidelity.gain_retained is not None:
            line += f"; gain retained {fidelity.gain_retained:.1%}"
        line += f"; agreement {fidelity.agreement:.1%} over {fidelity.tokens:,.0f} tokens"
    return line


def metrics(result: ExportResult, size: int) -> dict[str, float]:
    """Return the metrics of a model, for its lock."""
    numbers = {"bytes": size, "bits_per_weight": result.bits_per_weight, "unquantised": len(result.unquantized)}
    return numbers | (msgspec.to_builtins(result.fidelity) if result.fidelity else {})
