"""The readers of foreign configurations, and the one that fits a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from punie_build.errors import UseError
from punie_build.recipes.foreign import axolotl, mlx_lm, unsloth
from punie_build.recipes.foreign.config import ForeignConfig, recipe_text
from punie_build.storage import project_file

FORMATS = ("mlx-lm", "axolotl", "unsloth")
MARKS = {  # a configuration of YAML has one of these keys
    "unsloth": ("per_device_train_batch_size", "model_name_or_path", "dataset_name", "num_train_epochs"),
    "axolotl": ("base_model", "micro_batch_size", "datasets", "lora_r", "sequence_len"),
    "mlx-lm": ("mask_prompt", "lora_parameters", "num_layers", "iters", "fine_tune_type", "data"),
}


def read(path: Path, form: str | None = None) -> tuple[str, ForeignConfig]:
    """Return the format of a file, and the parts of a recipe that it gives. Raises UseError."""
    try:
        text = project_file.read(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise UseError(f"{path}: no such file - correct the path") from None
    except UnicodeDecodeError:
        raise UseError(f"{path}: not UTF-8 - save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        raise UseError(f"{path}: {error}") from None
    is_script = path.suffix == ".py" if form is None else form == "unsloth" and path.suffix not in (".yaml", ".yml")
    if is_script:
        try:
            return "unsloth", unsloth.read(text)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise UseError(f"{path}: not a Python script with unsloth or TRL - {error}") from None
    values = _yaml(path, text)
    form = form or next((name for name, keys in MARKS.items() if any(key in values for key in keys)), None)
    if form is None:
        advice = "`punie-build import FILE --from FORMAT` names the format"
        raise UseError(f"{path}: no settings of mlx-lm, axolotl or TRL - {advice}")
    readers = {"axolotl": axolotl.read, "mlx-lm": mlx_lm.read, "unsloth": unsloth.read_settings}
    try:
        return form, readers[form](values)
    except (ValueError, TypeError, AttributeError) as error:
        raise UseError(f"{path}: a setting has an unexpected value - {error}") from None


def _yaml(path: Path, text: str) -> Mapping[str, Any]:
    import yaml

    try:
        values = yaml.load(text, Loader=_loader(yaml))  # noqa: S506 - derived from SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UseError(f"{path}: not YAML - {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UseError(f"{path}: not a table of settings - name the file of one training")
    return values


def _loader(yaml: Any) -> Any:
    """Return a safe loader that reads `1e-5` as a number, as that of mlx-lm does."""
    import re

    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    number = re.compile(r"[-+]?(\d[\d_]*)?\.?\d[\d_]*([eE][-+]?\d+)$|[-+]?\d+\.([eE][-+]?\d+)?$|[-+]?\d*\.\d+$")
    loader.add_implicit_resolver("tag:yaml.org,2002:float", number, [*"-+0123456789."])
    return loader


__all__ = ("FORMATS", "ForeignConfig", "read", "recipe_text")
