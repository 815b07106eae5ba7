"""Adopt an adapter of another program: write it as mlx-lm loads it, with a record of its origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from punie_build.errors import ModelError
from punie_build.training import adapter_fit
from punie_build.training.adapter_files import NAME, WEIGHTS
from punie_build.training.adapter_fit import FittedAdapter
from punie_build.training.adapter_formats import AdapterFolder, is_adapter
from punie_build.training.adopted import RECORD, AdoptedAdapter, AdoptionRecord

if TYPE_CHECKING:
    from punie_build.models.tensor_file import Tensor


def check(where: str, folder: Path, base: Path) -> FittedAdapter:
    """Return the adapter of a folder as its base loads it. Raises ModelError with a line for each mismatch."""
    if not is_adapter(folder):
        names = " or ".join(WEIGHTS.values())
        raise ModelError(f"{where}: no adapter there - a folder has {NAME} and {names}")
    try:
        fitted = adapter_fit.fit(folder, base)
    except ValueError as error:
        raise ModelError("\n".join(f"{where}: {problem}" for problem in str(error).splitlines())) from None
    if fitted.problems:
        raise ModelError("\n".join(f"{where}: {problem}" for problem in fitted.problems))
    return fitted


def adopt(where: str, folder: Path, base: Path, out: Path) -> FittedAdapter:
    """Write the adapter of a folder into `out`. Raises ModelError for a mismatch, and for values that are no numbers.

    The matrices of PEFT are transposed, and no bit of a value changes.
    """
    from punie_build.models import tensor_file

    fitted = check(where, folder, base)
    adapter = fitted.adapter
    tensor_file.save(out / WEIGHTS["mlx-lm"], matrices(where, folder, adapter), {"format": "mlx"})
    record = AdoptionRecord(format=adapter.format, facts=adapter.facts, notes=fitted.notes)
    (out / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    adapter.config.write(out)
    return fitted


def matrices(where: str, folder: Path, adapter: AdapterFolder) -> dict[str, Tensor]:
    """Return the tensors of an adapter under the names and in the shapes of mlx-lm, each value as it is in the file.

    Raises ModelError for values that are no numbers.
    """
    from punie_build.models import tensor_file

    try:
        tensors = tensor_file.load(folder / WEIGHTS[adapter.format])
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from None
    named = {name: tensors[source] for name, source in adapter.sources.items()}
    if adapter.format == "PEFT":
        named = {name: tensor if name.endswith(".m") else tensor.transposed for name, tensor in named.items()}
    if infinite := {name: count for name, tensor in named.items() if (count := tensor.count_not_finite())}:
        count = sum(infinite.values())
        raise ModelError(
            f"{where}: {count} values are infinite or no numbers, such as in {min(infinite)} - train it again"
        )
    return named


def verify(folder: Path, spec: AdoptedAdapter, base: Path | None = None) -> Iterator[str]:
    """Yield one line for each difference between an adopted adapter and its base, if that is on this machine."""
    if base is None:
        return
    try:
        yield from adapter_fit.fit(folder, base).problems
    except ValueError as error:
        yield f"{spec.path}: {error}"
