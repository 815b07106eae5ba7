from __future__ import annotations

import numpy as np

from punie_build.training.batch_sampler import BatchSampler
from punie_build.training.loop.collate import collate


def test_the_shares_of_all_ranks_make_up_the_batch(rows):
    batch = BatchSampler(batch_size=5).epoch(rows.lengths, 0)[0]
    full, shares = collate(rows, batch), [collate(rows, batch, rank, 3) for rank in range(3)]
    assert sum(share.inputs.shape[0] for share in shares) == full.inputs.shape[0] == 5
    assert sum(float(share.weights.sum()) for share in shares) == float(full.weights.sum())
    idle = collate(rows, batch[:1], 1, 2)
    assert float(idle.weights.sum()) == 0
    targets = np.array(full.targets)[np.array(full.weights) > 0]
    trained = (ids[1:][mask[1:] > 0] for ids, mask in (rows.row(row) for [row] in batch))
    assert sorted(targets) == sorted(int(target) for targets in trained for target in targets)
