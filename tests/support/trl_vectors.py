"""Write `trl_vectors.json`: losses of TRL on pairs of two to five tokens.

    pip install trl torch && python tests/support/trl_vectors.py

TRL's own methods compute them, on random log-probabilities of a model and of its reference. A prompt has one token, so
that TRL's loss of ORPO, which trains prompts too, is that of the answer. No test imports this module.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from trl import DPOTrainer
from trl.experimental.orpo import ORPOTrainer

WORDS = 11


def trainer(cls: type, beta: float) -> Any:
    """Return a trainer without a model, with the attributes that its loss reads."""
    made = object.__new__(cls)
    accelerator = SimpleNamespace(device="cpu", gather_for_metrics=lambda value: value, gather=lambda value: value)
    fields = {
        "beta": beta, "accelerator": accelerator, "model": torch.nn.Linear(1, 1), "ld_alpha": None, "f_divergence_type":
        "reverse_kl", "loss_types": ["sigmoid"], "loss_weights": [1.0], "use_weighting": False,
        "aux_loss_enabled": False, "label_smoothing": 0.0, "precompute_ref_logps": True, "is_encoder_decoder": False,
        "_metrics": {"train": defaultdict(list)}, "_total_train_tokens": 0, "_tp_size": 1, "padding_value": 0,
    }  # fmt: skip
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def tenths(*shape: int) -> torch.Tensor:
    """Return random numbers with one decimal place."""
    return torch.randn(shape).mul(10).round().div(10)


def sequences(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random ids (sequences, longest + 1) after a prompt of one token, and the mask of their answers."""
    ids = torch.randint(1, WORDS, (len(lengths), max(lengths) + 1))
    mask = torch.stack([(torch.arange(max(lengths) + 1) > 0) & (torch.arange(max(lengths) + 1) <= n) for n in lengths])
    return ids * (mask | (torch.arange(max(lengths) + 1) == 0)), mask.long()


def dpo(beta: float, lengths: list[int]) -> dict[str, Any]:
    """Return a case of DPO: `lengths` of the wanted answers, then of the rejected ones."""
    ids, mask = sequences(lengths)
    logits = tenths(len(lengths), ids.shape[1], WORDS)
    reference = tenths(len(lengths)) - 5
    logs = torch.log_softmax(logits[:, :-1], -1).gather(2, ids[:, 1:, None])[..., 0] * mask[:, 1:]
    answer = SimpleNamespace(
        log_probs=logs,
        **dict.fromkeys(("entropy", "mean_logits", "is_top1"), torch.zeros_like(logs, dtype=torch.bool)),
    )
    own = trainer(DPOTrainer, beta)
    first, second = reference.chunk(2)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}
    inputs |= {"ref_chosen_logps": first, "ref_rejected_logps": second}
    loss = own._compute_loss(lambda **_: answer, inputs, False)
    metrics = {name.partition("/")[2]: values[-1] for name, values in own._metrics["train"].items() if "/" in name}
    return case("dpo", beta, ids, mask, logits, loss, metrics) | {"reference": reference.reshape(2, -1).T.tolist()}


def orpo(beta: float, lengths: list[int]) -> dict[str, Any]:
    """Return a case of ORPO with one pair: TRL's first term is a mean over the tokens of a batch."""
    ids, mask = sequences(lengths)
    logits = tenths(len(lengths), ids.shape[1], WORDS)
    labels = torch.where(mask == 1, ids, -100)
    batch = {}
    for name, row in (("chosen", 0), ("rejected", 1)):
        present = (mask[row] == 1) | (torch.arange(ids.shape[1]) == 0)
        batch[f"{name}_input_ids"] = ids[row : row + 1]
        batch[f"{name}_attention_mask"] = present.long()[None]
        batch[f"{name}_labels"] = labels[row : row + 1]
    own = trainer(ORPOTrainer, beta)
    loss, metrics = own.get_batch_loss_metrics(lambda *_, **__: SimpleNamespace(logits=logits), batch)
    values = {name.partition("/")[2]: float(value) for name, value in metrics.items() if "/" in name}
    return case("orpo", beta, ids, mask, logits, loss, values)


def case(
    loss: str, beta: float, ids: torch.Tensor, mask: torch.Tensor, logits: torch.Tensor, value: Any, metrics: Any
) -> dict[str, Any]:
    """Return what a test needs: `ids`, `mask`, `logits` (sequences, length, words), and the results."""
    return {
        "loss": loss, "beta": beta, "ids": ids.tolist(), "mask": mask.tolist(), "logits": logits.tolist(),
        "value": float(value), "accuracy": float(metrics["accuracies"]), "margin": float(metrics["margins"]),
    }  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = [dpo(beta, [3, 5, 2, 4, 4, 2]) for beta in (0.1, 0.5, 5.0)]
    cases += [orpo(beta, lengths) for beta, lengths in ((0.1, [3, 2]), (1.0, [2, 5]), (0.25, [4, 4]))]
    text = ",\n".join(
        json.dumps(json.loads(json.dumps(each), parse_float=lambda n: round(float(n), 6))) for each in cases
    )
    (Path(__file__).parent / "trl_vectors.json").write_text(f"[{text}]\n")
