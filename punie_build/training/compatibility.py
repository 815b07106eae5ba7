"""Refusals: what an adapter's recipe asks that its base or its data cannot give. Pure: whoever asks says what is known.

A preflight says more of it in a plan, from the files of the base; the trainer asks once more, of the model it has loaded.
"""

from __future__ import annotations

from msgspec import Struct

from punie_build.errors import did_you_mean
from punie_build.training.spec import Adapter


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a base and a dataset; None: not known. `layers` of the base; `widths`: of each linear module of a layer,
    the narrower of its two sides; `others`: what `lora.keys` may name besides; `quantised`: whether its weights are; `rows` to be
    trained on."""

    layers: int | None = None
    widths: dict[str, int] | None = None
    others: tuple[str, ...] = ()
    quantised: bool | None = None
    rows: int | None = None


def refusals(spec: Adapter, known: Known) -> list[str]:
    """Lines on what cannot be, all at once; none if nothing speaks against it."""
    told = []
    if known.layers is not None and spec.num_layers > known.layers:
        told.append(f"num_layers {spec.num_layers}: the base has {known.layers} layers - use -1 for all")
    if spec.fine_tune_type == "full":
        if known.quantised:
            told.append('fine_tune_type "full": the base is quantised, its weights cannot be trained - use "lora"')
    elif known.widths is not None:
        told += _modules(spec, known.widths, known.others)
    if known.rows is not None and spec.batching in ("bucket", "file") and spec.batch_size > known.rows:
        told.append(f"batch_size {spec.batch_size}: there are {known.rows} training rows - lower it, or add data")
    if spec.batching in ("bucket", "file") and max(spec.ranks, len(spec.hosts)) > spec.batch_size:
        told.append(
            f"batch_size {spec.batch_size}: {max(spec.ranks, len(spec.hosts))} processes share a batch, and some would have nothing to do - raise it"
        )
    return told


def _modules(spec: Adapter, widths: dict[str, int], others: tuple[str, ...]) -> list[str]:
    keys = spec.lora.keys
    told = [
        f"lora.keys: the base has no module '{key}'{did_you_mean(key, widths)}"
        for key in keys or ()
        if key not in (*widths, *others)
    ]
    adapted = {name: width for name, width in widths.items() if not keys or name in keys}
    if adapted and spec.lora.rank > (most := max(adapted.values())) and "rank" not in spec.allow:
        told.append(
            f"lora.rank {spec.lora.rank}: the widest module is {most} wide, and no rank is above that - lower it"
        )
    return told
