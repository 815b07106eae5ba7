"""Peak memory and CPU time of a step: the loss in chunks against the loss at once, by vocabulary.

    ./run python benchmarks/memory.py        # --vocabulary 150000 --tokens 2048

A llama of random weights, 4 layers of 256, LoRA of rank 8 on all layers, all tokens trained (`mask = "all"`), one
batch of 4 rows. Each way runs in a process of its own. Peak memory is mlx's, with the weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from punie_build.runtime import blas


def step(vocabulary: int, tokens: int, whole: int) -> dict[str, float]:
    """Compute a step twice, and return the figures of the second."""
    import mlx.core as mx
    from mlx import nn
    from mlx_lm.models import llama

    from punie_build.training.loop.chunked_loss import ChunkedLoss
    from punie_build.training.loop.lora import apply_adapter
    from punie_build.training.loop.sparse_logits import SparseLogits
    from punie_build.training.spec import Adapter

    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 688, "num_attention_heads": 4}
    more = {"rms_norm_eps": 1e-6, "vocab_size": vocabulary, "tie_word_embeddings": True, "num_key_value_heads": 4}
    model = llama.Model(llama.ModelArgs.from_dict({"model_type": "llama"} | sizes | more))
    apply_adapter(model, Adapter(base="b", data="d"))
    ids = mx.random.randint(0, vocabulary, (4, tokens // 4 + 1))
    inputs, targets, positions, weights = ids[:, :-1], ids[:, 1:].reshape(-1), mx.arange(tokens), mx.ones(tokens)
    loss = ChunkedLoss(SparseLogits(model, ids[0, :16]), whole)
    mx.eval(model.parameters())
    compute = nn.value_and_grad(model, lambda _: loss(inputs, positions, None, targets, weights)[0])
    figures: dict[str, float] = {}
    for _ in range(2):
        mx.reset_peak_memory()
        before = time.process_time()
        value, gradients = compute(model)
        mx.eval(value, gradients)
        figures = {"peak_mb": mx.get_peak_memory() / 1e6, "cpu_s": time.process_time() - before, "loss": value.item()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        print(json.dumps(step(options.vocabulary, options.tokens, options.step)))
        return
    import os

    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | blas.environment(Path(folder))
        results = {}
        for name, whole in (("at once", 2**62), ("in chunks", 0)):
            arguments = ["--vocabulary", str(options.vocabulary), "--tokens", str(options.tokens), "--step", str(whole)]
            output = subprocess.run(
                [sys.executable, __file__, *arguments], env=environment, capture_output=True, check=True, text=True
            ).stdout
            results[name] = json.loads(output)
            print(name, results[name])
    ratios = {name: results["in chunks"][name] / results["at once"][name] for name in ("peak_mb", "cpu_s")}
    print("in chunks / at once", ratios)


if __name__ == "__main__":
    main()
