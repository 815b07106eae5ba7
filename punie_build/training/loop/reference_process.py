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
from punie_build.training.batch_sampler import BatchSampler, padded_length
from punie_build.training.loop import shared_prefix
from punie_build.training.loop.chunked_loss import ChunkedLoss
from punie_build.training.loop.collate import collate
from punie_build.training.loop.preference import answer_log_probabilities
from punie_build.training.loop.sparse_logits import SparseLogits
from punie_build.training.prefix_index import MIN_SHARED, MOST_COMPUTED, PrefixIndex, common, longest_prefix
from punie_build.training.reference import NAME, SPLITS, ReferenceJob
from punie_build.training.token_file import NumpyArray, TokenRows

BATCH_TOKENS = 2048  # the smallest batch is one pair
LEAST_PAIRS = 4  # of a group that begins alike
TOLERANCE = 1e-5  # of a log-probability that a shared prompt may change


def log_probabilities(loss: ChunkedLoss, rows: TokenRows) -> NumpyArray:
    """Return the log-probabilities (rows, 2) of both answers of each pair, in nats."""
    result = np.zeros((len(rows), 2), np.float32)
    batches = shared_batches(rows)
    if problem := sharing_problem(loss, rows, batches):
        print(f"punie-build: prompts are computed for each answer: {problem}", flush=True)
    if problem or not any(shared for _, shared in batches):
        batches = [([row for [row] in pairs], 0) for pairs in _sampler(rows).epoch(rows.input_lengths, 0)]
    for pairs, shared in batches:
        result[pairs] = _of_pairs(loss, rows, pairs, shared)
    return result


def shared_batches(rows: TokenRows) -> list[tuple[list[int], int]]:
    """Return the pairs in batches, with the number of tokens that all texts of a batch begin with and that are computed
    once, 0 for none: a system prompt of many pairs, or the prompt of a single pair, whichever leaves less to compute.
    """
    texts = rows.text_lengths or []
    index = PrefixIndex(rows.wanted(), LEAST_PAIRS)
    prompts = [_prompt(rows, row) for row in range(len(rows))]
    result: list[tuple[list[int], int]] = []
    for number, group in enumerate(index.groups):
        is_alike = number < len(index.groups) - 1
        start = min(index.shared(group), *(prompts[row] for row in group)) if is_alike else 0
        lengths = [2 * (texts[row] - start) for row in group]
        for batch in _sampler(rows).epoch(lengths, 0) if group else []:
            pairs = [group[row] for [row] in batch]
            shared = start if start >= MIN_SHARED else 0
            together = shared + 2 * len(pairs) * padded_length(max(texts[row] for row in pairs) - shared)
            alone = sum(prompts[row] + 2 * padded_length(texts[row] - prompts[row]) for row in pairs)
            if alone <= MOST_COMPUTED * together and min(prompts[row] for row in pairs) >= MIN_SHARED:
                result += [([row], prompts[row]) for row in pairs]
            else:
                result.append((pairs, shared))
    return result


def sharing_problem(loss: ChunkedLoss, rows: TokenRows, batches: list[tuple[list[int], int]]) -> str:
    """Return why a model cannot compute the longest prompt of these batches once, or an empty string: it is tried."""
    pairs, shared = max(batches, key=lambda batch: batch[1], default=([], 0))
    if not shared:
        return ""

    def trial() -> str:
        expected, result = (_of_pairs(loss, rows, pairs[:1], tokens) for tokens in (0, shared))
        gap = float((np.abs(expected - result) / np.maximum(1, np.abs(expected))).max())
        return "" if gap <= TOLERANCE else f"a log-probability differs by {gap:.1e} of its size"

    return shared_prefix.try_out(loss.sparse_model.model, trial)


def _of_pairs(loss: ChunkedLoss, rows: TokenRows, pairs: list[int], shared: int) -> NumpyArray:
    """Return the log-probabilities (pairs, 2) of a batch whose texts share so many tokens."""
    batch, cache = collate(rows, [[row] for row in pairs], shared=shared), None
    if (prefix := batch.prefix) is not None:
        model = loss.sparse_model
        cache = shared_prefix.prefix_caches(
            model.model, lambda records: model(prefix, mx.array([0]), records), prefix.shape[1]
        )
    nats = loss.nats(batch.inputs, batch.positions, batch.targets, cache)
    return np.array(answer_log_probabilities(batch, nats)[0])


def _prompt(rows: TokenRows, row: int) -> int:
    """Return the number of tokens that both texts of a pair begin with, before the input of the first answer's."""
    (wanted, mask), (rejected, other_mask) = rows.texts(row)
    both = min(longest_prefix(mask), longest_prefix(other_mask))
    return min(common(wanted, rejected), both)


def _sampler(rows: TokenRows) -> BatchSampler:
    return BatchSampler(batching="tokens", batch_size=max(1, len(rows)), batch_tokens=BATCH_TOKENS)


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
