"""The process that computes a loss: `python -m punie_build.evaluation.perplexity_process JOB.json`."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import msgspec

from punie_build.evaluation import loaded_files
from punie_build.evaluation.perplexity import LossJob, LossResult
from punie_build.models.precision import add_adapter, load_weights
from punie_build.training import token_file, token_loss


def main(job: LossJob) -> None:
    """Load the weights, compute the loss of each token that the mask sets, and write the result."""
    rows = token_file.load(Path(job.rows)).wanted()
    if not len(rows):
        raise SystemExit("punie: these rows are none - name another `split`")
    model = load_weights(Path(job.model))
    if job.adapter:
        model = add_adapter(model, Path(job.adapter))
    losses, _ = token_loss.evaluate(model, token_loss.batches(rows, len(rows)), lambda: None)
    loaded_files.require_unchanged(job.stamps, (job.model, job.adapter))  # weights are read when they are first used
    loss = token_loss.mean(losses)
    error = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    result = LossResult(
        loss=loss, loss_error=error, perplexity=math.exp(min(loss, 700.0)), n_tokens=len(losses), rows=len(rows)
    )
    Path(job.result).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=LossJob))
