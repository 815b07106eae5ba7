"""The loss and the perplexity of an arm on rows that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from punie_build.engine.gates import Gate
from punie_build.engine.work import StepResult, Work
from punie_build.errors import DataError
from punie_build.evaluation.loaded_files import stamps_by_folder
from punie_build.runtime.console import message
from punie_build.schema.spec import Spec
from punie_build.training.spec import Mask


class Perplexity(Spec, frozen=True, kw_only=True):
    """The loss of an arm on the rows of a dataset, stage or mix, in nats per token of the answers.

    `split`: `test`, `valid` or `train`. `mask`: the tokens that count: of all answers
    (`assistant`), of the last one, or `all`. Arms are
    comparable if they have one tokenizer.
    """

    arm: str
    data: str
    split: Literal["test", "valid", "train"] = "test"
    mask: Mask = "assistant"
    max_seq_length: Annotated[int, Meta(ge=16)] = 2048
    gates: tuple[Gate, ...] = ()
    description: str = ""


class LossJob(Struct, frozen=True, kw_only=True):
    """The file that starts the process: weights and the stamps of their files, rows, and where to write the result."""

    model: str
    adapter: str | None
    rows: str
    result: str
    stamps: dict[str, str] = {}


class LossResult(Struct, frozen=True, kw_only=True):
    """`perplexity.json`: the mean loss (nats per token) with its standard error over tokens, and its exponential."""

    loss: float
    loss_error: float
    perplexity: float
    n_tokens: int = msgspec.field(name="tokens")
    rows: int


def measure(work: Work[Perplexity]) -> StepResult:
    """Compute the loss in a process that loads the weights."""
    from punie_build.runtime import blas, child

    task, spec = work.task, work.spec
    base_path = task.external["base"].path
    tokens, *others = [path for path in task.inputs if path != base_path]
    result = work.out / "perplexity.json"
    rows = work.root / tokens / f"{spec.split}.safetensors"
    if not rows.exists():
        raise DataError(f"{task.label}: {spec.data} has no {spec.split} rows - name another `split`")
    adapter = str(work.root / others[0]) if others else None
    base = str(work.external("base"))
    stamps = stamps_by_folder((base, adapter))
    job = LossJob(model=base, adapter=adapter, rows=str(rows), result=str(result), stamps=stamps)
    module, log = "punie_build.evaluation.perplexity_process", work.logs / "perplexity.log"
    child.run(
        module, [child.job_file(work.logs / "job.json", job)], log, blas.environment(work.root), "computing the loss"
    )
    loss = read(result)
    metrics = {"loss": loss.loss, "loss_error": loss.loss_error, "perplexity": loss.perplexity}
    return StepResult(_summary(loss), metrics | {"rows": loss.rows, "tokens": loss.n_tokens})


def read(path: Path) -> LossResult:
    """Return the result in a file."""
    return msgspec.json.decode(path.read_bytes(), type=LossResult)


@message
def _summary(result: LossResult) -> str:
    interval = f"± {1.96 * result.loss_error:.3f}"
    return f"loss {result.loss:.3f} {interval}, perplexity {result.perplexity:.2f}, {result.n_tokens} tokens"
