"""The loss on held-out rows: equal to that of mlx-lm, masked, and an artifact of a project."""

from __future__ import annotations

import math
from random import Random

import pytest

from punie_build.evaluation import perplexity, perplexity_process
from punie_build.evaluation.perplexity import LossJob, LossResult
from punie_build.project import Project
from punie_build.storage import paths
from punie_build.training.token_file import TokenWriter
from punie_build.training.tokenization import TokenizedRow
from tests.support.command import punie_build

RECIPE = """
[dataset.sample]
source = { type = "sample", max_examples = 60 }
[endpoint.far]
url = "http://127.0.0.1:9"
model = "m"
[perplexity.nano]
arm = "ARM"
data = "sample"
mask = "all"
"""


def measure(folder, rows: list[TokenizedRow]) -> LossResult:
    writer = TokenWriter()
    for number, row in enumerate(rows, 1):
        writer.add(number, row)
    writer.save(folder / "test.safetensors")
    result = folder / "perplexity.json"
    files = {"rows": str(folder / "test.safetensors"), "result": str(result)}
    perplexity_process.main(LossJob(model=str(paths.nano()), adapter=None, **files))
    return perplexity.read(result)


@pytest.mark.slow
def test_the_loss_is_that_of_mlx_lm(tmp_path):
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.perplexity import eval_ppl

    r = Random(1)
    ids = [[r.randrange(2000) for _ in range(32)] for _ in range(4)]
    model, *_ = load(str(paths.nano()))
    expected, error = eval_ppl(model, mx.array(ids))
    result = measure(tmp_path, [TokenizedRow(row, [True] * 32) for row in ids])
    assert result.loss == pytest.approx(math.log(expected), abs=1e-4)
    assert result.perplexity == pytest.approx(expected, rel=1e-4)
    assert result.perplexity * result.loss_error == pytest.approx(error, rel=1e-3)
    assert (result.rows, result.n_tokens) == (4, 4 * 31)


@pytest.mark.slow
def test_rows_of_other_lengths_and_masked_tokens_change_no_loss_of_the_others(tmp_path):
    r = Random(2)
    ids = [[r.randrange(2000) for _ in range(length)] for length in (64, 17, 40)]
    masked = [TokenizedRow(row, [k >= 10 for k in range(len(row))]) for row in ids]
    together = measure(tmp_path, masked)
    alone = [measure(tmp_path, [row]) for row in masked]
    assert together.n_tokens == sum(each.n_tokens for each in alone) == (54 + 7 + 30)
    mean = sum(each.loss * each.n_tokens for each in alone) / together.n_tokens
    assert together.loss == pytest.approx(mean, abs=1e-5)


def test_a_split_without_rows_and_an_arm_without_weights_are_one_sentence(tmp_path, recipes):
    with pytest.raises(SystemExit, match="name another `split`"):
        measure(tmp_path, [])
    root = recipes(RECIPE.replace("ARM", "far"))
    result = punie_build(root, "plan")
    assert (result.returncode, "no weights that are loaded here" in result.stderr) == (3, True)


def test_arms_of_one_tokenizer_share_their_tokens(recipes):
    root = recipes(
        RECIPE.replace("ARM", "nano")
        + "[adapter.v]\nbase = 'nano'\ndata = 'sample'\n[perplexity.v]\narm = 'v'\ndata = 'sample'\nmask = 'all'\n"
    )
    needs = {task.label: list(task.needs) for task in Project.load(root).tasks}
    assert needs["perplexity:nano"] == ["tokens:sample@nano-all-2048"]
    assert needs["perplexity:v"] == ["tokens:sample@nano-all-2048", "adapter:v"]
