"""The memory ladder: the steps, in their order, by which a training needs less memory.

A training starts on the first rung that is predicted to fit. One that is killed for memory goes on from its checkpoint
one rung higher.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

USABLE = 0.9  # share of the limit that a prediction may fill
ALLOCATION_ERRORS = (
    "MemoryError", "std::bad_alloc", "Unable to allocate", "Insufficient Memory", "OutOfMemory",
    "maximum allowed buffer size",
)  # fmt: skip


class Rung(Struct, frozen=True, kw_only=True):
    """A way to compute the same training in less memory. `rows`: at a time, of each batch; 0 for all."""

    grad_checkpoint: bool = False
    chunked_loss: bool = False
    rows: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the adapter has the same bytes as without it; otherwise sums are rounded in another order."""
        return not self.chunked_loss and not self.rows

    def __str__(self) -> str:
        parts = ["gradient checkpointing"] if self.grad_checkpoint else []
        parts += ["loss in chunks"] if self.chunked_loss else []
        parts += [f"{self.rows} rows at a time" if self.rows > 1 else "a row at a time"] if self.rows else []
        return ", ".join(parts) or "as the recipe says"


class MemoryReport(Struct, frozen=True, kw_only=True):
    """memory.json of a training process: the number of its `rung`, and in bytes the `predicted` peak (0: it was not
    predicted, because an estimate is far below the limit) and the `limit`. There is none before the base is loaded."""

    rung: int = 0
    predicted: int = 0
    limit: int = 0

    def __str__(self) -> str:
        if not self.predicted:
            return f"within {self.limit / 2**30:.2f} GiB"
        return f"predicted peak {self.predicted / 2**30:.2f} of {self.limit / 2**30:.2f} GiB"


AS_IN_THE_RECIPE = Rung()


def rungs(batch_rows: int) -> list[Rung]:
    """Return the rungs of a training with so many sequences in its largest batch, in their order."""
    ladder = [AS_IN_THE_RECIPE, Rung(grad_checkpoint=True), Rung(grad_checkpoint=True, chunked_loss=True)]
    rows = batch_rows
    while rows > 1:
        rows = -(-rows // 2)
        ladder.append(Rung(grad_checkpoint=True, chunked_loss=True, rows=rows))
    return ladder


def read_report(path: Path) -> MemoryReport:
    """Return the report of a training process, an empty one if it wrote none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=MemoryReport)
    except (OSError, ValueError):
        return MemoryReport()


def lacked_memory(code: int, log: str, *, kernel_kills: int, used: float, limit: int) -> bool:
    """Return whether a process ended for lack of memory.

    `code` is its exit code, `log` its output, `kernel_kills` the kernel's count of such kills since it began, `used`
    its predicted or measured peak and `limit` its limit in bytes. A kill far below the limit was someone else's.
    """
    if code in (-9, 137):
        return kernel_kills > 0 or 0 < limit < 2 * used
    return code != 0 and any(error in log for error in ALLOCATION_ERRORS)
