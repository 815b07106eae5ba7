"""Pre-train nano from scratch, and export it as an mlx-lm model folder.

    python pretrain.py RUN --steps 5000               # checkpoints in RUN/, metrics every 50 steps; resumes
    python pretrain.py RUN --steps 5000 --cooldown 800 --export OUT

The script uses PyTorch, because it runs once, on any CPU, and PyTorch trains this model on a CPU about four times
faster than mlx (figures in `docs/log.md`). No other part of the project needs torch: `pip install torch safetensors`.

The schedule is warm-up, constant rate, and a linear cool-down, so a run can be extended from any checkpoint. Matrices
are trained with Muon, other parameters with AdamW. Loss weights: 1 for tokens of the assistant, `--read-weight` for
tokens that it only reads. A small weight teaches the words; a large one lets unpredictable text dominate the calls.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from corpus import corpus
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from vocabulary import renderer

HERE = Path(__file__).parent
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 2048, "hidden_size": 256,
    "num_hidden_layers": 4, "intermediate_size": 768, "num_attention_heads": 8, "num_key_value_heads": 4,
    "head_dim": 32, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "hidden_act": "silu", "attention_bias": False, "bos_token_id": None,
    "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32",
}  # fmt: skip
SEED, HELD_OUT_SEED, CHUNK, BATCH_TOKENS, LONGEST = 1, 2, 4096, 12_288, 1024


class Norm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, CONFIG["rms_norm_eps"])


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=0.5 / math.sqrt(inputs))
    return layer


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width, size = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.q_proj, self.k_proj = (
            linear(width, CONFIG["num_attention_heads"] * size),
            linear(width, CONFIG["num_key_value_heads"] * size),
        )
        self.v_proj, self.o_proj = (
            linear(width, CONFIG["num_key_value_heads"] * size),
            linear(CONFIG["num_attention_heads"] * size, width),
        )
        self.q_norm, self.k_norm = Norm(size), Norm(size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        split = lambda y: y.view(batch, length, -1, CONFIG["head_dim"])
        q, k, v = self.q_norm(split(self.q_proj(x))), self.k_norm(split(self.k_proj(x))), split(self.v_proj(x))
        q, k, v = rotate(q.transpose(1, 2), cos, sin), rotate(k.transpose(1, 2), cos, sin), v.transpose(1, 2)
        groups = CONFIG["num_attention_heads"] // CONFIG["num_key_value_heads"]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj, self.up_proj, self.down_proj = linear(width, inner), linear(width, inner), linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(), Mlp()
        self.input_layernorm, self.post_attention_layernorm = Norm(CONFIG["hidden_size"]), Norm(CONFIG["hidden_size"])

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList([Block() for _ in range(CONFIG["num_hidden_layers"])])
        self.norm = Norm(CONFIG["hidden_size"])


class Nano(nn.Module):
    """Qwen3 with the names of mlx-lm: token ids (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Body()

    def forward(self, ids: Tensor) -> Tensor:
        size = CONFIG["head_dim"]
        frequencies = 1.0 / CONFIG["rope_theta"] ** (torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(ids.shape[1]).float(), frequencies)
        x, cos, sin = self.model.embed_tokens(ids), angles.cos(), angles.sin()
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


# ------------------------------------------------------------------------------------------------------------- data


class Rows:
    """Tokenised examples: ids, and for each id whether the assistant says it."""

    def __init__(self) -> None:
        self.tokenizer, self.render = Tokenizer.from_file(str(HERE / "tokenizer.json")), renderer()
        self.start, self.end = (self.tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>"))
        self.assistant = self.tokenizer.encode("assistant\n").ids

    def said(self, ids: list[int]) -> list[bool]:
        marks, speaking, k = [], False, 0
        while k < len(ids):
            if not speaking and ids[k] == self.start and ids[k + 1 : k + 1 + len(self.assistant)] == self.assistant:
                marks += [False] * (1 + len(self.assistant))
                k += 1 + len(self.assistant)
                speaking = True
                continue
            marks.append(speaking)
            if ids[k] == self.end:
                speaking = False
            k += 1
        return marks

    def chunk(self, seed: int, number: int, size: int = CHUNK) -> list[tuple[list[int], list[bool]]]:
        texts = [self.render(example) for example in corpus(seed, number * size, size)]
        encoded = [e.ids[:LONGEST] for e in self.tokenizer.encode_batch(texts)]
        return [(ids, self.said(ids)) for ids in encoded]


def batches(rows: list[tuple[list[int], list[bool]]], r: Random) -> list[list[tuple[list[int], list[bool]]]]:
    """Rows of like length together, at most BATCH_TOKENS tokens with padding; the batches in random order."""
    out: list[list[tuple[list[int], list[bool]]]] = [[]]
    for row in sorted(rows, key=lambda row: len(row[0])):
        if out[-1] and (len(out[-1]) + 1) * len(row[0]) > BATCH_TOKENS:
            out.append([])
        out[-1].append(row)
    r.shuffle(out)
    return out


def tensors(batch: list[tuple[list[int], list[bool]]], read_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, targets and weights, each (rows, longest - 1)."""
    longest = max(len(ids) for ids, _ in batch)
    ids, weights = torch.zeros(len(batch), longest, dtype=torch.long), torch.zeros(len(batch), longest)
    for k, (row, said) in enumerate(batch):
        ids[k, : len(row)] = torch.tensor(row)
        weights[k, : len(row)] = torch.tensor([1.0 if s else read_weight for s in said])
    return ids[:, :-1], ids[:, 1:], weights[:, 1:]


def loss_of(model: Nano, batch: list[tuple[list[int], list[bool]]], read_weight: float) -> Tensor:
    x, y, w = tensors(batch, read_weight)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    each = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none")
    return (each * w.flatten()).sum() / w.sum()


@torch.no_grad()
def exact(model: Nano, rows: list[tuple[list[int], list[bool]]]) -> tuple[float, float]:
    """Return the shares of rows whose last turn greedy decoding reproduces exactly: turns with calls, other turns."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    opener = model_call_token
    for batch in batches(rows, Random(0)):
        x, y, _ = tensors(batch, 0.0)
        right = model(x).argmax(-1) == y
        for k, (ids, said) in enumerate(batch):
            last = max((j for j in range(1, len(ids)) if said[j]), default=0)
            first = last
            while first > 1 and said[first - 1]:
                first -= 1
            if last:
                hits[opener in ids[first : last + 1]].append(bool(right[k, first - 1 : last].all()))
    return tuple(sum(h) / max(len(h), 1) for h in (hits[True], hits[False]))  # type: ignore[return-value]


model_call_token = 3  # <tool_call>, the fourth special token


# --------------------------------------------------------------------------------------------------------- training


def optimizers(model: Nano) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=4e-3, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def pace(step: int, steps: int, cooldown: int) -> float:
    """The share of the peak learning rate at a step."""
    if step < 100:
        return (step + 1) / 100
    return 1.0 if step < steps else max(0.0, 1.0 - (step - steps) / max(cooldown, 1))


def train(run: Path, steps: int, cooldown: int, read_weight: float, peak: float) -> Nano:
    torch.manual_seed(SEED)
    model, rows = Nano(), Rows()
    optimisers = optimizers(model)
    peaks = [o.param_groups[0]["lr"] * peak for o in optimisers]
    done, chunk, skip, seen, started = 0, 0, 0, 0, time.time()
    if (run / "last.pt").exists():
        state = torch.load(run / "last.pt", weights_only=True)
        model.load_state_dict(state["model"])
        for o, s in zip(optimisers, state["optimizers"], strict=True):
            o.load_state_dict(s)
        done, chunk, skip, seen = state["step"], state["chunk"], state["skip"], state["tokens"]
    held_out = rows.chunk(HELD_OUT_SEED, 0, 1000)
    while done < steps + cooldown:
        todo = batches(rows.chunk(SEED, chunk), Random(f"{SEED}:{chunk}"))
        for position in range(skip, len(todo)):
            for o, highest in zip(optimisers, peaks, strict=True):
                o.param_groups[0]["lr"] = highest * pace(done, steps, cooldown)
            loss = loss_of(model, todo[position], read_weight)
            for o in optimisers:
                o.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for o in optimisers:
                o.step()
            done, skip = done + 1, position + 1
            seen += sum(len(ids) for ids, _ in todo[position])
            if done % 50 == 0:
                line: dict[str, Any] = {
                    "step": done,
                    "loss": round(loss.item(), 4),
                    "tokens": seen,
                    "seconds": round(time.time() - started),
                }
                if done % 250 == 0 or done == steps + cooldown:
                    line["exact_calls"], line["exact_other"] = exact(model, held_out)
                with (run / "metrics.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                print(line, flush=True)
            if done % 250 == 0 or done == steps + cooldown:
                state = {
                    "model": model.state_dict(),
                    "optimizers": [o.state_dict() for o in optimisers],
                    "step": done,
                    "chunk": chunk,
                    "skip": skip,
                    "tokens": seen,
                }
                torch.save(state, run / "next.pt")
                (run / "next.pt").rename(run / "last.pt")
            if done == steps + cooldown:
                break
        chunk, skip = chunk + 1, 0
    return model


def export(model: Nano, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.detach().float().contiguous() for name, value in model.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "mlx"},
    )
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "pad_token_id": 0}) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (HERE / name).resolve() != (folder / name).resolve():
            shutil.copy(HERE / name, folder / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pre-train nano.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cooldown", type=int, default=0)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--read-weight", type=float, default=0.02)
    parser.add_argument("--peak", type=float, default=1.0, help="share of the full learning rate")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    nano = train(options.run, options.steps, options.cooldown, options.read_weight, options.peak)
    if options.export:
        export(nano, options.export)
