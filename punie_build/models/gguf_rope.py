"""Scaled rotary frequencies: as config.json states them, and as GGUF does.

llama.cpp knows `linear` and `yarn` by keys. The scaling of Llama 3 is a tensor there, `rope_freqs.weight`, that divides
each frequency: config.json gets the parameters that give these divisors. A scaling that llama.cpp would compute
otherwise than mlx-lm is refused by its name.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from punie_build.errors import ModelError

FREQS = "rope_freqs.weight"
BETAS = {"beta_fast": ("yarn_beta_fast", 32.0), "beta_slow": ("yarn_beta_slow", 1.0)}  # of yarn: key, default
NEUTRAL = {  # keys of GGUF that change frequencies or scores, and the values with which they do not
    "attn_factor": (1.0,),
    "yarn_attn_factor": (1.0,),
    "yarn_ext_factor": (1.0, -1.0),
    "yarn_log_multiplier": (0.0,),
}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
KNOWN = {
    "linear": {"factor"},
    "yarn": {"factor", "original_max_position_embeddings", *BETAS},
    "llama3": {"factor", *LLAMA3},
}
BY_TENSOR = ("llama",)  # architectures of llama.cpp that read `rope_freqs.weight`
UNSCALED = ("gemma",)  # model types that mlx-lm never scales
REFUSED = f"the divisors in {FREQS} are not those of Llama 3, which alone are converted"
EXACT = 1e-4  # relative difference of a divisor that is rounding

Settings = dict[str, Any]


def scaling(config: Settings) -> Settings:
    """Return the scaling of a config.json with its kind as `rope_type`; `default` if there is none."""
    settings = {**(config.get("rope_parameters") or {}), **(config.get("rope_scaling") or {})}
    kind = settings.pop("type", None) or settings.pop("rope_type", None) or "default"
    settings.pop("rope_type", None)
    settings.pop("rope_theta", None)
    return {"rope_type": "default" if kind == "none" else kind} | settings


def problem(config: Settings, arch: str) -> str | None:
    """Return why GGUF cannot hold the scaling of a config.json for an architecture of llama.cpp, or None."""
    settings = scaling(config)
    kind = settings.pop("rope_type")
    if kind == "default":
        return None
    other = {
        key: value for key, value in settings.items() if key not in KNOWN.get(kind, ()) and not _is_neutral(key, value)
    }
    if kind not in KNOWN or config.get("model_type") in UNSCALED or (kind == "llama3" and arch not in BY_TENSOR):
        return f"its rotary frequencies are scaled by {kind}, which is not exported for {config.get('model_type')}"
    if "factor" not in settings:
        return f"its rotary frequencies are scaled by {kind}, and config.json lacks the factor"
    if other:
        names = ", ".join(f"{key} {value}" for key, value in sorted(other.items()))
        return f"its rotary frequencies are scaled by {kind} with {names}, which is not exported"
    return None


def _is_neutral(key: str, value: Any) -> bool:
    return value is None or (key, value) in (("mscale", 1), ("mscale", 1.0), ("mscale_all_dim", 0), ("truncate", True))


def fields(config: Settings) -> Settings:
    """Return the keys of GGUF behind the architecture, for a scaling without a problem."""
    settings = scaling(config)
    if settings["rope_type"] not in ("linear", "yarn"):
        return {}
    own: Settings = {"type": settings["rope_type"], "factor": float(settings["factor"])}
    if settings["rope_type"] == "yarn":
        own["original_context_length"] = int(settings.get("original_max_position_embeddings") or 4096)
        own |= {key: float(settings[name]) for name, (key, _) in BETAS.items() if settings.get(name) is not None}
    return {f"rope.scaling.{key}": value for key, value in own.items()}


def divisors(config: Settings, width: int, theta: float) -> NDArray[np.float32] | None:
    """Return the divisors of the `width // 2` frequencies in llama.cpp, None if there is no tensor for them."""
    settings = scaling(config)
    if settings["rope_type"] != "llama3":
        return None
    settings = LLAMA3 | {key: value for key, value in settings.items() if value is not None}
    low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    turns = settings["original_max_position_embeddings"] * _frequencies(width, theta) / (2 * math.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(1 / ((1 - smooth) / float(settings["factor"]) + smooth), np.float32)


def _frequencies(width: int, theta: float) -> NDArray[np.float64]:
    return theta ** -(np.arange(0, width, 2, dtype=np.float64) / width)


def read(own: Settings, tensor: NDArray[np.float32] | None, width: int, theta: float) -> Settings | None:
    """Return the `rope_scaling` of config.json for the metadata of an architecture and its divisors; None for none.

    Raises ModelError for a scaling that mlx-lm would compute otherwise.
    """
    keys = {name.removeprefix("rope.scaling."): value for name, value in own.items() if "rope.scaling." in name}
    factor = float(keys.get("factor") or own.get("rope.scale_linear") or 1.0)
    kind = keys.get("type", "linear")  # as llama.cpp has it
    kind = "none" if kind == "linear" and factor == 1.0 else kind
    if tensor is not None and not np.allclose(tensor, 1.0, rtol=EXACT):
        if kind != "none":
            raise ModelError(f"its rotary frequencies are scaled by {kind} and by {FREQS} - use the original")
        return _llama3(tensor, width, theta, keys.get("original_context_length"))
    if kind == "none":
        return None
    others = {key: keys[key] for key, values in NEUTRAL.items() if key in keys and keys[key] not in values}
    if kind not in ("linear", "yarn") or others:
        name = f"{kind}{''.join(f' with {key} {value:g}' for key, value in others.items())}"
        raise ModelError(f"its rotary frequencies are scaled by {name}, which is not converted - use the original")
    if kind == "linear":
        return {"type": "linear", "factor": factor}
    result: Settings = {"rope_type": "yarn", "factor": factor}
    result["original_max_position_embeddings"] = keys.get("original_context_length") or own.get("context_length")
    return result | {name: keys[key] for name, (key, _) in BETAS.items() if key in keys}


def _llama3(tensor: NDArray[np.float32], width: int, theta: float, positions: int | None) -> Settings:
    """Return the parameters of Llama 3 that give these divisors. Raises ModelError if there are none.

    Only ratios of the three thresholds matter: `low_freq_factor` is 1.
    """
    values = tensor.astype(np.float64)
    factor = float(values.max())
    candidates = [{"factor": factor, **LLAMA3}]
    if positions:
        candidates.append({"factor": factor, **LLAMA3, "original_max_position_embeddings": positions})
    between = (values > 1 + EXACT) & (values < factor * (1 - EXACT))
    if factor <= 1 or len(values) != width // 2:
        raise ModelError(f"{REFUSED} - use the original")
    if between.sum() > 1:
        smooth = (1 / values[between] - 1 / factor) / (1 - 1 / factor)
        slope, start = np.polyfit(_frequencies(width, theta)[between] / (2 * math.pi), smooth, 1)
        if start < 0 < slope:
            high = 1 - 1 / start
            candidates.append({
                "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": round(float(high), 4),
                "original_max_position_embeddings": round(slope * (high - 1)),
            })  # fmt: skip
    for candidate in candidates:
        expected = divisors({"rope_scaling": {"rope_type": "llama3"} | candidate}, width, theta)
        if expected is not None and np.allclose(expected, values, rtol=EXACT):
            return {"rope_type": "llama3"} | candidate
    raise ModelError(f"{REFUSED} - use the original")


def differ(config: Settings, other: Settings, width: int, theta: float) -> bool:
    """Return whether llama.cpp would scale the frequencies of two config.json differently."""
    first, second = divisors(config, width, theta), divisors(other, width, theta)
    if first is None or second is None:
        return first is not second or fields(config) != fields(other)
    return not np.allclose(first, second, rtol=EXACT)
