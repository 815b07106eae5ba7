"""The process that computes the log-probabilities of pairs. Started by `training.reference`, never imported by it.

python -m punie_build.training.loop.reference_process JOB.json
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
import msgspec
import numpy as np
from mlx_lm import load

from punie_build.models.precision import set_compute_precision
from punie_build.training import token_file
from punie_build.training.batch_sampler import BatchSampler
from punie_build.training.loop.chunked_loss import ChunkedLoss
from punie_build.training.loop.collate import collate
from punie_build.training.loop.preference import answer_log_probabilities
from punie_build.training.loop.sparse_logits import SparseLogits
from punie_build.training.reference import NAME, SPLITS, ReferenceJob
from punie_build.training.token_file import NumpyArray, TokenRows

BATCH_TOKENS = 2048  # the smallest batch is one pair


def log_probabilities(loss: ChunkedLoss, rows: TokenRows) -> NumpyArray:
    """Return the log-probabilities (rows, 2) of both answers of each pair, in nats."""
    result = np.zeros((len(rows), 2), np.float32)
    sampler = BatchSampler(batching="tokens", batch_size=max(1, len(rows)), batch_tokens=BATCH_TOKENS)
    for pairs in sampler.epoch(rows.input_lengths, 0):
        batch = collate(rows, pairs)
        sums, _ = answer_log_probabilities(batch, loss.nats(batch.inputs, batch.positions, batch.targets))
        result[[row for [row] in pairs]] = np.array(sums)
    return result


def main(job: ReferenceJob) -> None:
    model, *_ = load(job.base, adapter_path=job.init)
    set_compute_precision(model)
    model.eval()
    splits = {split: token_file.load(Path(job.tokens, f"{split}.safetensors")) for split in SPLITS}
    ids = mx.array(splits["train"].row(0)[0][:64].tolist())
    loss = ChunkedLoss(SparseLogits(model, ids))
    loss.try_values(ids)
    for split, rows in splits.items():
        arrays = {NAME: mx.array(log_probabilities(loss, rows))}
        mx.save_safetensors(str(Path(job.out, f"{split}.safetensors")), arrays)


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ReferenceJob))
