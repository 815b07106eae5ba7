"""The files that the steps of models exchange with their export process."""

from __future__ import annotations

from msgspec import Struct, field

from punie_build.export.spec import Model


class ExportJob(Struct, frozen=True, kw_only=True):
    """job.json: the folders of base, adapter, tokens and output, and the paths of the result file, of the measurement
    of the adapter and of the progress file.

    `adapter` and `tokens` are None for a model without an adapter.
    """

    base: str
    out: str
    result: str
    measurement: str = ""
    progress: str = ""
    adapter: str | None = None
    tokens: str | None = None
    spec: Model


class ExportProgress(Struct, frozen=True):
    """progress.json: how many of all batches of held-out rows are measured."""

    done: int
    total: int


class Fidelity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much of its adapter a model retains, over `tokens` held-out tokens.

    Losses in nats per token; `agreement` is the share of tokens with the same most likely prediction. `gain_retained`
    is missing if the adapter is no better than its base, beyond noise.
    """

    loss_base: float
    loss_adapter: float
    loss: float
    agreement: float
    tokens: float
    gain_retained: float | None = None


class ExportResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """result.json: layers that are not quantized, average bits per weight, fidelity, and peak memory of mlx in GiB."""

    unquantized: list[str] = field(name="unquantised")
    bits_per_weight: float
    fidelity: Fidelity | None = field(name="measured", default=None)
    peak_gigabytes: float = 0.0
