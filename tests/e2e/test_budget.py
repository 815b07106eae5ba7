"""What each command reads, writes and holds in memory with a large base: a sparse stand-in of 200 MB, or of 2 GB.

`pytest -m nightly -s tests/e2e/test_budget.py` prints the table of docs/how-to/large-base.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import process_costs
from tests.support.project import SAMPLE, create
from tests.support.sparse_base import write_sparse_base

MB = 10**6
REST = 150 * MB  # that a command reads beside models: Python, mlx, transformers, the tokenizer
SUITE = """
[[case]]
id = "hello"
category = "words"
prompt = "Hello"
checks = [{ type = "no-call" }]
"""
RECIPE = f"""
{SAMPLE}
[base.big]
path = "big"

[adapter.a]
base = "big"
data = "sample"
iters = 2
batch_size = 1
max_seq_length = 512
val_batches = 1
lora = {{ rank = 2 }}
keep = "last"
allow = ["too-long", "turns"]

[model.fused]
adapter = "a"
fidelity_rows = 4

[model.q4]
adapter = "a"
bits = 4
fidelity_rows = 4

[suite.few]
file = "few.toml"

[eval.first]
arm = "big"
suite = "few"
max_tokens = 4
"""
SERVE = """
import re, signal, subprocess, sys
import httpx
command = [sys.executable, "-m", "punie_build", "serve", "big"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    url = next(match[1] for line in server.stdout if (match := re.search(r"served at (\\S+)/v1", line)))
    body = {"model": "default_model", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    httpx.post(url + "/v1/chat/completions", json=body, timeout=300).raise_for_status()
    server.send_signal(signal.SIGINT)
"""
DOIT = (sys.executable, "-m", "doit")
pytestmark = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes by /proc")


def write_project(root: Path, size: int, **changes: int) -> int:
    """Write a project with a sparse base, and return the size of its weights."""
    create(root, RECIPE, {"few.toml": SUITE})
    write_sparse_base(root / "big", size, **changes)
    weights = root / "big" / "model.safetensors"
    assert weights.stat().st_blocks * 512 < weights.stat().st_size / 4
    return weights.stat().st_size


def test_a_first_eval_holds_one_model_and_loads_it_once(tmp_path):
    size = write_project(tmp_path, 200 * MB)
    costs = process_costs.run([*DOIT, "answers:big@few*"], tmp_path, limit=size)
    assert (costs.at_once, len(costs.holders)) == (1, 1), costs.peaks
    assert costs.read < 2 * size + REST, "its digest, and its load"
    assert costs.wrote < size / 4, "no copy of a base"


BUDGET = {  # what is built -> (loads, times that the weights are read, times that they are written) at most
    "preflight:sample@big": (0, 1, 0),  # the digest of the base: once for all
    "adapter:a": (1, 1, 0),
    "answers:big@few*": (1, 1, 0),
    "model:fused": (
        1,
        6,
        2,
    ),  # read: fused, digest, copied to the store, and three measurements; written: with the copy
    "model:q4": (1, 2, 1),  # base and adapter are measured already
}


@pytest.mark.nightly
def test_every_command_stays_within_its_budget_with_two_gigabytes(tmp_path):
    size, table = write_project(tmp_path, 2000 * MB, hidden=512, layers=2), []

    def note(name: str, costs: process_costs.Costs) -> None:
        process, peak = max(costs.peaks.items(), key=lambda pair: pair[1])
        table.append((name, costs.read / size, costs.wrote / size, peak / size, costs.at_once, process))
        print("| {} | {:.2f} | {:.2f} | {:.2f} | {} | `{}` |".format(*table[-1]), flush=True)

    for target, (loads, read, written) in BUDGET.items():
        costs = process_costs.run([*DOIT, target], tmp_path, limit=size // 2)
        note(f"doit {target}", costs)
        assert len(costs.holders) <= loads, costs.peaks
        assert costs.at_once <= 1, costs.peaks
        assert costs.read < read * size + 2 * REST
        assert costs.wrote < written * size + REST
    command = (sys.executable, "-m", "punie_build", "publish", "model:fused", "--repo", "me/big", "--dry-run")
    costs = process_costs.run(command, tmp_path, limit=size // 2)
    note("publish --dry-run", costs)
    assert not costs.holders
    assert costs.read < size + REST
    assert costs.wrote < size + REST
    assert not list((tmp_path / "big").glob("*.lock*"))
    note("serve", process_costs.run([sys.executable, "-c", SERVE], tmp_path, limit=size // 2))
    assert table[-1][1] < 1 + REST / size
    assert table[-1][4] == 1
    nothing = process_costs.run([*DOIT, *BUDGET], tmp_path, limit=size // 2)
    note("doit, all current", nothing)
    assert nothing.read < REST
