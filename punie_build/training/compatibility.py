"""Compatibility of an adapter's configuration with its base and its data.

Pure: the caller passes the facts. Preflight reads them from the files of the base, and the training process checks
again with the model it has loaded.
"""

from __future__ import annotations

from msgspec import Struct

from punie_build.errors import did_you_mean
from punie_build.training.batch_sampler import BY_ROWS
from punie_build.training.spec import Adapter


class BaseFacts(Struct, frozen=True, kw_only=True):
    """Facts of a base and of the training rows; None where unknown.

    `widths` maps each linear module of a layer to the smaller of its two dimensions; `others` are further modules that
    `lora.keys` may name; `quantized` tells whether the base is; `rows` counts the training rows.
    """

    layers: int | None = None
    widths: dict[str, int] | None = None
    others: tuple[str, ...] = ()
    quantized: bool | None = None
    rows: int | None = None


def incompatibilities(spec: Adapter, facts: BaseFacts) -> list[str]:
    """Return one message for each setting that the base or the data do not allow."""
    problems = []
    if facts.layers is not None and spec.num_layers > facts.layers:
        problems.append(f"num_layers {spec.num_layers}: the base has {facts.layers} layers - use -1 for all")
    if spec.fine_tune_type == "full":
        if facts.quantized:
            problems.append('fine_tune_type "full": the weights of a quantized base cannot be trained - use "lora"')
    elif facts.widths is not None:
        problems += _module_problems(spec, facts.widths, facts.others)
    per_rows = spec.batching in BY_ROWS
    if facts.rows is not None and per_rows and spec.batch_size > facts.rows:
        problems.append(f"batch_size {spec.batch_size}: there are {facts.rows} training rows - lower it, or add data")
    processes = max(spec.ranks, len(spec.hosts))
    if per_rows and processes > spec.batch_size:
        problems.append(
            f"batch_size {spec.batch_size}: {processes} processes share a batch, and some would get no row - raise it"
        )
    return problems


def _module_problems(spec: Adapter, widths: dict[str, int], others: tuple[str, ...]) -> list[str]:
    keys = spec.lora.keys
    problems = [
        f"lora.keys: the base has no module '{key}'{did_you_mean(key, widths)}"
        for key in keys or ()
        if key not in (*widths, *others)
    ]
    adapted = {name: width for name, width in widths.items() if not keys or name in keys}
    if adapted and spec.lora.rank > (widest := max(adapted.values())) and "rank" not in spec.allow:
        problems.append(
            f"lora.rank {spec.lora.rank}: the widest module has width {widest}, which no rank can exceed - lower it"
        )
    return problems
