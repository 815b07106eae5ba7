"""Fusing: the process that makes a model from a base, with an adapter or without, and measures it. Run by a step, never imported
by it.

    python -m punie_build.export.process JOB.json

All is done in memory, a tensor at a time as it is written: no intermediate model in full precision lies on the disk. mlx-lm
fuses, quantises and writes; what lies around the weights is the base's own files, byte for byte, because mlx-lm's would hold
where the base lay.
"""

from __future__ import annotations

import json
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
from punie_build.export.spec import MODES, WHOLE, Model

Config = dict[str, Any]


def fused(model: nn.Module, dequantize: bool) -> None:
    """Put each adapted layer's update into its weight. Layers of a quantised base are quantised again as they were, unless
    `dequantize`."""
    layers = [
        (name, module.fuse(dequantize=dequantize)) for name, module in model.named_modules() if hasattr(module, "fuse")
    ]
    if layers:
        model.update_modules(tree_unflatten(layers))


def cast(model: nn.Module, dtype: Any) -> None:
    """All weights in this precision, but those that the model keeps in another."""
    wanted = getattr(model, "cast_predicate", lambda _: True)

    def other(path: str, value: mx.array) -> mx.array:
        return value.astype(dtype) if wanted(path) and mx.issubdtype(value.dtype, mx.floating) else value

    model.update(tree_map_with_path(other, model.parameters()))


def quantised(model: nn.Module, config: Config, spec: Model) -> tuple[Config, list[str]]:
    """Quantise; its config, and the layers that stay as they are because their width is no multiple of a group."""
    how = spec.quantisation
    widths = {
        name: module.weight.shape[-1] for name, module in model.named_modules() if hasattr(module, "to_quantized")
    }
    _, config = quantize_model(model, config, how["group_size"], how["bits"], how["mode"])
    said = config["quantization"]
    done = {name.removesuffix(".scales") for name, _ in tree_flatten(model.parameters()) if name.endswith(".scales")}
    for name, module in model.named_modules():
        if name not in done and "weight" in module and module.weight.ndim > 1:
            said[name] = False
    left = sorted(name for name, width in widths.items() if width % how["group_size"])
    if not done:
        raise SystemExit(
            f"punie: group_size {how['group_size']}: no layer can be quantised - {advice(widths, left, spec)}"
        )
    return config, left


def advice(widths: dict[str, int], left: list[str], spec: Model) -> str:
    """What to do about layers whose width is no multiple of the group."""
    fits = [size for size in sorted(MODES[spec.mode][1], reverse=True) if not any(widths[name] % size for name in left)]
    some = ", ".join(map(str, sorted({widths[name] for name in left})))
    return f"their inputs are {some} wide; " + (f"set group_size = {fits[0]}" if fits else "no group_size fits all")


def named(config: Config, spec: Model) -> Config:
    """The config without where the model came from, and with the dtype the recipe asks for."""
    out = {name: named(value, spec) if isinstance(value, dict) else value for name, value in config.items()}
    out.pop("_name_or_path", None)
    if spec.dtype:
        out |= {name: spec.dtype for name in ("dtype", "torch_dtype") if name in out}
    return out


def make(spec: Model, base: Path, adapter: Path | None, out: Path) -> dict[str, Any]:
    """Write the model into `out`; what is to be said of it."""
    model, config = load_model(base, lazy=True)
    if adapter:
        load_adapters(model, str(adapter))
        model.eval()
    whole = spec.quantised or spec.bits == WHOLE
    fused(model, dequantize=whole)
    if whole:
        dequantize_model(model)
        config = {name: value for name, value in config.items() if not name.startswith("quantization")}
    config = named(config, spec)
    if spec.dtype:
        cast(model, getattr(mx, spec.dtype))
    config, left = quantised(model, config, spec) if spec.quantised else (config, [])
    for name in model_folder.kept(base):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, out / name)
    if spec.gguf:
        convert_to_gguf(out, dict(tree_flatten(model.parameters())), config, str(out / "model.gguf"))
    told = {"unquantised": left, "bits_per_weight": compute_bits_per_weight(model)}
    vision = "vision_tower" in getattr(model, "model", {})
    save_model(out, model, donate_model=True)
    save_config(config, out / "config.json", keep_vision_config=vision)
    return told


def main(job: dict[str, Any]) -> None:
    spec = msgspec.convert(job["spec"], Model)
    base, out, tokens = Path(job["base"]), Path(job["out"]), job["tokens"]
    adapter = Path(job["adapter"]) if job["adapter"] else None
    try:
        told = make(spec, base, adapter, out)
    except (ValueError, KeyError, FileNotFoundError) as error:  # mlx-lm raises whatever went wrong inside
        raise SystemExit(f"punie: {spec.adapter or spec.base}: mlx-lm cannot make a model of it: {error}") from error
    mx.clear_cache()
    if adapter and tokens:
        told["measured"] = fidelity.measure(base, adapter, out, Path(tokens))
    told["peak_gigabytes"] = mx.get_peak_memory() / 2**30
    Path(job["result"]).write_text(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
