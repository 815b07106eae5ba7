"""The process that writes a model from a base, with or without an adapter, and measures it. Started by
`export.steps.model`.

    python -m punie_build.export.process JOB.json

Works in memory, and writes one tensor at a time: no intermediate model in full precision lies on the disk. mlx-lm
fuses, quantizes and writes the weights. All other files are copied from the base byte for byte, because mlx-lm's
would contain the path of the base.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import msgspec
from mlx import nn
from mlx.utils import tree_flatten, tree_map_with_path, tree_unflatten
from mlx_lm.gguf import convert_to_gguf
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import (
    compute_bits_per_weight,
    dequantize_model,
    load_model,
    quantize_model,
    save_config,
    save_model,
)

from punie_build.export import fidelity, model_folder
from punie_build.export.job import ExportJob, ExportProgress, ExportResult
from punie_build.export.spec import FULL_PRECISION_BITS, MODES, Model
from punie_build.training import token_loss

Config = dict[str, Any]


def fuse(model: nn.Module, dequantize: bool) -> None:
    """Add the update of each adapted layer to its weight.

    The layers of a quantized base are quantized again in the same way, unless `dequantize` is set.
    """
    layers = [
        (name, module.fuse(dequantize=dequantize)) for name, module in model.named_modules() if hasattr(module, "fuse")
    ]
    if layers:
        model.update_modules(tree_unflatten(layers))


def cast(model: nn.Module, dtype: Any) -> None:
    """Convert all floating-point weights, except those for which the model prescribes another precision."""
    may_cast = getattr(model, "cast_predicate", lambda _: True)

    def converted(path: str, value: mx.array) -> mx.array:
        return value.astype(dtype) if may_cast(path) and mx.issubdtype(value.dtype, mx.floating) else value

    model.update(tree_map_with_path(converted, model.parameters()))


def quantize(model: nn.Module, config: Config, spec: Model) -> tuple[Config, list[str]]:
    """Quantize a model, and return its config and the layers whose width is no multiple of the group size.

    These layers stay as they are. Exits if no layer can be quantized.
    """
    settings = spec.quantization
    group_size = settings["group_size"]
    widths = {
        name: module.weight.shape[-1] for name, module in model.named_modules() if hasattr(module, "to_quantized")
    }
    _, config = quantize_model(model, config, group_size, settings["bits"], settings["mode"])
    suffix = ".scales"
    quantized = {name.removesuffix(suffix) for name, _ in tree_flatten(model.parameters()) if name.endswith(suffix)}
    for name, module in model.named_modules():
        if name not in quantized and "weight" in module and module.weight.ndim > 1:
            config["quantization"][name] = False
    unquantized = sorted(name for name, width in widths.items() if width % group_size)
    if not quantized:
        advice = group_size_advice({widths[name] for name in unquantized}, spec)
        raise SystemExit(f"punie: group_size {group_size}: no layer can be quantized - {advice}")
    return config, unquantized


def group_size_advice(widths: set[int], spec: Model) -> str:
    """Return advice for layers whose widths are no multiples of the group size."""
    sizes = sorted(MODES[spec.mode][1], reverse=True)
    fitting = [size for size in sizes if not any(width % size for width in widths)]
    advice = f"set group_size = {fitting[0]}" if fitting else "no group_size fits all"
    return f"their inputs are {', '.join(map(str, sorted(widths)))} wide; {advice}"


def portable_config(config: Config, spec: Model) -> Config:
    """Return a config without the path of the base, and with the dtype of the recipe."""
    portable = {
        name: portable_config(value, spec) if isinstance(value, dict) else value for name, value in config.items()
    }
    portable.pop("_name_or_path", None)
    if spec.dtype:
        portable |= {name: spec.dtype for name in ("dtype", "torch_dtype") if name in portable}
    return portable


def export(spec: Model, base: Path, adapter: Path | None, out: Path) -> ExportResult:
    """Write a model into the folder `out`."""
    model, config = load_model(base, lazy=True)
    if adapter:
        load_adapters(model, str(adapter))
        model.eval()
    dequantize = spec.quantized or spec.bits == FULL_PRECISION_BITS
    fuse(model, dequantize)
    if dequantize:
        dequantize_model(model)
        config = {name: value for name, value in config.items() if not name.startswith("quantization")}
    config = portable_config(config, spec)
    if spec.dtype:
        cast(model, getattr(mx, spec.dtype))
    config, unquantized = quantize(model, config, spec) if spec.quantized else (config, [])
    for name in model_folder.companion_files(base):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, out / name)
    if spec.gguf:
        convert_to_gguf(out, dict(tree_flatten(model.parameters())), config, str(out / "model.gguf"))
    bits_per_weight = compute_bits_per_weight(model)
    has_vision = "vision_tower" in getattr(model, "model", {})
    save_model(out, model, donate_model=True)
    save_config(config, out / "config.json", keep_vision_config=has_vision)
    return ExportResult(unquantized=unquantized, bits_per_weight=bits_per_weight)


def report(job: ExportJob, done: int, total: int) -> None:
    """Write the progress of the measurement."""
    Path(job.progress).write_bytes(msgspec.json.encode(ExportProgress(done, total)))


def main(job: ExportJob) -> None:
    base, out = Path(job.base), Path(job.out)
    adapter = Path(job.adapter) if job.adapter else None
    try:
        result = export(job.spec, base, adapter, out)
    except (ValueError, KeyError, FileNotFoundError) as error:  # mlx-lm has no error classes of its own
        name = job.spec.adapter or job.spec.base
        raise SystemExit(f"punie: {name}: mlx-lm cannot export a model from it: {error}") from error
    mx.clear_cache()
    if adapter and job.tokens:
        rows = token_loss.batches(fidelity.held_out_rows(Path(job.tokens)), job.spec.fidelity_rows)
        measured = fidelity.measure(
            base, adapter, out, rows, Path(job.measurement), lambda *counts: report(job, *counts)
        )
        result = msgspec.structs.replace(result, fidelity=measured)
    result = msgspec.structs.replace(result, peak_gigabytes=mx.get_peak_memory() / 2**30)
    Path(job.result).write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ExportJob))
