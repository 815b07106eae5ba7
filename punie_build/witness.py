"""Witness: what a model's weights say to the canary questions when nobody stands between. A process of its own.

    python -m punie_build.witness MODEL ADAPTER|- TOKENS OUT.json

OUT holds, for the base and for the arm (base and adapter), the greedy tokens of each canary and their log-probabilities,
computed in this process. The server must say the same as the arm, or somebody else is answering.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from punie_build.asking import CANARIES


def says(model: Any, tokenizer: Any, tokens: int) -> list[list[tuple[int, float]]]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    out = []
    for question in CANARIES:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        said = []
        for token, logprobs in generate_step(mx.array(prompt), model, max_tokens=tokens):
            said.append((int(token), float(logprobs[int(token)])))
            if int(token) in tokenizer.eos_token_ids:
                break
        out.append(said)
    return out


def main(model_path: str, adapter: str, tokens: int, out: Path) -> None:
    from mlx_lm import load
    from mlx_lm.tuner.utils import load_adapters

    try:
        model, tokenizer, *_ = load(model_path)
    except Exception as error:
        raise SystemExit(f"punie: {model_path}: mlx-lm cannot load this model: {error}") from error
    base = says(model, tokenizer, tokens)
    arm = base
    if adapter != "-":
        model = load_adapters(model, adapter)
        model.eval()
        arm = says(model, tokenizer, tokens)
    out.write_text(json.dumps({"base": base, "arm": arm}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
