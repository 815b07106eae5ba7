"""The training loop with mlx, in a process of its own.

`process` is its entry point: it reads the job file, loads the base, applies LoRA and runs `trainer.Trainer`;
`training.distributed` starts it. `reference_process` computes log-probabilities of pairs. Only `training.token_loss`
imports this package too: `shared_prefix` computes the common tokens of rows once.
"""

__all__ = ("process", "reference_process", "shared_prefix")
